/**
 * What a client may do because of who it is, and whether it comes too often.
 *
 * @see postconf(5) smtpd_client_connection_count_limit, anvil(8)
 */
import type { AnvilEvent } from '../ipc/protocol.ts';
import { type Reply, reply } from '../mail/reply.ts';
import type { AnvilCounts } from '../net/limits.ts';
import type { PosternConnection } from './connection.ts';

export type Standing = {
  /** smtpd_client_event_limit_exceptions */
  readonly isUnlimited: boolean;
  readonly mayXclient: boolean;
  readonly isSaslException: boolean;
  readonly maySendBareNewline: boolean;
};

export const STRANGER: Standing = {
  isUnlimited: false,
  mayXclient: false,
  isSaslException: false,
  maySendBareNewline: false,
};

/** A list that cannot answer gives no right. */
export async function standingOf(c: PosternConnection): Promise<Standing> {
  const { clients } = c.parts;
  const { name, address } = c.peer;
  const isUnlimited = clients.isUnlimited(name, address);
  const mayXclient = clients.mayXclient(name, address);
  const isException = clients.isSaslException(name, address);
  const mayBare = clients.maySendBareNewline(name, address);
  return {
    isUnlimited: (await isUnlimited).kind === 'yes',
    mayXclient: (await mayXclient).kind === 'yes',
    isSaslException: (await isException).kind !== 'no',
    maySendBareNewline: (await mayBare).kind === 'yes',
  };
}

export async function connectionRefusal(c: PosternConnection): Promise<Reply | undefined> {
  const { config } = c.parts;
  const count = config.smtpd_client_connection_count_limit;
  const rate = config.smtpd_client_connection_rate_limit;
  if (count === 0 && rate === 0) return undefined;
  const counts = await countEvent(c, 'connect');
  if (!counts) return undefined;
  const text = `${config.myhostname} Error: too many connections from ${c.peer.address}`;
  if (count > 0 && counts.concurrency > count) {
    warn(c, 'Connection concurrency', counts.concurrency);
    return reply(421, '4.7.0', text);
  }
  if (rate > 0 && counts.rate > rate) {
    warn(c, 'Connection rate', counts.rate);
    return reply(421, '4.7.0', text);
  }
  return undefined;
}

/** smtpd_client_restrictions at once, with smtpd_delay_reject = no. */
export async function clientRefusal(c: PosternConnection): Promise<Reply | undefined> {
  const { config, restrictions } = c.parts;
  if (config.smtpd_delay_reject || restrictions.isEmpty('client')) return undefined;
  const { refusal } = await restrictions.evaluate('client', c.facts());
  if (!refusal) return undefined;
  c.isDenied = true;
  c.logRejection('CONNECT', refusal);
  return refusal;
}

/** Ask anvil, unless this client is not limited. */
export async function countEvent(
  c: PosternConnection,
  event: AnvilEvent,
): Promise<AnvilCounts | undefined> {
  if (c.standing.isUnlimited || !c.parts.anvil) return undefined;
  return c.parts.anvil.count(c.clientBlock, event);
}

/** A refusal when the client does this more often than `limit`; 0 means no limit. */
export async function rateRefusal(
  c: PosternConnection,
  event: AnvilEvent,
  limit: number,
  what: string,
  text: string,
): Promise<Reply | undefined> {
  if (limit === 0 || c.standing.isUnlimited) return undefined;
  const counts = await countEvent(c, event);
  if (!counts || counts.rate <= limit) return undefined;
  warn(c, what, counts.rate);
  return reply(450, '4.7.1', `Error: ${text} from ${c.peer.address}`);
}

function warn(c: PosternConnection, what: string, value: number): void {
  const { logger, service } = c.parts;
  logger.warning(`${what} limit exceeded: ${value} from ${c.client} for service ${service}`);
}
