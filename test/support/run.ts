/**
 * The test command: every test/**\/*.test.ts under node:test, then one closing line.
 *
 *   node test/support/run.ts [FILE or FOLDER ...]
 *
 * A test whose program is missing is skipped with the reason; with CI=true it fails instead
 * (test/support/programs.ts). Exit 1 when any test failed or none ran.
 */
import { globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = join(import.meta.dirname, '../..');
const wanted = process.argv.slice(2);
const files = (wanted.length > 0 ? wanted : ['test']).flatMap((path) =>
  statSync(join(root, path)).isDirectory()
    ? globSync(join(root, path, '**/*.test.ts'))
    : [join(root, path)],
);

let passed = 0;
let failed = 0;
let skipped = 0;
const stream = run({ files: files.sort(), concurrency: availableParallelism(), timeout: 240_000 });
stream.on('test:pass', ({ details, skip }) => {
  if (details.type === 'suite') return;
  if (skip !== undefined && skip !== false) skipped += 1;
  else passed += 1;
});
stream.on('test:fail', ({ details }) => {
  if (details.type !== 'suite') failed += 1;
});
stream.once('end', () => {
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  setImmediate(() => {
    const note = skipped > 0 ? `${skipped} skipped: their program is not installed\n` : '';
    process.stdout.write(`${note}${passed} passed, ${failed} failed\n`);
  });
});
stream.compose(spec).pipe(process.stdout);
