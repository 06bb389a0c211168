/** An LMDB queue in a temporary directory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LmdbStoreOptions, openLmdbStore } from '../../src/queue/lmdb/store.ts';
import type { QueueKeeper } from '../../src/queue/store.ts';

export type TestQueue = {
  readonly store: QueueKeeper;
  /** Of the environment. */
  readonly directory: string;
  readonly lines: string[];
  readonly close: () => Promise<void>;
};

export async function openQueue(
  directory: string,
  changes: Partial<LmdbStoreOptions> = {},
  lines: string[] = [],
): Promise<QueueKeeper> {
  const log = (text: string) => void lines.push(text);
  const opened = await openLmdbStore({
    directory,
    minFreeBytes: 0,
    idForm: 'long',
    logger: { info: log, warning: log, error: log },
    create: true,
    ballastBytes: 65536,
    ...changes,
  });
  if (!opened.ok) throw new Error(`${opened.error.kind}: ${opened.error.reason}`);
  return opened.value;
}

export async function temporaryQueue(changes: Partial<LmdbStoreOptions> = {}): Promise<TestQueue> {
  const top = mkdtempSync(join(tmpdir(), 'postern-queue-'));
  const lines: string[] = [];
  const directory = join(top, 'queue');
  const store = await openQueue(directory, changes, lines);
  return {
    store,
    directory,
    lines,
    close: async () => {
      await store.close();
      rmSync(top, { recursive: true, force: true });
    },
  };
}
