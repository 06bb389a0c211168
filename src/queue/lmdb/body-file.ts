/**
 * Bodies too large for a database record: one file each in `bodies/`, named by the queue id.
 *
 * A writer takes chunks as they come, with bounded memory, and computes the checksum on the way;
 * `finish` returns when file and directory entry are on disk. The record that names the file is
 * written after that, and the file is removed after the record is.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { err, ok, type Result } from '../../util/result.ts';
import type { StoreFault } from '../store.ts';
import { faultOf } from './environment.ts';

const PENDING_BYTES = 256 * 1024;
const READ_BYTES = 256 * 1024;

export type FileFacts = { readonly crc: number; readonly bytes: number };

export type BodyWriter = {
  /** True, or a promise to await before the next write. */
  readonly write: (chunk: Buffer) => true | Promise<void>;
  readonly finish: () => Promise<Result<FileFacts, StoreFault>>;
  readonly abort: () => void;
};

export const bodyPath = (directory: string, id: string): string => `${directory}/bodies/${id}`;

export function writeBodyFile(directory: string, id: string): BodyWriter {
  const path = bodyPath(directory, id);
  let handle: FileHandle | undefined;
  let failure: unknown;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let crc = 0;
  let bytes = 0;
  let running: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    try {
      handle ??= await open(path, 'wx', 0o600);
      while (pending.length > 0) {
        const chunks = pending;
        pending = [];
        await writeAll(handle, chunks, pendingBytes);
        pendingBytes = pending.reduce((sum, chunk) => sum + chunk.length, 0);
      }
    } catch (error) {
      failure = error;
      pending = [];
      pendingBytes = 0;
    } finally {
      running = undefined;
    }
  };

  const close = async (): Promise<void> => {
    while (running) await running;
    await handle?.close();
    handle = undefined;
  };

  return {
    write: (chunk) => {
      if (failure !== undefined) return true;
      crc = crc32(chunk, crc);
      bytes += chunk.length;
      pending.push(chunk);
      pendingBytes += chunk.length;
      running ??= drain();
      return pendingBytes <= PENDING_BYTES ? true : running;
    },
    finish: async () => {
      while (running) await running;
      try {
        if (failure !== undefined) throw failure;
        await handle?.sync();
        await close();
        await syncDirectory(`${directory}/bodies`);
        return ok({ crc, bytes });
      } catch (error) {
        await close().catch(() => undefined);
        await removeBodyFile(directory, id);
        return err(faultOf(error));
      }
    },
    abort: () => {
      failure ??= new Error('aborted');
      close().then(
        () => removeBodyFile(directory, id),
        () => removeBodyFile(directory, id),
      );
    },
  };
}

async function writeAll(handle: FileHandle, chunks: Buffer[], total: number): Promise<void> {
  const { bytesWritten } = await handle.writev(chunks);
  if (bytesWritten >= total) return;
  // A short write, as before a full disk: what is left goes out whole, or fails with the cause.
  await handle.writeFile(Buffer.concat(chunks).subarray(bytesWritten));
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Remove a file whose record is gone. Undefined, or why it is still there. */
export async function removeBodyFile(
  directory: string,
  id: string,
): Promise<StoreFault | undefined> {
  try {
    await unlink(bodyPath(directory, id));
    return undefined;
  } catch (error) {
    const fault = faultOf(error);
    return fault.kind === 'absent' ? undefined : fault;
  }
}

/** Read the whole file once and compare it with what its record says. */
export async function verifyBodyFile(
  directory: string,
  id: string,
  facts: FileFacts,
): Promise<StoreFault | undefined> {
  const block = Buffer.allocUnsafeSlow(READ_BYTES);
  let crc = 0;
  let bytes = 0;
  try {
    const handle = await open(bodyPath(directory, id), 'r');
    try {
      for (;;) {
        const { bytesRead } = await handle.read(block, 0, block.length, bytes);
        if (bytesRead === 0) break;
        crc = crc32(block.subarray(0, bytesRead), crc);
        bytes += bytesRead;
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    const fault = faultOf(error);
    return fault.kind === 'absent' ? { kind: 'corrupt', reason: `body file is gone` } : fault;
  }
  if (bytes === facts.bytes && crc === facts.crc) return undefined;
  return { kind: 'corrupt', reason: `body file: ${bytes} bytes, checksum ${crc}` };
}

/** `head`, then the file. */
export async function* readBodyFile(
  directory: string,
  id: string,
  head: Buffer,
): AsyncGenerator<Buffer, void, void> {
  if (head.length > 0) yield head;
  for await (const chunk of createReadStream(bodyPath(directory, id), {
    highWaterMark: READ_BYTES,
  })) {
    if (Buffer.isBuffer(chunk)) yield chunk;
  }
}
