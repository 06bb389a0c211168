/**
 * The end of one pass over a message: what is written, and which reports go out with it.
 *
 * Failed recipients become done together with the report about them. A message that is too old, or
 * a bounce older than its own lifetime, fails for whoever is left. The sender is warned of a delay
 * once.
 *
 * @see qmgr(8), bounce(8)
 */
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import { externalAddress } from '../mail/address.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { QueueEntry, RecipientState } from '../mail/stages.ts';
import type { EntryChange, NewMessage, QueueStore } from '../queue/store.ts';

export type Failure = { readonly recipient: RecipientState; readonly dsn: Dsn };

/** Makes a report; undefined when nobody is to be told. */
export type Composer = (input: {
  readonly entry: QueueEntry;
  readonly kind: 'failed' | 'delayed';
  readonly failures: readonly Failure[];
  readonly body: Buffer;
}) => Promise<NewMessage | undefined>;

export type Context = {
  readonly config: Config;
  readonly nowMs: number;
  readonly compose: Composer;
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
  const failures: Failure[] = failed.flatMap(({ index, dsn: reason }) => {
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
    context.logger.info(`${entry.id}: ${from}, status=expired, returned to sender`);
    failures.push(...left.map(expired));
  }
  const added: NewMessage[] = [];
  if (failures.length > 0) {
    const report = await context.compose({
      entry,
      kind: 'failed',
      failures,
      body: await bodyOf(entry, context),
    });
    if (report) {
      added.push(report);
      context
        .loggerFor('bounce')
        .info(`${entry.id}: sender non-delivery notification: ${report.entry.id}`);
    }
  }
  if (left.length === 0 || isExpired) return { change: { kind: 'remove', id: entry.id }, added };

  const warning = await delayWarning(entry, left, context);
  if (warning) added.push(warning);
  const recipients = entry.recipients.map((recipient, index) =>
    isGone.has(index) ? { ...recipient, state: 'done' as const } : recipient,
  );
  const next = {
    ...entry,
    recipients,
    attempts: entry.attempts + 1,
    warned: entry.warned || isDelayed(entry, context),
    dueMs: context.nowMs + backoffMs(entry, context),
  };
  return { change: { kind: 'replace', entry: next }, added };
}

/** The age of the message, between minimal_ and maximal_backoff_time. */
function backoffMs({ arrivedMs }: QueueEntry, { config, nowMs }: Context): number {
  const ageMs = nowMs - arrivedMs;
  return Math.min(
    Math.max(ageMs, config.minimal_backoff_time * 1000),
    config.maximal_backoff_time * 1000,
  );
}

function isTooOld({ sender, arrivedMs }: QueueEntry, { config, nowMs }: Context): boolean {
  const lifetime = sender === '' ? config.bounce_queue_lifetime : config.maximal_queue_lifetime;
  return nowMs - arrivedMs >= lifetime * 1000;
}

const expired = (recipient: RecipientState): Failure => {
  const last = recipient.deferred ?? dsn('4.4.7', 'delivery time expired');
  return { recipient, dsn: { ...last, status: '5.4.7' } };
};

const isDelayed = ({ arrivedMs }: QueueEntry, { config, nowMs }: Context): boolean =>
  config.delay_warning_time > 0 && nowMs - arrivedMs >= config.delay_warning_time * 1000;

async function delayWarning(
  entry: QueueEntry,
  left: readonly RecipientState[],
  context: Context,
): Promise<NewMessage | undefined> {
  if (entry.warned || !isDelayed(entry, context)) return undefined;
  const failures = left.flatMap((recipient) =>
    recipient.deferred ? [{ recipient, dsn: recipient.deferred }] : [],
  );
  const report = await context.compose({
    entry,
    kind: 'delayed',
    failures,
    body: await bodyOf(entry, context),
  });
  if (report)
    context.loggerFor('bounce').info(`${entry.id}: sender delay notification: ${report.entry.id}`);
  return report;
}

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
