/**
 * Messages that local delivery asks for (alias, .forward, :include:): the same body under a new
 * envelope. They are recorded in the transaction that marks the recipient they come from.
 *
 * As in Postfix such a message passes cleanup once more, as mail of our own: its recipients through
 * virtual aliases, a Received: field in front, hops counted; no header_checks, no always_bcc.
 */
import { fieldValue, scanHeader } from '../mail/header.ts';
import { mailDate } from '../mail/received.ts';
import type { Content, Forward, QueueEntry, Recipient, RecipientState } from '../mail/stages.ts';
import type { NewMessage, QueueStore } from '../queue/store.ts';
import { err, ok, type Result } from '../util/result.ts';

export type Forwarded = NewMessage & { readonly index: number };

export type ForwardParts = {
  readonly store: Pick<QueueStore, 'begin' | 'openBody'>;
  readonly clean: (
    recipients: readonly Recipient[],
  ) => Promise<Result<readonly RecipientState[], string>>;
  readonly myhostname: string;
  readonly mail_name: string;
  readonly hopcount_limit: number;
  readonly nowMs: number;
};

export type ForwardFault = { readonly isPermanent: boolean; readonly reason: string };

const MAX_HEADER = 1024 * 1024;

/** All of them, or none: the recipients are then tried again, or returned. */
export async function makeForwards(
  entry: QueueEntry,
  forwards: readonly Forward[],
  parts: ForwardParts,
): Promise<Result<readonly Forwarded[], ForwardFault>> {
  const later = (reason: string) => err({ isPermanent: false, reason });
  const opened = await parts.store.openBody(entry);
  if (!opened.ok) return later(opened.error.reason);
  const chunks: Buffer[] = [];
  for await (const chunk of opened.value.chunks) chunks.push(chunk);
  if (hopsOf(chunks) >= parts.hopcount_limit) {
    return err({ isPermanent: true, reason: 'too many hops' });
  }
  const made: Forwarded[] = [];
  for (const { index, sender, recipients, prepend } of forwards) {
    const cleaned = await parts.clean(recipients);
    if (!cleaned.ok) return later(cleaned.error);
    if (cleaned.value.length === 0) return later('no recipients are left');
    const id = freshId(parts.store);
    const { myhostname, mail_name, nowMs } = parts;
    const trace = `Received: by ${myhostname} (${mail_name})\r\n\tid ${id}; ${mailDate(nowMs)}\r\n`;
    const head = Buffer.from(trace + prepend, 'utf8');
    const { filter: _done, ...rest } = entry;
    // A list speaks for itself: what the first sender asked for ends here (RFC 3461 section 5.2.7.3).
    const isOwned = sender !== entry.sender;
    made.push({
      index,
      body: Buffer.concat([head, ...chunks]),
      entry: {
        ...rest,
        id,
        arrivedMs: nowMs,
        sender,
        envid: isOwned ? '' : entry.envid,
        ret: isOwned ? '' : entry.ret,
        recipients: cleaned.value,
        content: withHead(entry.content, head),
        dueMs: nowMs,
        onHold: false,
        attempts: 0,
        warned: false,
      },
    });
  }
  return ok(made);
}

function hopsOf(chunks: readonly Buffer[]): number {
  const bytes = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks.slice(0, 16));
  const text = (bytes ?? Buffer.alloc(0)).toString('latin1', 0, MAX_HEADER);
  const { fields } = scanHeader(text);
  return fields.filter((field) => field.name === 'received' && fieldValue(text, field) !== '')
    .length;
}

function freshId(store: Pick<QueueStore, 'begin'>): string {
  const draft = store.begin();
  draft.abort();
  return draft.id;
}

const withHead = (content: Content, head: Buffer): Content => ({
  ...content,
  wireBytes: content.wireBytes + head.length,
  sizeBytes: content.sizeBytes + head.length - (head.toString('latin1').split('\n').length - 1),
});
