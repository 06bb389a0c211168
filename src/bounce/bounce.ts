/**
 * Who is told about a delivery, and by which messages.
 *
 * Reports have the null sender and are never answered by a report. NOTIFY= decides for each
 * recipient (RFC 3461 section 4.1). notify_classes decides what the postmaster gets besides: copies
 * of bounces (`bounce`) and of delay notices (`delay`), always with the header only; and bounces
 * that could not be delivered (`2bounce`), which are dropped with a warning otherwise. What fails
 * on its way to the postmaster is dropped with a warning. Each report is a queue entry of its own
 * that the caller commits in the transaction that ends the recipients.
 *
 * @see RFC 3461, RFC 5321 section 4.5.5, bounce(8)
 */

import { Meter } from '../cleanup/meter.ts';
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import type { Notify, QueueEntry, Recipient, RecipientState } from '../mail/stages.ts';
import type { NewMessage } from '../queue/store.ts';
import { rewriteAddress } from '../rewrite/rewrite.ts';
import type { Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { buildReport, type ReportResult } from './report.ts';
import { OWN_TEMPLATES, type ReportKind, type Templates, templateText } from './template.ts';

export type BounceInput = {
  readonly entry: QueueEntry;
  readonly kind: ReportKind;
  readonly results: readonly ReportResult[];
  /** Stored form: the whole message, or at least its header. */
  readonly body: Buffer;
};

export type BounceParts = {
  readonly config: Config;
  readonly nowMs: number;
  readonly newId: () => string;
  readonly logger: Pick<Logger, 'warning'>;
  /** Of bounce_template_file; absent: our words. */
  readonly templates?: Templates;
  /**
   * Recipients as cleanup makes them (virtual aliases expanded). Absent or failing: the address as
   * it is.
   */
  readonly cleanRecipients?: (
    recipients: readonly Recipient[],
  ) => Promise<Result<readonly RecipientState[], string>>;
};

/** `to` is for the log: `sender non-delivery notification`, `postmaster delay notification`. */
export type Report = NewMessage & { readonly to: 'sender' | 'postmaster' };

export type Reporter = (input: BounceInput) => Promise<readonly Report[]>;

export const makeReporter =
  (parts: BounceParts): Reporter =>
  (input) =>
    composeReports(input, parts);

/** The reports, none when nobody is to be told. */
export async function composeReports(
  input: BounceInput,
  parts: BounceParts,
): Promise<readonly Report[]> {
  const reports: Report[] = [];
  for (const addressee of addressees(input, parts)) {
    const isCopy = addressee.kind !== 'sender';
    const results = isCopy
      ? input.results
      : input.results.filter(({ recipient }) => isWanted(recipient.notify, input.kind));
    if (results.length > 0) reports.push(await compose({ ...input, results }, addressee, parts));
  }
  return reports;
}

async function compose(
  { entry, kind, results, body }: BounceInput,
  addressee: Addressee,
  parts: BounceParts,
): Promise<Report> {
  const { config, nowMs } = parts;
  const template = (parts.templates ?? OWN_TEMPLATES)[kind];
  const isCopy = addressee.kind !== 'sender';
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
    headersOnly: kind !== 'failed' || entry.ret === 'HDRS' || isLarge || addressee.kind === 'copy',
    to: addressee.to,
    isCopy,
    subject: isCopy ? template.postmasterSubject : template.subject,
    from: authorOf(template.from, config.myorigin),
    text: templateText(template, config),
    charset: template.charset,
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
    to: isCopy ? 'postmaster' : 'sender',
    body: bytes,
    entry: {
      id,
      arrivedMs: nowMs,
      sender: isCopy ? doubleBounceOf(config) : '',
      envid: '',
      ret: '',
      smtputf8: entry.smtputf8,
      recipients: await recipientsOf(addressee.to, parts),
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
      internal: isCopy ? 'double-bounce' : 'bounce',
    },
  };
}

/** `ADDRESS (NAME)` of a template as `NAME <ADDRESS@origin>`. */
function authorOf(from: string, myorigin: string): string {
  const parts = /^(\S+)\s+\((.*)\)$/.exec(from) ?? /^(\S+)()$/.exec(from);
  if (!parts) return from;
  const [, user = '', name = ''] = parts;
  const address = user.includes('@') ? user : `${user}@${myorigin}`;
  return name === '' ? address : `${name} <${address}>`;
}

const NOTIFY_FOR: Readonly<Record<ReportKind, Notify>> = {
  failed: 'FAILURE',
  delayed: 'DELAY',
  delivered: 'SUCCESS',
};

/** Without NOTIFY= failures and delays are reported, deliveries are not. */
const isWanted = (notify: readonly Notify[], kind: ReportKind): boolean =>
  notify.length === 0 ? kind !== 'delivered' : notify.includes(NOTIFY_FOR[kind]);

type Addressee = {
  readonly to: string;
  /** `copy`: of a report that the sender gets too. `double`: in place of it. */
  readonly kind: 'sender' | 'copy' | 'double';
};

const doubleBounceOf = (config: Config): string =>
  rewriteAddress(config.double_bounce_sender, config);

function addressees({ entry, kind }: BounceInput, parts: BounceParts): readonly Addressee[] {
  const { config, logger } = parts;
  const isNotice =
    entry.internal === 'double-bounce' ||
    entry.internal === 'notice' ||
    entry.sender.toLowerCase() === doubleBounceOf(config).toLowerCase();
  if (isNotice) {
    if (kind === 'failed') {
      logger.warning(`${entry.id}: undeliverable postmaster notification discarded`);
    }
    return [];
  }
  const classes = splitList(config.notify_classes.toLowerCase());
  const postmaster = (
    name: 'bounce_notice_recipient' | '2bounce_notice_recipient' | 'delay_notice_recipient',
    as: Addressee['kind'],
  ): Addressee => ({ to: rewriteAddress(config[name], config), kind: as });
  const sender: readonly Addressee[] =
    entry.sender === '' ? [] : [{ to: entry.sender, kind: 'sender' }];
  if (kind === 'delivered') return sender;
  if (kind === 'delayed') {
    return classes.includes('delay')
      ? [...sender, postmaster('delay_notice_recipient', 'copy')]
      : sender;
  }
  if (entry.sender !== '') {
    return classes.includes('bounce')
      ? [...sender, postmaster('bounce_notice_recipient', 'copy')]
      : sender;
  }
  if (classes.includes('2bounce')) return [postmaster('2bounce_notice_recipient', 'double')];
  logger.warning(`${entry.id}: undeliverable bounce discarded`);
  return [];
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
