import assert from 'node:assert/strict';
import { readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Table } from '../../src/lookup/table.ts';
import { compiledTable } from '../../src/lookup/types/compiled.ts';
import { ask, type Bench, bench, table } from './tables.ts';

/** Limit 0 sends every text through an index, a large one keeps it in memory. */
for (const limit of [0, 1 << 20]) {
  const where = limit === 0 ? 'an index' : 'memory';
  const open = (path: string, context: Bench, clock: () => number): Table => {
    const opened = compiledTable('hash', path, context, clock, limit);
    if (!opened.ok) throw new Error(opened.error.reason);
    return opened.value;
  };

  test(`hash: answers from ${where} and follows its text once that has rested`, async (t) => {
    const context = bench(t);
    const path = context.file('map', 'a 1\nB@C two words\n');
    utimesSync(path, 1000, 1000);
    let nowMs = 1_000_000;
    const map = open(path, context, () => nowMs);
    assert.equal(await ask(map, 'b@c'), 'two words');
    assert.equal(await ask(map, 'none'), '<absent>');
    assert.equal(await ask(map, 'x'.repeat(5000)), '<absent>');

    context.file('map', 'a 2\n');
    utimesSync(path, 1002, 1002);
    nowMs = 1_003_000;
    assert.equal(await ask(map, 'a'), '1', 'the file is too fresh');
    nowMs = 1_004_500;
    assert.equal(await ask(map, 'a'), '2');

    context.file('map', 'lone\n');
    utimesSync(path, 1010, 1010);
    nowMs = 1_020_000;
    assert.equal(await ask(map, 'a'), '2', 'a text with errors changes nothing');
    assert.ok(context.warnings.some((line) => line.includes(`${path}, line 1`)));
  });
}

test('an index is shared, versioned, and never lies beside the text', async (t) => {
  const context = bench(t);
  const path = context.file('map', 'a 1\n');
  const first = compiledTable('hash', path, context, Date.now, 0);
  const second = compiledTable('lmdb', path, context, Date.now, 0);
  assert.ok(first.ok && second.ok);
  assert.equal(await ask(first.value, 'a'), '1');
  assert.equal(await ask(second.value, 'a'), '1');
  const maps = readdirSync(join(context.dataDirectory, 'maps'));
  assert.equal(maps.filter((name) => !name.endsWith('-lock')).length, 1);
  assert.deepEqual(readdirSync(context.directory).sort(), ['data', 'map']);
});

test('without a writable data directory the table stays in memory, with one warning', async (t) => {
  const base = bench(t);
  const path = base.file('map', 'a 1\n');
  const context = { ...base, dataDirectory: path };
  const map = compiledTable('hash', path, context, Date.now, 0);
  assert.ok(map.ok);
  assert.equal(await ask(map.value, 'a'), '1');
  assert.equal(context.warnings.length, 1);
});

test('a table of alias_maps is read as aliases(5)', async (t) => {
  const context = bench(t);
  const path = context.file('aliases', 'Root: joe, "|cmd"\n');
  assert.equal(await ask(table(`hash:${path}`, context), 'root'), 'joe, "|cmd"');
});
