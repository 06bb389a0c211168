/**
 * What a server said, as delivery status: Postfix's words and codes.
 *
 * The server's own enhanced status counts only when its class is that of the reply code.
 */
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { EnhancedStatus } from '../mail/reply.ts';
import type { Failure, RemoteReply } from './transaction.ts';

export type Site = {
  /** `host[address]` */
  readonly where: string;
  readonly host: string;
  readonly softBounce: boolean;
};

/** A reply to `command`, good or bad. */
export function replyDsn(reply: RemoteReply, command: string, site: Site): Dsn {
  const status = statusOf(reply, site.softBounce);
  const remote = { mta: site.host, reply: reply.text };
  if (status.startsWith('2')) return { status, reason: reply.text, remote };
  return {
    status,
    reason: `host ${site.where} said: ${reply.text} (in reply to ${command} command)`,
    remote,
  };
}

/** The same for a whole session that failed. */
export function failureDsn(failure: Failure, site: Site): Dsn {
  switch (failure.kind) {
    case 'refused': {
      const reply = failure.reply ?? { code: 421, text: 'no reply' };
      const status = statusOf(reply, failure.isSoft === true);
      const remote = { mta: site.host, reply: reply.text };
      const command = failure.command ?? '';
      const said =
        command === ''
          ? `host ${site.where} refused to talk to me: ${reply.text}`
          : `host ${site.where} said: ${reply.text} (in reply to ${command} command)`;
      return { status, reason: said, remote };
    }
    case 'handshake':
    case 'diagnosed':
      return failure.dsn ?? dsn('4.7.5', 'Cannot start TLS: handshake failure');
    // What a strange server says may hold line breaks: dsn() takes them out.
    case 'lost':
      return dsn('4.4.2', `lost connection with ${site.where} while ${failure.stage}`);
    case 'timeout':
      return dsn('4.4.2', `conversation with ${site.where} timed out while ${failure.stage}`);
    case 'protocol':
      return dsn(
        '4.5.0',
        `protocol error with ${site.where} while ${failure.stage}: ${failure.reason ?? ''}`,
      );
  }
}

/** 552 to RCPT means too many recipients: RFC 5321 section 4.5.3.1.10. */
export const recipientReply = (reply: RemoteReply): RemoteReply =>
  reply.code === 552 ? { code: 452, text: reply.text } : reply;

export function statusOf(reply: RemoteReply, softBounce: boolean): EnhancedStatus {
  const said = /^\d{3}[ -]([245])\.(\d{1,3})\.(\d{1,3})(?: |$)/.exec(reply.text);
  const codeClass = Math.floor(reply.code / 100);
  const kind = codeClass === 2 || codeClass === 5 ? codeClass : 4;
  const own: 2 | 4 | 5 = kind === 5 && softBounce ? 4 : kind;
  // A refusal that counts as temporary brings a 5.x.y text: its class is turned, its detail kept.
  const saidClass = Number(said?.[1]);
  if (!said || (saidClass === 2) !== (own === 2)) return `${own}.0.0`;
  if (saidClass !== codeClass && reply.code !== 452) return `${own}.0.0`;
  return `${own}.${Number(said[2])}.${Number(said[3])}`;
}
