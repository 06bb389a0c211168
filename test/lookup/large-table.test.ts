/**
 * A large table, scaled down: what an index answers and what it costs. bench/tables.ts has the whole
 * size and the times.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildVirtualTable, virtualKey, virtualValue } from '../../bench/tables/virtual-table.ts';
import { needs } from '../support/programs.ts';
import { ask, bench, table } from './tables.ts';

const LINES = 100_000;

test('a table of 100,000 lines is answered from its index', async (t) => {
  const context = bench(t);
  const path = context.file('virtual', [...buildVirtualTable(LINES)].join(''));
  const map = table(`hash:${path}`, context);
  for (const index of [0, 1, 777, 54_321, LINES - 1]) {
    assert.equal(await ask(map, virtualKey(index).toUpperCase()), virtualValue(index));
  }
  assert.equal(await ask(map, virtualKey(LINES)), '<absent>');
  assert.deepEqual(context.warnings, []);

  const lookups = join(import.meta.dirname, '../../bench/tables/lookups.ts');
  const cost = (how: string): number => {
    const words = ['--expose-gc', lookups, how, path, String(LINES), context.dataDirectory];
    const { megabytes } = JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' }));
    assert.equal(typeof megabytes, 'number');
    return megabytes;
  };
  const own = cost('index') - cost('memory');
  assert.ok(own < 20, `${own} MB of its own`);
});

test('making an index takes little memory', needs('time'), (t) => {
  const context = bench(t);
  const path = context.file('virtual', [...buildVirtualTable(LINES)].join(''));
  writeFileSync(
    join(context.directory, 'main.cf'),
    `myhostname = mail.example.org\ndata_directory = ${context.dataDirectory}\n`,
  );
  const postmap = join(import.meta.dirname, '../../src/cmd/main.ts');
  const words = ['-f', '%M', process.execPath, postmap, 'postmap', '-c', context.directory];
  const done = spawnSync('/usr/bin/time', [...words, `hash:${path}`], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  const kilobytes = Number(done.stderr.trim());
  // A tenth of the size: the program itself, and a tenth of the pages of a million lines.
  assert.ok(kilobytes > 0 && kilobytes < 160_000, `${kilobytes} KiB`);
});
