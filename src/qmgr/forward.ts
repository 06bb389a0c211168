/**
 * Messages that local delivery asks for (alias, .forward, :include:): the same body under a new
 * envelope. They are recorded in the transaction that marks the recipient they come from.
 */
import type { Content, Forward, QueueEntry } from '../mail/stages.ts';
import type { NewMessage, QueueStore } from '../queue/store.ts';
import { err, ok, type Result } from '../util/result.ts';

export type Forwarded = NewMessage & { readonly index: number };

/** All of them, or none when the body cannot be read: the recipients are then tried again. */
export async function makeForwards(
  entry: QueueEntry,
  forwards: readonly Forward[],
  store: Pick<QueueStore, 'begin' | 'openBody'>,
  nowMs: number,
): Promise<Result<readonly Forwarded[], string>> {
  const opened = await store.openBody(entry);
  if (!opened.ok) return err(opened.error.reason);
  const chunks: Buffer[] = [];
  for await (const chunk of opened.value.chunks) chunks.push(chunk);
  return ok(
    forwards.map(({ index, sender, recipients, prepend }) => {
      const head = Buffer.from(prepend, 'latin1');
      const id = freshId(store);
      return {
        index,
        body: Buffer.concat([head, ...chunks]),
        entry: {
          ...entry,
          id,
          arrivedMs: nowMs,
          sender,
          recipients: recipients.map((recipient) => ({ ...recipient, state: 'pending' as const })),
          content: withHead(entry.content, prepend),
          dueMs: nowMs,
          onHold: false,
          attempts: 0,
          warned: false,
        },
      };
    }),
  );
}

function freshId(store: Pick<QueueStore, 'begin'>): string {
  const draft = store.begin();
  draft.abort();
  return draft.id;
}

const withHead = (content: Content, head: string): Content => ({
  ...content,
  wireBytes: content.wireBytes + head.length,
  sizeBytes: content.sizeBytes + head.length - (head.split('\n').length - 1),
});
