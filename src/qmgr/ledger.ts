/**
 * The durable side of the queue manager: changes of many messages in one transaction.
 *
 * One `settle` is under way at a time; what comes meanwhile waits and goes together in the next, so
 * that one sync serves many messages. No space is retried; any other failure is final and ends the
 * process, which starts again from the disk.
 */
import type { EntryChange, NewMessage, QueueStore } from '../queue/store.ts';

type Waiting = {
  readonly change: EntryChange;
  readonly added: readonly NewMessage[];
  readonly done: () => void;
};

export type Ledger = {
  /** `done` is called when the change is on disk; changes of one message stay in order. */
  readonly record: (change: EntryChange, added: readonly NewMessage[], done: () => void) => void;
  /** Resolves when everything recorded so far is on disk. */
  readonly idle: () => Promise<void>;
};

export function openLedger(
  store: Pick<QueueStore, 'settle'>,
  onFault: (reason: string, isFinal: boolean) => void,
  retryMs = 1_000,
): Ledger {
  let waiting: Waiting[] = [];
  let isWriting = false;
  const idlers: (() => void)[] = [];

  const write = async (): Promise<void> => {
    if (isWriting) return;
    isWriting = true;
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      const changes = new Map(
        batch.map(({ change }) => [change.kind === 'remove' ? change.id : change.entry.id, change]),
      );
      const added = batch.flatMap((each) => each.added);
      const result = await store.settle([...changes.values()], added);
      if (!result.ok) {
        const isFinal = result.error.kind !== 'no-space' && result.error.kind !== 'busy';
        onFault(result.error.reason, isFinal);
        waiting = [...batch, ...waiting];
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        continue;
      }
      for (const { done } of batch) done();
    }
    isWriting = false;
    for (const idler of idlers.splice(0)) idler();
  };
  return {
    record: (change, added, done) => {
      waiting.push({ change, added, done });
      if (!isWriting) setImmediate(write);
    },
    idle: () =>
      waiting.length === 0 && !isWriting
        ? Promise.resolve()
        : new Promise((resolve) => idlers.push(resolve)),
  };
}
