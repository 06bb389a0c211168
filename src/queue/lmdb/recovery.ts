/**
 * What qmgr does with the queue before it starts: every entry is checked, damaged ones are set
 * aside, lost index rows are made again, and body files that no record names are removed.
 *
 * Nothing is thrown away but files without a record: those were never acknowledged, or their
 * message was removed. A file younger than `ORPHAN_AGE_MS` may belong to a session that is still
 * receiving it.
 */
import { readdir, stat } from 'node:fs/promises';
import type { Logger } from '../../log/maillog.ts';
import { err, ok, type Result } from '../../util/result.ts';
import type { RecoveryReport, StoreFault } from '../store.ts';
import { removeBodyFile } from './body-file.ts';
import { type Environment, faultOf } from './environment.ts';
import { decodeBody, decodeEntry, type EntryHead, entryHead } from './records.ts';

const BATCH = 500;
const ORPHAN_AGE_MS = 10 * 60_000;
const NOTHING = Buffer.alloc(0);

type Writes = () => Promise<boolean>[];
type Write = (writes: Writes) => Promise<Result<void, StoreFault>>;

/** Move the records of one message to `corrupt`; the writes of one transaction. */
export function quarantineEntry(db: Environment, id: string): Promise<boolean>[] {
  const entry = db.entries.getBinary(id);
  const body = db.bodies.getBinary(id);
  const head = entry && entryHead(id, entry);
  return [
    ...(entry ? [db.corrupt.put(`${id} entry`, entry)] : []),
    ...(body ? [db.corrupt.put(`${id} body`, body)] : []),
    ...(head ? [db.due.remove([head.dueMs, id])] : []),
    db.entries.remove(id),
    db.bodies.remove(id),
  ];
}

export async function recoverQueue(
  db: Environment,
  options: {
    readonly directory: string;
    readonly logger: Pick<Logger, 'warning'>;
  },
  write: Write,
): Promise<Result<RecoveryReport, StoreFault>> {
  let entries = 0;
  let corrupt = 0;
  let reindexed = 0;
  let after: string | undefined;
  db.root.readerCheck();
  for (;;) {
    const batch = checkBatch(db, after);
    entries += batch.checked;
    corrupt += batch.damaged.length;
    reindexed += batch.unindexed.length;
    for (const id of batch.damaged) {
      options.logger.warning(`${id}: damaged queue entry, set aside`);
    }
    if (batch.damaged.length + batch.unindexed.length > 0) {
      const written = await write(() => [
        ...batch.damaged.flatMap((id) => quarantineEntry(db, id)),
        ...batch.unindexed.map(({ id, dueMs }) => db.due.put([dueMs, id], NOTHING)),
      ]);
      if (!written.ok) return written;
    }
    if (batch.last === undefined) break;
    after = batch.last;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const orphans = await removeOrphans(db, options.directory);
  return orphans.ok ? ok({ entries, corrupt, reindexed, orphans: orphans.value }) : orphans;
}

/** Look at some entries in one turn, so that no snapshot outlives it. */
function checkBatch(db: Environment, after: string | undefined) {
  const damaged: string[] = [];
  const unindexed: { readonly id: string; readonly dueMs: number }[] = [];
  let checked = 0;
  let last: string | undefined;
  db.root.resetReadTxn();
  const range = after === undefined ? {} : { start: after, exclusiveStart: true };
  for (const { key: id, value } of db.entries.getRange({ ...range, limit: BATCH })) {
    checked += 1;
    if (checked === BATCH) last = id;
    const head = checkEntry(db, id, value);
    if (!head) damaged.push(id);
    else if (!head.onHold && !db.due.doesExist([head.dueMs, id])) {
      unindexed.push({ id, dueMs: head.dueMs });
    }
  }
  return { checked: checked - damaged.length, damaged, unindexed, last };
}

/** The head of an entry that is whole and has its body record. */
function checkEntry(db: Environment, id: string, record: Buffer): EntryHead | undefined {
  if (!decodeEntry(id, record)) return undefined;
  const body = db.bodies.getBinary(id);
  return body && decodeBody(id, body) ? entryHead(id, record) : undefined;
}

async function removeOrphans(
  db: Environment,
  directory: string,
): Promise<Result<number, StoreFault>> {
  let removed = 0;
  try {
    for (const name of await readdir(`${directory}/bodies`)) {
      const { mtimeMs } = await stat(`${directory}/bodies/${name}`);
      if (Date.now() - mtimeMs < ORPHAN_AGE_MS) continue;
      db.root.resetReadTxn();
      const isKept = db.entries.doesExist(name) || db.corrupt.doesExist(`${name} entry`);
      if (isKept) continue;
      const fault = await removeBodyFile(directory, name);
      if (fault) return err(fault);
      removed += 1;
    }
    return ok(removed);
  } catch (error) {
    return err(faultOf(error));
  }
}
