/**
 * Delivery to a maildir: the message is written and synced under tmp/, moved to new/, and new/ is
 * synced, so that `sent` means on disk and a reader never sees half a message.
 *
 * Runs with the rights of the owner (see identity.ts). Missing directories are made 0700. The name
 * holds device and inode, so it is unique on the host.
 *
 * @see maildir(5), Postfix local(8)
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { type AgentBody, BodyFault } from './body.ts';
import { copyMessage, type DeliveryFields, deliveryFields } from './copy.ts';
import { errorText, isSystemError, statusOf } from './file-error.ts';

export type MaildirRequest = {
  /** Absolute path, with or without its final `/`. */
  readonly path: string;
  readonly fields: DeliveryFields;
  readonly body: AgentBody;
  /** mailbox_size_limit; 0: none. */
  readonly sizeLimit: number;
  readonly myhostname: string;
  readonly nowMs: number;
  /** Unique among the deliveries of this process. */
  readonly serial: number;
};

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY, O_DIRECTORY } = constants;

/** Never rejects for reasons of the file system: they become the Dsn. */
export async function deliverMaildir(request: MaildirRequest): Promise<Dsn> {
  const root = request.path.replace(/\/+$/, '');
  const seconds = Math.floor(request.nowMs / 1000);
  const host = request.myhostname.replaceAll('/', '\\057').replaceAll(':', '\\072');
  const tmp = `${root}/tmp/${seconds}.P${process.pid}Q${request.serial}.${host}`;
  let step = `create maildir file ${tmp}`;
  let created = false;
  try {
    const file = await createIn(root, tmp);
    created = true;
    let name: string;
    try {
      step = 'error writing message';
      await writeAll(file, request);
      await file.sync();
      const { dev, ino } = await file.stat();
      const us = Math.floor((request.nowMs % 1000) * 1000);
      name = `${seconds}.V${dev.toString(16)}I${ino.toString(16)}M${us}.${host}`;
    } finally {
      await file.close();
    }
    step = `create maildir file ${root}/new/${name}`;
    await moveIn(root, tmp, name);
    created = false;
    step = `sync ${root}/new`;
    await syncDirectory(`${root}/new`);
    return dsn('2.0.0', 'delivered to maildir');
  } catch (error) {
    if (created) await rm(tmp, { force: true }).catch(ignoreSystemError);
    if (error instanceof BodyFault) return dsn('4.3.0', `cannot read message: ${error.message}`);
    if (!isSystemError(error)) throw error;
    const status = statusOf(error, '4.2.0');
    return dsn(status, `maildir delivery failed: ${step}: ${errorText(error)}`);
  }
}

/** Sync a directory, so that the names made in it survive a crash. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, O_RDONLY | O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function createIn(root: string, tmp: string): Promise<FileHandle> {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  try {
    return await open(tmp, flags, 0o600);
  } catch (error) {
    if (!isSystemError(error) || error.code !== 'ENOENT') throw error;
  }
  await makeTree(root);
  return open(tmp, flags, 0o600);
}

/** Missing directories, each synced into its parent. */
async function makeTree(root: string): Promise<void> {
  const first = await mkdir(root, { recursive: true, mode: 0o700 });
  for (const name of ['tmp', 'new', 'cur']) {
    await mkdir(`${root}/${name}`, { recursive: true, mode: 0o700 });
  }
  await syncDirectory(root);
  if (first === undefined) return;
  for (let path = root; path.length >= first.length; path = parentOf(path)) {
    await syncDirectory(parentOf(path)).catch(ignoreSystemError);
  }
}

async function moveIn(root: string, tmp: string, name: string): Promise<void> {
  try {
    await rename(tmp, `${root}/new/${name}`);
  } catch (error) {
    if (!isSystemError(error) || error.code !== 'ENOENT') throw error;
    await makeTree(root);
    await rename(tmp, `${root}/new/${name}`);
  }
}

async function writeAll(
  file: FileHandle,
  { fields, body, sizeLimit }: MaildirRequest,
): Promise<void> {
  let size = 0;
  for await (const piece of copyMessage(body, { prepend: deliveryFields(fields) })) {
    size += piece.length;
    if (sizeLimit > 0 && size > sizeLimit) throw tooLarge();
    await writePiece(file, piece);
  }
}

/** Write a whole piece: one write(2) may take less. */
export async function writePiece(file: FileHandle, piece: Buffer): Promise<void> {
  for (let at = 0; at < piece.length; ) {
    const { bytesWritten } = await file.write(piece, at, piece.length - at);
    at += bytesWritten;
  }
}

/** What the kernel says at a file size limit; there is no setrlimit in Node. */
export const tooLarge = (): Error => Object.assign(new Error('EFBIG'), { code: 'EFBIG' });

function ignoreSystemError(error: unknown): void {
  if (!isSystemError(error)) throw error;
}

const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')));
