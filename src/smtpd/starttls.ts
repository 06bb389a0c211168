/**
 * STARTTLS. Whatever the client sent behind it in the clear ends the session (see `endsGroup` in
 * commands.ts); nothing learned before the handshake is kept after it.
 *
 * @see RFC 3207
 */
import { reply } from '../mail/reply.ts';
import { rateRefusal } from './admission.ts';
import type { PosternConnection } from './connection.ts';

export async function runStarttls(c: PosternConnection, rest: string): Promise<void> {
  const { config, tlsLevel } = c.parts;
  if (rest !== '') {
    c.send_(reply(501, '5.5.4', 'Syntax: STARTTLS'));
    return;
  }
  if (c.secure) {
    c.send_(reply(554, '5.5.1', 'Error: TLS already active'));
    return;
  }
  if (tlsLevel === 'none' || c.host.discards.has('STARTTLS')) {
    c.send_(reply(502, '5.5.1', 'Error: command not implemented'));
    return;
  }
  if (!c.host.hasKeys) {
    c.send_(reply(454, '4.7.0', 'TLS not available due to local problem'));
    return;
  }
  const tooOften = await rateRefusal(
    c,
    'newtls',
    config.smtpd_client_new_tls_session_rate_limit,
    'New TLS session rate',
    'too many new TLS sessions',
  );
  if (tooOften) {
    c.send_(tooOften);
    return;
  }
  if (c.stream?.hasMoreInput) {
    c.parts.logger.info(`improper command pipelining after STARTTLS from ${c.client}`);
    c.hangUp(554, '5.5.0', 'Error: SMTP protocol synchronization');
    return;
  }
  c.write('220 2.0.0 Ready to start TLS\r\n');
  c.upgrade(() => undefined);
}
