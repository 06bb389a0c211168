/** A queue in memory that holds the contract of queue/store.ts: for tests of everything above it. */
import type { QueueEntry } from '../../src/mail/stages.ts';
import type { DueEntry, QueueKeeper, StoreFault } from '../../src/queue/store.ts';
import { err, ok, type Result } from '../../src/util/result.ts';

export type MemoryStore = QueueKeeper & {
  /** While set, every write and acceptsMail answers this. */
  fault: StoreFault | undefined;
  readonly entries: ReadonlyMap<string, QueueEntry>;
};

export function memoryStore(): MemoryStore {
  const entries = new Map<string, QueueEntry>();
  const bodies = new Map<string, Buffer>();
  let next = 0;
  let isClosed = false;

  const absent = (id: string) => err<StoreFault>({ kind: 'absent', reason: `${id} is not there` });
  const writable = (): Result<void, StoreFault> => {
    if (isClosed) return err({ kind: 'broken', reason: 'queue is closed' });
    return store.fault ? err(store.fault) : ok(undefined);
  };
  const dueRows = (): DueEntry[] =>
    [...entries.values()]
      .filter((entry) => !entry.onHold)
      .map(({ id, dueMs }) => ({ id, dueMs }))
      .sort((a, b) => a.dueMs - b.dueMs || (a.id < b.id ? -1 : 1));

  const store: MemoryStore = {
    fault: undefined,
    entries,
    begin() {
      next += 1;
      const id = `MEM${String(next).padStart(9, '0')}`;
      const parts: Buffer[] = [];
      let bytes = 0;
      let isOpen = true;
      return {
        id,
        get wireBytes() {
          return bytes;
        },
        write(chunk) {
          parts.push(chunk);
          bytes += chunk.length;
          return true;
        },
        prepend(chunk) {
          parts.unshift(chunk);
          bytes += chunk.length;
        },
        async commit(entry) {
          if (!isOpen) return err({ kind: 'absent', reason: 'draft is ended' });
          isOpen = false;
          const may = writable();
          if (!may.ok) return may;
          entries.set(id, structuredClone(entry));
          bodies.set(id, Buffer.concat(parts));
          return ok(undefined);
        },
        abort() {
          isOpen = false;
        },
      };
    },
    acceptsMail: () => writable(),
    async read(id) {
      const entry = entries.get(id);
      return entry ? ok(structuredClone(entry)) : absent(id);
    },
    async openBody({ id }) {
      const bytes = bodies.get(id);
      if (!bytes) return absent(id);
      return ok({ content: { wireBytes: bytes.length }, bytes, chunks: once(bytes) });
    },
    async settle(changes, added = []) {
      const may = writable();
      if (!may.ok) return may;
      for (const change of changes) {
        if (change.kind === 'remove') {
          entries.delete(change.id);
          bodies.delete(change.id);
          continue;
        }
        const stored = entries.get(change.entry.id);
        if (!stored) continue;
        const onHold = change.byOperator ? change.entry.onHold : stored.onHold;
        entries.set(stored.id, { ...structuredClone(change.entry), onHold });
      }
      for (const { entry, body } of added) {
        entries.set(entry.id, structuredClone(entry));
        bodies.set(entry.id, Buffer.from(body));
      }
      return ok(undefined);
    },
    async due(nowMs, limit, after) {
      const isAfter = (row: DueEntry) =>
        !after || row.dueMs > after.dueMs || (row.dueMs === after.dueMs && row.id > after.id);
      return dueRows()
        .filter((row) => row.dueMs <= nowMs && isAfter(row))
        .slice(0, limit);
    },
    async nextDueMs() {
      return dueRows()[0]?.dueMs;
    },
    async *list() {
      for (const id of [...entries.keys()].sort()) {
        const entry = entries.get(id);
        if (entry) yield ok(structuredClone(entry));
      }
    },
    async recover() {
      return ok({ entries: entries.size, corrupt: 0, reindexed: 0, orphans: 0 });
    },
    maintain() {},
    async quarantine(id) {
      entries.delete(id);
      bodies.delete(id);
      return ok(undefined);
    },
    async close() {
      isClosed = true;
    },
  };
  return store;
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}
