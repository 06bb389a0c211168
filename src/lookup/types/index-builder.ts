/**
 * Entry of the process that builds one index, so that no server stops for it or grows by it.
 *
 *   index-builder.ts REQUEST < text      REQUEST: a BuildRequest as JSON
 *
 * The text arrives open on standard input: this process needs no right to read it, only to write
 * into `maps/`. One `Built` as JSON goes to standard output. Exit 75: another process builds
 * already, or the text changed meanwhile; 74: the index could not be written.
 */
import { fstatSync } from 'node:fs';
import { makeMapsDirectory, versionOf } from './map-directory.ts';
import { type BuildRequest, buildIndex } from './map-index.ts';
import { releaseLock, takeLock } from './map-lock.ts';
import { fileChunks } from './source-lines.ts';

const BUSY = 75;
const FAILED = 74;

function main(): number {
  const request: BuildRequest = JSON.parse(process.argv[2] ?? '');
  makeMapsDirectory(request.id);
  if (!takeLock(request.id)) return BUSY;
  try {
    const built = buildIndex(fileChunks(0), request);
    if (!built.ok) {
      process.stderr.write(built.error);
      return FAILED;
    }
    process.stdout.write(JSON.stringify(built.value));
    return versionOf(fstatSync(0)) === request.version ? 0 : BUSY;
  } finally {
    releaseLock(request.id);
  }
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(error instanceof Error ? error.message : String(error));
  process.exitCode = FAILED;
}
