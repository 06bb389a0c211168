/**
 * sendmail -bv: nothing is delivered; the sender gets a report on where each address leads.
 *
 * Rewriting, aliases and routing are done as for a message. Unlike Postfix: no other host is asked, and
 * no mailbox is looked for; the report ends with the transport and next hop.
 *
 * @see sendmail(1) -bv
 */
import { makeReporter } from '../bounce/bounce.ts';
import type { Templates } from '../bounce/template.ts';
import { cleanEnvelope, type RecipientParts } from '../cleanup/recipients.ts';
import type { Logger } from '../log/maillog.ts';
import { type Dsn, dsn, isSuccess } from '../mail/dsn.ts';
import type { QueueEntry } from '../mail/stages.ts';
import type { Drop } from '../pickup/maildrop.ts';
import type { QueueStore } from '../queue/store.ts';
import type { Resolver } from '../rewrite/resolve.ts';

export type VerifyParts = {
  readonly recipients: RecipientParts;
  readonly resolve: Resolver['resolve'];
  readonly templates: Templates;
  readonly store: Pick<QueueStore, 'begin' | 'settle'>;
  readonly arrived: (entry: QueueEntry) => void;
  readonly logger: Logger;
  readonly nowMs: number;
};

const TEXT = `This is the mail system at host $myhostname.

Enclosed is the mail delivery report that you requested.

                   The mail system
`;

/** `later`: a table or the queue cannot answer now. */
export async function verifyDrop(drop: Drop, parts: VerifyParts): Promise<'done' | 'later'> {
  const { recipients, store, logger, nowMs } = parts;
  const cleaned = await cleanEnvelope(
    {
      sender: drop.sender,
      recipients: drop.recipients.map((address) => ({
        address,
        original: address,
        orcpt: '',
        notify: [],
      })),
      envid: '',
      ret: '',
      smtputf8: false,
      body: '',
    },
    [],
    false,
    recipients,
  );
  if (!cleaned.ok) {
    logger.warning(`verification: ${cleaned.error.reason}`);
    return 'later';
  }
  const { sender } = cleaned.value;
  const results = [];
  for (const recipient of cleaned.value.recipients) {
    const found = await verdictOn(sender, recipient.address, parts);
    const action = isSuccess(found) ? 'deliverable' : 'undeliverable';
    results.push({
      recipient: { ...recipient, notify: ['SUCCESS'] as const },
      dsn: found,
      action,
    } as const);
  }
  const compose = makeReporter({
    config: recipients.config,
    nowMs,
    newId: () => store.begin().id,
    logger,
    templates: withWords(parts.templates),
  });
  const entry = entryOf(sender, cleaned.value.recipients, nowMs);
  const reports = await compose({ entry, kind: 'delivered', results, body: Buffer.alloc(0) });
  const stored = await store.settle([], reports);
  if (!stored.ok) {
    logger.warning(`verification: queue: ${stored.error.reason}`);
    return 'later';
  }
  for (const report of reports) parts.arrived(report.entry);
  return 'done';
}

async function verdictOn(sender: string, address: string, { resolve }: VerifyParts): Promise<Dsn> {
  const found = await resolve(sender, address);
  if (!found.ok) return found.error;
  return dsn('2.0.0', `would go to ${found.value.transport}:${found.value.nexthop}`);
}

const withWords = (templates: Templates): Templates => ({
  ...templates,
  delivered: { ...templates.delivered, subject: 'Mail Delivery Status Report', text: TEXT },
});

/** The message that the report is about: there is none. */
const entryOf = (
  sender: string,
  recipients: QueueEntry['recipients'],
  nowMs: number,
): QueueEntry => ({
  id: 'NOQUEUE',
  arrivedMs: nowMs,
  sender,
  envid: '',
  ret: '',
  smtputf8: false,
  recipients,
  content: { wireBytes: 0, sizeBytes: 0, has8bit: false, hasDotLines: false },
  origin: { client: { name: 'localhost', address: '', port: 0 }, helo: '', protocol: 'local' },
  dueMs: nowMs,
  onHold: false,
  attempts: 0,
  warned: false,
});
