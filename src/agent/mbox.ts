/**
 * Delivery to one file in mbox format: lock, append, sync; cut back to the old size on any error.
 *
 * Runs with the rights of the owner. The file must be regular, have one link and, with
 * strict_mailbox_ownership, belong to its recipient; a symbolic link is never followed.
 *
 * Unlike Postfix: the lock is the dotlock `FILE.lock` alone. Node has no fcntl locks, so programs
 * that read the file must honour dotlocks; a maildir needs none.
 *
 * @see Postfix mbox_open(3), dot_lockfile(3), safe_open(3)
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { type AgentBody, BodyFault } from './body.ts';
import { copyMessage, type DeliveryFields, deliveryFields, fromLine } from './copy.ts';
import { errorText, isSystemError, statusOf } from './file-error.ts';
import { syncDirectory, tooLarge, writePiece } from './maildir.ts';

export type MboxRequest = {
  readonly path: string;
  readonly fields: DeliveryFields;
  readonly body: AgentBody;
  readonly sizeLimit: number;
  readonly nowMs: number;
  /** The uid that must own the file; undefined: any. */
  readonly owner: number | undefined;
  /** `mailbox`, or `file: /path` for an alias: what the log says on success. */
  readonly delivered: string;
  /** In front of an error. */
  readonly failed: string;
  /** A lock that may not be made is done without: alias files in foreign directories. */
  readonly lockMayFail: boolean;
  readonly lock: LockLimits;
};

export type LockLimits = {
  readonly attempts: number;
  readonly delayMs: number;
  readonly staleMs: number;
};

/** A failure with its own status. */
class Refusal extends Error {
  readonly dsn: Dsn;
  constructor(value: Dsn) {
    super(value.reason);
    this.dsn = value;
  }
}

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_WRONLY } = constants;

/** Never rejects for reasons of the file system: they become the Dsn. */
export async function deliverMbox(request: MboxRequest): Promise<Dsn> {
  const { path, failed } = request;
  let release: (() => Promise<void>) | undefined;
  try {
    if (path !== '/dev/null') release = await takeLock(request);
    await append(request);
    return dsn('2.0.0', `delivered to ${request.delivered}`);
  } catch (error) {
    if (error instanceof Refusal) return dsn(error.dsn.status, `${failed}${error.dsn.reason}`);
    if (error instanceof BodyFault) return dsn('4.3.0', `cannot read message: ${error.message}`);
    if (!isSystemError(error)) throw error;
    return dsn(statusOf(error, '4.2.0'), `${failed}error writing message: ${errorText(error)}`);
  } finally {
    await release?.();
  }
}

async function append(request: MboxRequest): Promise<void> {
  const { path, fields, nowMs } = request;
  const { file, isNew } = await openMailbox(request);
  try {
    const { size } = await file.stat();
    const prepend = fromLine(fields.sender, nowMs) + deliveryFields(fields);
    const options = { prepend, quotesFrom: true, endsBlank: true };
    try {
      let total = size;
      for await (const piece of copyMessage(request.body, options)) {
        total += piece.length;
        if (request.sizeLimit > 0 && total > request.sizeLimit) throw tooLarge();
        await writePiece(file, piece);
      }
      if (path !== '/dev/null') await file.sync();
    } catch (error) {
      if (path !== '/dev/null') await cutBack(file, size);
      throw error;
    }
  } finally {
    await file.close();
  }
  if (isNew) await syncDirectory(path.slice(0, Math.max(1, path.lastIndexOf('/'))));
}

async function cutBack(file: FileHandle, size: number): Promise<void> {
  try {
    await file.truncate(size);
    await file.sync();
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}

/** Open what is there, else create it; what is opened is checked, not the name. */
async function openMailbox({
  path,
  owner,
}: MboxRequest): Promise<{ readonly file: FileHandle; readonly isNew: boolean }> {
  const isSink = path === '/dev/null';
  for (const isNew of [false, true]) {
    const flags = isNew ? O_CREAT | O_EXCL : O_NONBLOCK;
    let file: FileHandle;
    try {
      file = await open(path, O_RDWR | O_APPEND | O_NOFOLLOW | flags, 0o600);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (!isNew && error.code === 'ENOENT') continue;
      if (error.code === 'ELOOP')
        throw new Refusal(dsn('4.2.0', `file ${path} is a symbolic link`));
      throw new Refusal(
        dsn(statusOf(error, '4.2.0'), `cannot open file ${path}: ${errorText(error)}`),
      );
    }
    const facts = await file.stat();
    const fault = isSink
      ? undefined
      : !facts.isFile()
        ? `file ${path} is not a regular file`
        : facts.nlink !== 1
          ? `file ${path} has ${facts.nlink} hard links`
          : owner !== undefined && facts.uid !== owner
            ? `destination ${path} is not owned by recipient`
            : undefined;
    if (fault === undefined) return { file, isNew };
    await file.close();
    throw new Refusal(dsn('4.2.0', fault));
  }
  throw new Refusal(dsn('4.2.0', `file ${path} came and went`));
}

/** @returns how to give the lock back; undefined when it is done without */
async function takeLock(request: MboxRequest): Promise<(() => Promise<void>) | undefined> {
  const { path, lock, lockMayFail } = request;
  const name = `${path}.lock`;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const file = await open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o444);
      await file.close();
      return () => rm(name, { force: true });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (error.code !== 'EEXIST') {
        if (lockMayFail && (error.code === 'EACCES' || error.code === 'EROFS')) return undefined;
        const text = `unable to create lock file ${name}: ${errorText(error)}`;
        throw new Refusal(dsn(statusOf(error, '4.2.0'), text));
      }
    }
    if (await removeStale(name, lock.staleMs, request.nowMs)) continue;
    if (attempt >= lock.attempts) {
      throw new Refusal(dsn('4.2.0', `unable to lock for exclusive access: ${name}: File exists`));
    }
    await sleep(lock.delayMs);
  }
}

/** Whether the lock was left behind long ago, or has gone. */
async function removeStale(name: string, staleMs: number, nowMs: number): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(name);
    if (nowMs - mtimeMs < staleMs) return false;
    await rm(name, { force: true });
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return error.code === 'ENOENT';
  }
}
