/**
 * Delivery status values: what is known about one recipient and will be told to its sender.
 *
 * A `Dsn` is made by whoever decides (a restriction, the resolver, a delivery agent) and is kept in
 * the queue entry until the recipient is delivered or reported; nothing in it is parsed again.
 *
 * @see RFC 3463 (status codes), RFC 3464 section 2.3 (per-recipient fields)
 */
import type { EnhancedStatus } from './reply.ts';

export type Dsn = {
  /** `2.0.0` for success, `4.x.y` for try again, `5.x.y` for never. */
  readonly status: EnhancedStatus;
  /** Log text and Diagnostic-Code, without line breaks, such as `host x[y] said: 550 ...`. */
  readonly reason: string;
  /** The host that answered, and its reply as received (lines joined by a blank). */
  readonly remote?: { readonly mta: string; readonly reply: string };
};

export const isSuccess = (dsn: Dsn): boolean => dsn.status.startsWith('2');
export const isTransient = (dsn: Dsn): boolean => dsn.status.startsWith('4');
export const isPermanent = (dsn: Dsn): boolean => dsn.status.startsWith('5');

/** A diagnostic of our own, with line breaks and controls made harmless. */
export function dsn(status: EnhancedStatus, reason: string): Dsn {
  return { status, reason: reason.replaceAll(/[\x00-\x1f\x7f]+/g, ' ').trim() };
}

/** soft_bounce: the same diagnostic as a temporary failure. */
export function softened({ status, ...rest }: Dsn): Dsn {
  const [, subject = '0', detail = '0'] = status.split('.');
  return { ...rest, status: `4.${Number(subject)}.${Number(detail)}` };
}
