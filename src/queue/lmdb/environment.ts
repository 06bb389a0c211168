/**
 * The one module around the `lmdb` package, for the queue: opens the environment and turns the
 * package's several ways of failing into `StoreFault` values.
 *
 * What this module relies on, read in lmdb 3.5.6 (write.js, src/writer.cpp) and tested:
 * - With `overlappingSync: false` the write thread calls mdb_txn_commit, which syncs, before the
 *   promise of a put resolves.
 * - All writes of one turn of the event loop form one block that is committed whole
 *   (eventTurnBatching). Only a transactionSync may cut a block in two: none is made after opening.
 * - While one transaction syncs, the turns that follow gather in the next one: group commit, with
 *   no delay of our own.
 * - When a commit fails, every put of it rejects with an error whose `commitError` is a promise
 *   that rejects later with the cause: nobody else handles that, so we always do. The start of a
 *   turn's block makes one more promise that is given to nobody: `guardTurn` takes it.
 * - If mdb_txn_begin fails the promises never settle: hence the deadline.
 * - Opening while another process commits loses that commit: hence the gate (gate.ts).
 *
 * `mapSize` is fixed and large (address space only), so that no process ever remaps.
 */
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { type Database, open } from 'lmdb';
import { err, ok, type Result } from '../../util/result.ts';
import { syncPath } from '../../util/sync-path.ts';
import type { StoreFault } from '../store.ts';
import { Gate } from './gate.ts';

const MAP_BYTES = 64 * 2 ** 30;
const MAX_READERS = 1000;
/** Marks an environment that is complete; also its format. */
const FORMAT_FILE = 'format';
const FORMAT = 'postern-queue 1\n';

/** [dueMs, id] */
export type DueKey = [number, string];

export type Environment = {
  readonly root: Database<Buffer, string>;
  readonly entries: Database<Buffer, string>;
  readonly bodies: Database<Buffer, string>;
  readonly due: Database<Buffer, DueKey>;
  /** Records set aside by recovery: `ID entry`, `ID body`. */
  readonly corrupt: Database<Buffer, string>;
};

export type EnvironmentOptions = {
  readonly directory: string;
  readonly readOnly: boolean;
  readonly create: boolean;
  /** For controls only: commits are not synced, so a test can see that it would notice. */
  readonly unsafeNoSync?: boolean;
};

/** The gate of the queue; with `create` its directory is made first. */
export function openGate(directory: string, create: boolean): Result<Gate, StoreFault> {
  try {
    if (create) {
      mkdirSync(`${directory}/bodies`, { recursive: true, mode: 0o700 });
    } else if (!isEnvironment(directory)) {
      return err({ kind: 'absent', reason: `no queue in ${directory}` });
    }
    const uid = process.geteuid?.();
    if (uid === 0 && statSync(directory).uid !== 0) {
      return err({ kind: 'broken', reason: `${directory} must not be opened by root` });
    }
    return ok(new Gate(directory));
  } catch (error) {
    const { kind, reason } = faultOf(error);
    return err({ kind, reason: `${directory}/gate: ${reason}` });
  }
}

/**
 * Open, or with `create` make, the environment. Its directory entries are durable afterwards.
 * To be called alone in the gate.
 */
export function openEnvironment(options: EnvironmentOptions): Result<Environment, StoreFault> {
  const { directory } = options;
  try {
    const root = open<Buffer, string>({
      path: directory,
      noSubdir: false,
      overlappingSync: false,
      noSync: options.unsafeNoSync === true,
      readOnly: options.readOnly,
      mapSize: MAP_BYTES,
      maxReaders: MAX_READERS,
      maxDbs: 8,
      cache: false,
      encoding: 'binary',
    });
    const entries = root.openDB<Buffer, string>('entries', {
      encoding: 'binary',
      useVersions: true,
    });
    const bodies = root.openDB<Buffer, string>('bodies', { encoding: 'binary' });
    const due = root.openDB<Buffer, DueKey>('due', { encoding: 'binary' });
    const corrupt = root.openDB<Buffer, string>('corrupt', { encoding: 'binary' });
    if (options.create && !isEnvironment(directory)) markComplete(directory);
    return ok({ root, entries, bodies, due, corrupt });
  } catch (error) {
    return err(faultOf(error));
  }
}

/** Whether a complete environment lies there. */
export const isEnvironment = (directory: string): boolean =>
  existsSync(`${directory}/${FORMAT_FILE}`) && existsSync(`${directory}/data.mdb`);

function markComplete(directory: string): void {
  for (const part of ['data.mdb', 'bodies']) syncPath(`${directory}/${part}`);
  writeFileSync(`${directory}/${FORMAT_FILE}`, FORMAT, { mode: 0o600, flush: true });
  syncPath(directory);
  syncPath(`${directory}/..`);
}

const CAUSE_WAIT_MS = 200;

/**
 * Wait for a put and everything the package says about it. Undefined when it is on disk.
 * `puts` are all promises that the writes of one turn returned.
 */
export async function durable(
  puts: readonly Promise<boolean>[],
  deadlineMs: number,
): Promise<StoreFault | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, deadlineMs, 'late');
  });
  try {
    const all = Promise.all(puts);
    const outcome = await Promise.race([all, late]);
    if (outcome !== 'late') return undefined;
    all.catch(ignoreCause);
    return { kind: 'broken', reason: `no answer from the database for ${deadlineMs / 1000} s` };
  } catch (error) {
    const cause = commitError(error);
    for (const put of puts) put.catch(ignoreCause);
    return faultOf(cause ? await settledCause(cause) : error);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * To be called in the turn of a write, after its first put: the package's own task for the turn is
 * queued just before ours, and the promise it leaves in `committed` is handled here.
 */
export function guardTurn(db: Environment): void {
  setImmediate(() => {
    db.root.committed.then(undefined, ignoreCause);
  });
}

/** A rejection that repeats one already reported. */
function ignoreCause(error: unknown): void {
  commitError(error)?.catch(() => undefined);
}

function commitError(error: unknown): Promise<unknown> | undefined {
  if (error instanceof Error && 'commitError' in error && error.commitError instanceof Promise) {
    return error.commitError;
  }
  return undefined;
}

async function settledCause(cause: Promise<unknown>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const unknown = new Promise<Error>((resolve) => {
    timer = setTimeout(() => resolve(new Error('commit failed')), CAUSE_WAIT_MS);
  });
  const reason = await Promise.race([
    cause.then(
      () => new Error('commit failed'),
      (error: unknown) => error,
    ),
    unknown,
  ]);
  clearTimeout(timer);
  return reason;
}

/** An error of the package or of the file system as a fault. */
export function faultOf(error: unknown): StoreFault {
  const reason = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 28 || code === 122) {
    return { kind: 'no-space', reason };
  }
  if (/No space left|quota exceeded|MDB_MAP_FULL/i.test(reason))
    return { kind: 'no-space', reason };
  if (code === 'EMFILE' || code === 'ENFILE' || code === 'EAGAIN' || code === 'ENOMEM') {
    return { kind: 'busy', reason };
  }
  if (/MDB_READERS_FULL|Too many open files/i.test(reason)) return { kind: 'busy', reason };
  if (/MDB_CORRUPTED|MDB_PAGE_NOTFOUND/i.test(reason)) return { kind: 'corrupt', reason };
  if (code === 'ENOENT') return { kind: 'absent', reason };
  return { kind: 'broken', reason };
}
