/**
 * LMDB indexes of tables: read through the page cache, which all processes share.
 *
 * A file is written under another name, synced and renamed, so that a reader sees a whole index or
 * none; its name carries the version of the text, so that an old index never answers for a new
 * text. Before a file is opened its first bytes are compared with what we write.
 */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, renameSync, rmSync } from 'node:fs';
import { type Database, open } from 'lmdb';
import { err, ok, type Result } from '../../util/result.ts';
import { syncPath } from '../../util/sync-path.ts';
import { identify } from './foreign.ts';
import { indexPath, type MapId, removeOlder } from './map-directory.ts';
import { readEntries, type TextFault } from './text.ts';

export type MapIndex = {
  readonly get: (key: string) => string | undefined;
  readonly entries: () => Iterable<readonly [key: string, value: string]>;
  readonly close: () => void;
};

/** LMDB takes keys of 1978 bytes; longer ones are stored by their hash. */
const MAX_KEY_BYTES = 1900;
const OPTIONS = { noSubdir: true, encoding: 'string', compression: false } as const;
/** Data format of the lmdb package. */
const LMDB_FORMAT = 2;

/** The index of this version of the text, or undefined when there is none that can be opened. */
export function openIndex(id: MapId, version: string): MapIndex | undefined {
  const path = indexPath(id, version);
  if (!existsSync(path)) return undefined;
  const found = identify(path);
  if (found?.kind !== 'lmdb' || found.version !== LMDB_FORMAT) return undefined;
  try {
    const db: Database<string, string> = open({ ...OPTIONS, path, readOnly: true });
    return {
      get: (key) => (isLong(key) ? longValue(db.get(longKey(key)), key) : db.get(key)),
      entries: () => entriesOf(db),
      close: () => void db.close(),
    };
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

export type BuildRequest = {
  readonly id: MapId;
  readonly version: string;
  /** A text with errors makes no index. */
  readonly isStrict: boolean;
  readonly duplicates: 'warn' | 'ignore' | 'replace';
  /** Access bits of the file. */
  readonly mode: number;
};

export type Built = {
  /** No index was made: the text has errors and `isStrict` is set. */
  readonly isRefused: boolean;
  readonly count: number;
  /** The first of them only. */
  readonly faults: readonly TextFault[];
};

const MAX_FAULTS = 100;

/** Write the index of this version in one transaction. The reason of a failure is for the log. */
export function buildIndex(chunks: Iterable<string>, request: BuildRequest): Result<Built, string> {
  const { id, version, isStrict, duplicates, mode } = request;
  const path = indexPath(id, version);
  const draft = `${path}.${process.pid}.tmp`;
  const faults: TextFault[] = [];
  let count = 0;
  let hasErrors = false;
  try {
    const db: Database<string, string> = open({ ...OPTIONS, path: draft, noSync: true });
    const put = putter(db, duplicates === 'replace');
    db.transactionSync(() =>
      readEntries(chunks, id.format, {
        add: (key, value) => {
          const isNew = put(key, value);
          if (isNew) count += 1;
          return isNew || duplicates !== 'warn';
        },
        fault: (fault) => {
          if (fault.kind === 'syntax') hasErrors = true;
          if (faults.length < MAX_FAULTS) faults.push(fault);
        },
      }),
    );
    void db.close();
    const isRefused = isStrict && hasErrors;
    if (!isRefused) {
      chmodSync(draft, mode);
      syncPath(draft);
      renameSync(draft, path);
    }
    removeDraft(draft);
    if (!isRefused) removeOlder(id, version);
    return ok({ isRefused, count, faults });
  } catch (error) {
    removeDraft(draft);
    return err(error instanceof Error ? error.message : String(error));
  }
}

/** False: the key was there; it keeps its value unless `isReplacing`. */
function putter(db: Database<string, string>, isReplacing: boolean) {
  const options = isReplacing ? {} : { noOverwrite: true };
  const put = (key: string, value: string): boolean => {
    // The type knows the versions of an option only; the function takes these flags too.
    const putSync: (key: string, value: string, options: object) => unknown = db.putSync.bind(db);
    return putSync(key, value, options) === true;
  };
  return (key: string, value: string): boolean =>
    isLong(key) ? put(longKey(key), `${key}\0${value}`) : put(key, value);
}

const isLong = (key: string): boolean =>
  key.length > MAX_KEY_BYTES / 3 && Buffer.byteLength(key) > MAX_KEY_BYTES;

/** No text key begins so: control characters in front are white space or part of no address. */
const LONG = '\x01long:';
const longKey = (key: string): string => LONG + createHash('sha256').update(key).digest('hex');

function longValue(stored: string | undefined, key: string): string | undefined {
  return stored?.startsWith(`${key}\0`) ? stored.slice(key.length + 1) : undefined;
}

function* entriesOf(db: Database<string, string>): Generator<readonly [string, string]> {
  for (const { key, value } of db.getRange()) {
    const end = key.startsWith(LONG) ? value.indexOf('\0') : -1;
    yield end < 0 ? [key, value] : [value.slice(0, end), value.slice(end + 1)];
  }
}

/** The draft and the lock file beside it, as far as they exist. */
function removeDraft(draft: string): void {
  for (const path of [draft, `${draft}-lock`]) if (existsSync(path)) rmSync(path, { force: true });
}
