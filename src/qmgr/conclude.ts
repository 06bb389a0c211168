/**
 * The end of one pass over a message: what is written, and which reports go out with it.
 *
 * Failed recipients become done together with the report about them. A message that is too old, or
 * a bounce older than its own lifetime, fails for whoever is left. The sender is warned of a delay
 * once.
 *
 * @see qmgr(8), bounce(8)
 */
import type { BounceInput, Reporter } from '../bounce/bounce.ts';
import type { ReportResult } from '../bounce/report.ts';
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import { externalAddress } from '../mail/address.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { QueueEntry, RecipientState } from '../mail/stages.ts';
import type { EntryChange, NewMessage, QueueStore } from '../queue/store.ts';

export type Context = {
  readonly config: Config;
  readonly nowMs: number;
  readonly compose: Reporter;
  readonly store: Pick<QueueStore, 'openBody'>;
  readonly logger: Logger;
  readonly loggerFor: (program: string) => Logger;
};

export type End = { readonly change: EntryChange; readonly added: readonly NewMessage[] };

export async function conclude(
  entry: QueueEntry,
  failed: readonly { readonly index: number; readonly dsn: Dsn }[],
  context: Context,
): Promise<End> {
  const failures: ReportResult[] = failed.flatMap(({ index, dsn: reason }) => {
    const recipient = entry.recipients[index];
    return recipient ? [{ recipient, dsn: reason }] : [];
  });
  const isGone = new Set(failed.map(({ index }) => index));
  const left = entry.recipients.filter(
    ({ state }, index) => state === 'pending' && !isGone.has(index),
  );
  const isExpired = left.length > 0 && isTooOld(entry, context);
  if (isExpired) {
    const from = `from=<${externalAddress(entry.sender)}>`;
    const status = entry.isExpired ? 'force-expired' : 'expired';
    context.logger.info(`${entry.id}: ${from}, status=${status}, returned to sender`);
    failures.push(...left.map(expired));
  }
  const added = [
    ...(await report(entry, 'failed', failures, context)),
    ...(await report(entry, 'delivered', successesOf(entry), context)),
  ];
  if (left.length === 0 || isExpired) return { change: { kind: 'remove', id: entry.id }, added };

  const isWarning = !entry.warned && isDelayed(entry, context);
  if (isWarning) added.push(...(await report(entry, 'delayed', delaysOf(left), context)));
  const recipients = entry.recipients.map((recipient, index) =>
    isGone.has(index) ? { ...recipient, state: 'done' as const } : told(recipient),
  );
  const next = {
    ...entry,
    recipients,
    attempts: entry.attempts + 1,
    warned: entry.warned || isWarning,
    dueMs: context.nowMs + backoffMs(entry, context),
  };
  return { change: { kind: 'replace', entry: next }, added };
}

const NOTIFICATION: Readonly<Record<BounceInput['kind'], string>> = {
  failed: 'non-delivery',
  delayed: 'delay',
  delivered: 'delivery status',
};

async function report(
  entry: QueueEntry,
  kind: BounceInput['kind'],
  results: readonly ReportResult[],
  context: Context,
): Promise<NewMessage[]> {
  if (results.length === 0) return [];
  const body = await bodyOf(entry, context);
  const reports = await context.compose({ entry, kind, results, body });
  const logger = context.loggerFor('bounce');
  for (const { to, entry: made } of reports) {
    logger.info(`${entry.id}: ${to} ${NOTIFICATION[kind]} notification: ${made.id}`);
  }
  return reports.map(({ entry: made, body: bytes }) => ({ entry: made, body: bytes }));
}

const successesOf = ({ recipients }: QueueEntry): ReportResult[] =>
  recipients.flatMap((recipient) =>
    recipient.success ? [{ recipient, ...recipient.success }] : [],
  );

const delaysOf = (left: readonly RecipientState[]): ReportResult[] =>
  left.flatMap((recipient) => (recipient.deferred ? [{ recipient, dsn: recipient.deferred }] : []));

/** The sender has been told of this success. */
function told(recipient: RecipientState): RecipientState {
  if (!recipient.success) return recipient;
  const { success: _reported, ...rest } = recipient;
  return rest;
}

/** The age of the message, between minimal_ and maximal_backoff_time. */
function backoffMs({ arrivedMs }: QueueEntry, { config, nowMs }: Context): number {
  const ageMs = nowMs - arrivedMs;
  return Math.min(
    Math.max(ageMs, config.minimal_backoff_time * 1000),
    config.maximal_backoff_time * 1000,
  );
}

function isTooOld(entry: QueueEntry, { config, nowMs }: Context): boolean {
  const { sender, arrivedMs, isExpired } = entry;
  if (isExpired) return true;
  const lifetime = sender === '' ? config.bounce_queue_lifetime : config.maximal_queue_lifetime;
  return nowMs - arrivedMs >= lifetime * 1000;
}

const expired = (recipient: RecipientState): ReportResult => {
  const last = recipient.deferred ?? dsn('4.4.7', 'delivery time expired');
  return { recipient, dsn: { ...last, status: '5.4.7' } };
};

const isDelayed = ({ arrivedMs }: QueueEntry, { config, nowMs }: Context): boolean =>
  config.delay_warning_time > 0 && nowMs - arrivedMs >= config.delay_warning_time * 1000;

/** As much of the body as a report may carry: all of it, or its header. */
async function bodyOf(entry: QueueEntry, { store, config, logger }: Context): Promise<Buffer> {
  const body = await store.openBody(entry);
  if (!body.ok) {
    logger.warning(`${entry.id}: body for the report: ${body.error.reason}`);
    return Buffer.alloc(0);
  }
  if (body.value.bytes) return Buffer.from(body.value.bytes);
  const limit = Math.max(config.bounce_size_limit, config.header_size_limit);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body.value.chunks) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) break;
  }
  return Buffer.concat(chunks);
}
