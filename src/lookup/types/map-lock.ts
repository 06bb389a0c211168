/** One writer at a time for what is derived from a text: `maps/<table>.lock` holds its process id. */
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type MapId, mapPrefix } from './map-directory.ts';

const lockPath = (id: MapId): string => `${mapPrefix(id)}.lock`;

/** False: its holder lives. A lock whose holder has died is taken over. Throws when none can be made. */
export function takeLock(id: MapId): boolean {
  const lock = lockPath(id);
  const draft = `${lock}.${process.pid}`;
  // Linked with its content: nobody ever reads a lock without a process id.
  writeFileSync(draft, String(process.pid), { flag: 'wx', mode: 0o644 });
  try {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      if (linked(draft, lock)) return true;
      if (isHeld(lock)) return false;
      rmSync(lock, { force: true });
    }
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

function linked(draft: string, lock: string): boolean {
  try {
    linkSync(draft, lock);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function isHeld(lock: string): boolean {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));
    if (!(pid > 0)) return false;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and belongs to somebody else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

export function releaseLock(id: MapId): void {
  rmSync(lockPath(id), { force: true });
}
