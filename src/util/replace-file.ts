/** Replacing a file as a whole: readers see the old one or the new one, also after a crash. */
import { fchmodSync, fchownSync, fsyncSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { syncPath } from './sync-path.ts';

export type Rights = {
  /** Access bits. */
  readonly mode: number;
  /** Given to the file when root does it. */
  readonly owner?: { readonly uid: number; readonly gid: number };
};

/**
 * Fill the file just created as `temporary` (open as `descriptor`, for its owner only), sync it and
 * give it the name of `target`. Throws what the system says; `temporary` is then the caller's.
 */
export function replaceFile(
  descriptor: number,
  temporary: string,
  target: string,
  content: string | Buffer,
  { mode, owner }: Rights,
): void {
  if (process.getuid?.() === 0 && owner) fchownSync(descriptor, owner.uid, owner.gid);
  fchmodSync(descriptor, mode);
  writeFileSync(descriptor, content);
  fsyncSync(descriptor);
  renameSync(temporary, target);
  syncPath(dirname(target));
}
