/** One writer at a time for what is derived from a text: `maps/<table>.lock` holds its process id. */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { type MapId, mapPrefix } from './map-directory.ts';

const lockPath = (id: MapId): string => `${mapPrefix(id)}.lock`;

/** False: its holder lives. A lock whose holder has died is taken over. */
export function takeLock(id: MapId): boolean {
  const lock = lockPath(id);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      const descriptor = openSync(lock, 'wx', 0o600);
      writeSync(descriptor, String(process.pid));
      closeSync(descriptor);
      return true;
    } catch {
      if (isHeld(lock)) return false;
      rmSync(lock, { force: true });
    }
  }
  return false;
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
