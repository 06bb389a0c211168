import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type MapId, mapPrefix } from '../../src/lookup/types/map-directory.ts';
import { releaseLock, takeLock } from '../../src/lookup/types/map-lock.ts';
import { bench } from './tables.ts';

test('a lock is taken once, and from a process that has died', (t) => {
  const { dataDirectory } = bench(t);
  const id: MapId = { dataDirectory, path: '/x', format: {} };
  assert.throws(() => takeLock(id), /ENOENT/);
  mkdirSync(join(dataDirectory, 'maps'), { recursive: true });
  assert.equal(takeLock(id), true);
  assert.equal(takeLock(id), false);
  releaseLock(id);
  assert.equal(takeLock(id), true);
  const { pid } = spawnSync(process.execPath, ['--version']);
  writeFileSync(`${mapPrefix(id)}.lock`, String(pid));
  assert.equal(takeLock(id), true);
  assert.equal(readdirSync(join(dataDirectory, 'maps')).length, 1, 'no drafts are left');
});
