/**
 * Who is told about a delivery, and by which message.
 *
 * Reports have the null sender and are never answered by a report. A bounce that cannot be
 * delivered becomes a double bounce for the postmaster when notify_classes has `2bounce`, and is
 * dropped with a warning otherwise; a double bounce is always dropped. NOTIFY= decides for each
 * recipient (RFC 3461 section 4.1). The report is a queue entry of its own that the caller commits
 * in the transaction that ends the recipients.
 *
 * @see RFC 3461, RFC 5321 section 4.5.5, bounce(8)
 */

import { Meter } from '../cleanup/meter.ts';
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import type { Dsn } from '../mail/dsn.ts';
import type { Notify, QueueEntry, Recipient, RecipientState } from '../mail/stages.ts';
import type { NewMessage } from '../queue/store.ts';
import { rewriteAddress } from '../rewrite/rewrite.ts';
import type { Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { buildReport, type ReportKind } from './report.ts';

export type Failure = { readonly recipient: Recipient; readonly dsn: Dsn };

export type BounceInput = {
  readonly entry: QueueEntry;
  readonly kind: ReportKind;
  readonly failures: readonly Failure[];
  /** Stored form: the whole message, or at least its header. */
  readonly body: Buffer;
};

export type BounceParts = {
  readonly config: Config;
  readonly nowMs: number;
  readonly newId: () => string;
  readonly logger: Pick<Logger, 'warning'>;
  /**
   * Recipients as cleanup makes them (virtual aliases expanded). Absent or failing: the address as
   * it is.
   */
  readonly cleanRecipients?: (
    recipients: readonly Recipient[],
  ) => Promise<Result<readonly RecipientState[], string>>;
};

export type Reporter = (input: BounceInput) => Promise<NewMessage | undefined>;

export const makeReporter =
  (parts: BounceParts): Reporter =>
  (input) =>
    composeBounce(input, parts);

/** The report, or undefined when nobody is to be told. */
export async function composeBounce(
  input: BounceInput,
  parts: BounceParts,
): Promise<NewMessage | undefined> {
  const { entry, kind, body } = input;
  const { config, nowMs } = parts;
  const results = input.failures.filter(({ recipient }) => isWanted(recipient.notify, kind));
  if (results.length === 0) return undefined;
  const address = addressee(entry, kind, parts);
  if (!address) return undefined;
  const isLarge =
    entry.content.wireBytes > config.bounce_size_limit || body.length < entry.content.wireBytes;
  const id = parts.newId();
  const lifetime = entry.sender === '' ? 'bounce_queue_lifetime' : 'maximal_queue_lifetime';
  const bytes = await buildReport({
    kind,
    entry,
    results,
    body,
    // RET= is about failures only (RFC 3461 section 4.3).
    headersOnly: kind !== 'failed' || entry.ret === 'HDRS' || isLarge,
    to: address.to,
    subject: address.isDouble ? 'Postmaster Copy: Undelivered Mail' : SUBJECTS[kind],
    id,
    nowMs,
    retryUntilMs: entry.arrivedMs + config[lifetime] * 1000,
    myhostname: config.myhostname,
    myorigin: config.myorigin,
    mail_name: config.mail_name,
  });
  const meter = new Meter();
  meter.add(bytes);
  return {
    body: bytes,
    entry: {
      id,
      arrivedMs: nowMs,
      sender: address.sender,
      envid: '',
      ret: '',
      smtputf8: entry.smtputf8,
      recipients: await recipientsOf(address.to, parts),
      content: meter.content(),
      origin: {
        client: { name: 'localhost', address: '', port: 0 },
        helo: '',
        protocol: 'internal',
      },
      dueMs: nowMs,
      onHold: false,
      attempts: 0,
      warned: false,
      internal: address.isDouble ? 'double-bounce' : 'bounce',
    },
  };
}

const SUBJECTS: Readonly<Record<ReportKind, string>> = {
  failed: 'Undelivered Mail Returned to Sender',
  delayed: 'Delayed Mail (still being retried)',
  delivered: 'Successful Mail Delivery Report',
};

const NOTIFY_FOR: Readonly<Record<ReportKind, Notify>> = {
  failed: 'FAILURE',
  delayed: 'DELAY',
  delivered: 'SUCCESS',
};

/** Without NOTIFY= failures and delays are reported, deliveries are not. */
const isWanted = (notify: readonly Notify[], kind: ReportKind): boolean =>
  notify.length === 0 ? kind !== 'delivered' : notify.includes(NOTIFY_FOR[kind]);

type Addressee = { readonly to: string; readonly sender: string; readonly isDouble: boolean };

function addressee(
  entry: QueueEntry,
  kind: ReportKind,
  { config, logger }: BounceParts,
): Addressee | undefined {
  const doubleBounce = rewriteAddress(config.double_bounce_sender, config);
  const isDoubleBounce =
    entry.internal === 'double-bounce' || entry.sender.toLowerCase() === doubleBounce.toLowerCase();
  if (isDoubleBounce || entry.internal === 'notice') {
    if (kind === 'failed') {
      logger.warning(`${entry.id}: undeliverable postmaster notification discarded`);
    }
    return undefined;
  }
  if (entry.sender !== '') return { to: entry.sender, sender: '', isDouble: false };
  if (kind !== 'failed') return undefined;
  if (!splitList(config.notify_classes.toLowerCase()).includes('2bounce')) {
    logger.warning(`${entry.id}: undeliverable bounce discarded (notify_classes has no 2bounce)`);
    return undefined;
  }
  const to = rewriteAddress(config['2bounce_notice_recipient'], config);
  return { to, sender: doubleBounce, isDouble: true };
}

async function recipientsOf(
  address: string,
  { cleanRecipients, logger }: BounceParts,
): Promise<readonly RecipientState[]> {
  const recipient: Recipient = { address, original: address, orcpt: '', notify: [] };
  const cleaned = cleanRecipients ? await cleanRecipients([recipient]) : undefined;
  if (cleaned?.ok && cleaned.value.length > 0) return cleaned.value;
  if (cleaned && !cleaned.ok) logger.warning(`recipient of a report: ${cleaned.error}`);
  return [{ ...recipient, state: 'pending' }];
}
