/**
 * The lines of a message's way through the queue, as Postfix writes them.
 *
 *   ID: from=<s>, size=N, nrcpt=N (queue active)
 *   ID: to=<r>, orig_to=<o>, relay=R, delay=D, delays=a/b/c/d, dsn=2.0.0, status=sent (250 ok)
 */

import { externalAddress } from '../mail/address.ts';
import type { QueueEntry, Recipient, RecipientOutcome } from '../mail/stages.ts';

export const activeLine = (entry: QueueEntry): string =>
  `${entry.id}: from=<${externalAddress(entry.sender)}>, size=${entry.content.sizeBytes}, nrcpt=${recipientCount(entry)} (queue active)`;

/** An address that an alias has replaced is kept for its report only. */
const recipientCount = ({ recipients }: QueueEntry): number =>
  recipients.filter(({ success }) => success?.action !== 'expanded').length;

export type Times = {
  readonly arrivedMs: number;
  /** Taken into the active queue. */
  readonly activeMs: number;
  /** Handed to an agent. */
  readonly startedMs: number;
  readonly endedMs: number;
};

export function outcomeLine(
  id: string,
  recipient: Recipient,
  outcome: Pick<RecipientOutcome, 'kind' | 'relay' | 'dsn' | 'timesMs' | 'connectionUse'>,
  times: Times,
): string {
  const to = `to=<${externalAddress(recipient.address)}>`;
  const isOriginal =
    recipient.original === '' ||
    recipient.original.toLowerCase() === recipient.address.toLowerCase();
  const original = isOriginal ? '' : ` orig_to=<${externalAddress(recipient.original)}>,`;
  const ranMs = times.endedMs - times.startedMs;
  const setupMs = Math.min(outcome.timesMs?.setup ?? 0, ranMs);
  const parts = [
    times.activeMs - times.arrivedMs,
    times.startedMs - times.activeMs,
    setupMs,
    outcome.timesMs?.transmission ?? ranMs - setupMs,
  ].map((ms) => seconds(ms));
  const { connectionUse = 1 } = outcome;
  const use = connectionUse > 1 ? ` conn_use=${connectionUse},` : '';
  const status = outcome.kind === 'discarded' ? 'sent' : outcome.kind;
  return `${id}: ${to},${original} relay=${outcome.relay},${use} delay=${seconds(times.endedMs - times.arrivedMs)}, delays=${parts.join('/')}, dsn=${outcome.dsn.status}, status=${status} (${outcome.dsn.reason})`;
}

/** Seconds with two significant digits, at most two decimals: `0.05`, `1.2`, `15`. */
export function seconds(ms: number): string {
  const value = Math.max(0, ms) / 1000;
  if (value >= 10) return String(Math.round(value));
  if (value >= 1) return String(Math.round(value * 10) / 10);
  return String(Math.round(value * 100) / 100);
}
