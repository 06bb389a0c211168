/**
 * LMDB indexes of large tables: `$data_directory/maps/<hash of the path>-<version>`.
 *
 * A file is written under another name, synced and renamed, so that a reader sees a whole index or
 * none; its name carries the version of the text, so that an old index never answers for a new
 * text. Older versions are removed after a build; whoever has one open keeps it.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open } from 'lmdb';
import { err, ok, type Result } from '../../util/result.ts';
import { syncPath } from '../../util/sync-path.ts';

export type MapIndex = {
  readonly get: (key: string) => string | undefined;
  readonly close: () => void;
};

/** Keys beyond LMDB's limit are left out: nothing that long is an address or a name. */
const MAX_KEY_BYTES = 1900;

/** The index of this version of the text, or undefined when there is none that can be opened. */
export function openIndex(
  dataDirectory: string,
  textPath: string,
  version: string,
): MapIndex | undefined {
  const path = indexPath(dataDirectory, textPath, version);
  if (!existsSync(path)) return undefined;
  try {
    const db: Database<string, string> = open({ ...OPTIONS, path, readOnly: true });
    return {
      get: (key) => (Buffer.byteLength(key) > MAX_KEY_BYTES ? undefined : db.get(key)),
      close: () => void db.close(),
    };
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/** Write the index of this version. The reason of a failure is for the log. */
export function buildIndex(
  dataDirectory: string,
  textPath: string,
  version: string,
  entries: ReadonlyMap<string, string>,
): Result<string, string> {
  const path = indexPath(dataDirectory, textPath, version);
  const draft = `${path}.${process.pid}.tmp`;
  try {
    makeDirectory(dataDirectory);
    makeDirectory(join(dataDirectory, 'maps'));
    const db: Database<string, string> = open({ ...OPTIONS, path: draft });
    db.transactionSync(() => {
      for (const [key, value] of entries) {
        if (Buffer.byteLength(key) <= MAX_KEY_BYTES) db.putSync(key, value);
      }
    });
    void db.close();
    syncPath(draft);
    renameSync(draft, path);
    removeDraft(draft);
    removeOlder(dataDirectory, textPath, path);
    return ok(path);
  } catch (error) {
    removeDraft(draft);
    return err(error instanceof Error ? error.message : String(error));
  }
}

const OPTIONS = { noSubdir: true, encoding: 'string', compression: false } as const;

const prefixOf = (textPath: string): string =>
  createHash('sha256').update(textPath).digest('hex').slice(0, 24);

const indexPath = (dataDirectory: string, textPath: string, version: string): string =>
  join(dataDirectory, 'maps', `${prefixOf(textPath)}-${version}`);

/** One level only: Node's recursive form never returns below /proc. */
function makeDirectory(path: string): void {
  try {
    if (!existsSync(path)) mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    // Another process was faster.
    if (!existsSync(path)) throw error;
  }
}

/** The draft and the lock file beside it, as far as they exist. */
function removeDraft(draft: string): void {
  for (const path of [draft, `${draft}-lock`]) if (existsSync(path)) rmSync(path, { force: true });
}

function removeOlder(dataDirectory: string, textPath: string, current: string): void {
  const directory = join(dataDirectory, 'maps');
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const isOlder = name.startsWith(`${prefixOf(textPath)}-`) && !path.startsWith(current);
    if (isOlder && !name.includes('.tmp')) rmSync(path, { force: true });
  }
}
