/** Make a file, or the names in a directory, durable by its path. @see fsync(2) */
import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Throws what open(2) or fsync(2) say. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
