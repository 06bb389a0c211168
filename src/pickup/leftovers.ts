/** What commands that were killed left in maildrop/: unfinished drops and spent proofs. */
import { lstat, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { PROOF_SUFFIX } from './caller.ts';
import { TEMPORARY_SUFFIX } from './maildrop.ts';

/** Remove those from before a time; how many. What may not be removed stays. */
export async function removeLeftovers(directory: string, beforeMs: number): Promise<number> {
  let removed = 0;
  try {
    for (const name of await readdir(directory)) {
      if (!name.endsWith(TEMPORARY_SUFFIX) && !name.endsWith(PROOF_SUFFIX)) continue;
      const path = join(directory, name);
      const { mtimeMs } = await lstat(path);
      if (mtimeMs >= beforeMs) continue;
      await unlink(path);
      removed += 1;
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
  return removed;
}
