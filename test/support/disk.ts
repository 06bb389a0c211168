/**
 * An ext4 file system in an image file: small, so that it can be filled, and copied while mounted,
 * which is what a disk holds at the moment the power goes.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Disk = {
  /** Where it is mounted. */
  readonly mounted: string;
  /** What had reached the disk by now, as a file to be given to `mountCopy`. */
  readonly copy: () => string;
  /** Take all free space. Returns how to give it back. */
  readonly fill: () => () => void;
  readonly remove: () => void;
};

const succeeds = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore' }).status === 0;

/** Undefined where mounting is not allowed. */
export function makeDisk(megabytes: number): Disk | undefined {
  const top = mkdtempSync(join(tmpdir(), 'postern-disk-'));
  const image = join(top, 'image');
  const mounted = join(top, 'mounted');
  mkdirSync(mounted);
  // For servers that run under another account.
  chmodSync(top, 0o755);
  const isMade =
    succeeds('truncate', '-s', `${megabytes}M`, image) &&
    succeeds('mkfs.ext4', '-q', '-F', image) &&
    succeeds('mount', '-o', 'loop', image, mounted);
  if (!isMade) {
    rmSync(top, { recursive: true });
    return undefined;
  }
  let copies = 0;
  return {
    mounted,
    copy: () => {
      copies += 1;
      copyFileSync(image, join(top, `copy${copies}`));
      return join(top, `copy${copies}`);
    },
    fill: () => {
      const filler = join(mounted, 'filler');
      const { bavail, bsize } = statfsSync(mounted);
      const blocks = String(Math.max(1, bavail));
      // What fallocate cannot get at once, dd takes block by block, until nothing is left.
      succeeds('fallocate', '-l', String(bavail * bsize), filler);
      succeeds('dd', 'if=/dev/zero', `of=${filler}.rest`, `bs=${bsize}`, `count=${blocks}`);
      return () => {
        for (const path of [filler, `${filler}.rest`]) rmSync(path, { force: true });
      };
    },
    remove: () => {
      for (let attempt = 0; attempt < 20 && !succeeds('umount', mounted); attempt += 1) {
        spawnSync('sleep', ['0.2']);
      }
      succeeds('umount', '-l', mounted);
      rmSync(top, { recursive: true, force: true });
    },
  };
}

/** Run `use` with the copy mounted, as after the next boot. */
export async function mountCopy<T>(copy: string, use: (mounted: string) => Promise<T>): Promise<T> {
  const mounted = `${copy}.mounted`;
  mkdirSync(mounted);
  if (!succeeds('mount', '-o', 'loop', copy, mounted)) throw new Error(`${copy}: cannot mount`);
  try {
    return await use(mounted);
  } finally {
    succeeds('umount', mounted);
    rmSync(copy);
  }
}
