/**
 * Free space of the queue's file system: Postfix's rule for taking mail, and the ballast.
 *
 * The ballast is a preallocated file. When a full disk would keep us from writing down an outcome
 * (which would mean a second delivery), it is given up; `restore` makes it again when there is room.
 *
 * @see postconf(5) queue_minfree, smtpd_check_size in smtpd(8)
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  renameSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { err, ok, type Result } from '../../util/result.ts';
import type { StoreFault } from '../store.ts';
import { faultOf } from './environment.ts';

const BALLAST_BYTES = 4 * 2 ** 20;
/** Below this no mail is taken whatever queue_minfree says: outcomes need room. */
const FLOOR_BYTES = 2 ** 20;
const CACHE_MS = 1000;
const MESSAGE_FACTOR = 1.5;

export type Space = {
  readonly accepts: (sizeBytes: number) => Result<void, StoreFault>;
  /** Room for new mail beside what outcomes may need; as of the last second. */
  readonly hasRoom: () => Result<void, StoreFault>;
  /** Short of space at this moment (not cached). */
  readonly isShort: () => boolean;
  /** Give up the ballast. True when there was one. */
  readonly release: () => boolean;
  /** Make the ballast unless it exists or room is scarce. */
  readonly restore: () => void;
};

export function spaceOf(
  directory: string,
  minFreeBytes: number,
  nowMs: () => number,
  ballastBytes = BALLAST_BYTES,
): Space {
  const ballast = `${directory}/ballast`;
  let free: Result<number, StoreFault> = ok(0);
  let checkedMs = Number.NEGATIVE_INFINITY;

  const measure = (): Result<number, StoreFault> => {
    checkedMs = nowMs();
    try {
      const { bavail, bsize } = statfsSync(directory);
      free = ok(bavail * bsize);
    } catch (error) {
      free = err(faultOf(error));
    }
    return free;
  };

  const require = (needed: number): Result<void, StoreFault> => {
    const known = nowMs() - checkedMs > CACHE_MS ? measure() : free;
    if (!known.ok) return known;
    if (known.value > needed) return ok(undefined);
    return err({ kind: 'no-space', reason: `${known.value} bytes free, ${needed} needed` });
  };

  return {
    accepts: (sizeBytes) =>
      require(Math.max(minFreeBytes, FLOOR_BYTES, sizeBytes * MESSAGE_FACTOR)),
    hasRoom: () => require(FLOOR_BYTES),
    isShort: () => {
      const known = measure();
      return known.ok && known.value < FLOOR_BYTES;
    },
    release: () => {
      checkedMs = Number.NEGATIVE_INFINITY;
      return removeFile(ballast);
    },
    restore: () => {
      const known = measure();
      if (!known.ok || known.value < minFreeBytes + FLOOR_BYTES + 4 * ballastBytes) return;
      if (!preallocate(ballast, ballastBytes)) removeFile(`${ballast}.new`);
    },
  };
}

/** True when the file now exists with all its blocks. */
function preallocate(path: string, bytes: number): boolean {
  try {
    const fd = openSync(`${path}.new`, 'wx', 0o600);
    try {
      const block = Buffer.alloc(65536, 'postern ballast\n');
      for (let left = bytes; left > 0; left -= block.length) writeSync(fd, block);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${path}.new`, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  }
}

function removeFile(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  }
}
