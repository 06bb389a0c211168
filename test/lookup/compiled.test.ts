import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Table } from '../../src/lookup/table.ts';
import { compiledTable, mapIdOf } from '../../src/lookup/types/compiled.ts';
import { NO_TEXT, writeEdits } from '../../src/lookup/types/edits.ts';
import { identifyHead } from '../../src/lookup/types/foreign.ts';
import { buildNow } from '../../src/lookup/types/index-build.ts';
import { versionOf } from '../../src/lookup/types/map-directory.ts';
import { needsRoot } from '../support/programs.ts';
import { ask, type Bench, bench, table } from './tables.ts';

/** Indexes are built by another process: look again until it has, for 20 seconds at most. */
async function settle(isDone: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await isDone()) return;
    await delay(50);
  }
}

async function askUntil(
  map: Table,
  key: string,
  wanted: string,
  tick: () => void,
): Promise<string> {
  let answer = '';
  await settle(async () => {
    tick();
    answer = await ask(map, key);
    return answer === wanted;
  });
  return answer;
}

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
    assert.equal(await askUntil(map, 'a', '2', () => (nowMs += 1000)), '2');

    context.file('map', 'lone\n');
    utimesSync(path, 1010, 1010);
    nowMs += 20_000;
    const isKept = (): boolean => context.warnings.some((line) => line.includes('keeping the old'));
    await settle(async () => {
      nowMs += 1000;
      assert.equal(await ask(map, 'a'), '2', 'a text with errors changes nothing');
      return isKept();
    });
    assert.ok(context.warnings.some((line) => line.includes(`${path}, line 1: expected format`)));
    const warnings = context.warnings.length;
    nowMs += 10_000;
    assert.equal(await ask(map, 'a'), '2');
    assert.equal(context.warnings.length, warnings, 'it is said once');
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

test('with map_rebuild_enable = no a changed text waits for postmap', async (t) => {
  const context = { ...bench(t), rebuilds: false };
  const path = context.file('map', 'a 1\n');
  utimesSync(path, 1000, 1000);
  let nowMs = 1_000_000;
  const opened = compiledTable('hash', path, context, () => nowMs);
  assert.ok(opened.ok);
  assert.equal(await ask(opened.value, 'a'), '1');
  context.file('map', 'a 2\n');
  utimesSync(path, 1100, 1100);
  nowMs = 1_200_000;
  assert.equal(await ask(opened.value, 'a'), '1');
  assert.match(context.warnings[0] ?? '', /is older than source file .*; run "postmap hash:/);
  const restarted = compiledTable('hash', path, context, () => nowMs);
  assert.ok(restarted.ok);
  assert.equal(await ask(restarted.value, 'a'), '1', 'a restart changes nothing');
  const id = mapIdOf(path, context);
  const request = { id, version: versionOf(statSync(path)), isStrict: false } as const;
  assert.ok(buildNow({ ...request, duplicates: 'warn', mode: 0o600 }).ok);
  nowMs += 2000;
  assert.equal(await ask(opened.value, 'a'), '2');
});

test('a text whose older version has an index and that has errors does not replace it', async (t) => {
  const context = bench(t);
  const path = context.file('map', 'a 1\n');
  const id = mapIdOf(path, context);
  const request = { id, version: versionOf(statSync(path)), isStrict: false } as const;
  assert.ok(buildNow({ ...request, duplicates: 'warn', mode: 0o600 }).ok);
  context.file('map', 'a 2\nlone\n');
  utimesSync(path, 1000, 1000);
  const map = table(`hash:${path}`, context);
  assert.equal(await ask(map, 'a'), '1');
  assert.ok(context.warnings.some((line) => line.includes('keeping the old contents')));
});

test('a text that others may not read is written nowhere else', async (t) => {
  const context = bench(t);
  const path = context.file('map', 'a secret\n');
  chmodSync(path, 0o600);
  mkdirSync(context.dataDirectory);
  if (process.getuid?.() === 0) chownSync(context.dataDirectory, 65_534, 65_534);
  const map = compiledTable('hash', path, context, Date.now, 0);
  assert.ok(map.ok);
  assert.equal(await ask(map.value, 'a'), 'secret');
  const isOwn = process.getuid?.() !== 0;
  assert.equal(readdirSync(join(context.dataDirectory, 'maps')).length > 0, isOwn);
});

test('as root an index of another owner is made and not opened', needsRoot(), async (t) => {
  const context = bench(t);
  chmodSync(context.directory, 0o755);
  const path = context.file('map', 'a 1\n');
  mkdirSync(context.dataDirectory);
  chownSync(context.dataDirectory, 65_534, 65_534);
  const map = compiledTable('hash', path, context, Date.now, 0);
  assert.ok(map.ok);
  const maps = join(context.dataDirectory, 'maps');
  const names = readdirSync(maps).filter((name) => !name.endsWith('-lock'));
  assert.equal(names.length, 1);
  assert.equal(statSync(join(maps, names[0] ?? '')).uid, 65_534);
  // What is in the file now would crash whoever opened it.
  writeFileSync(join(maps, names[0] ?? ''), 'not an index');
  assert.equal(await ask(map.value, 'a'), '1');
});

test('edits count until the text changes, and without a text', async (t) => {
  const context = bench(t);
  const path = context.file('map', 'a 1\nb 2\n');
  utimesSync(path, 1000, 1000);
  let nowMs = 1_000_000;
  const id = mapIdOf(path, context);
  for (const limit of [0, 1000]) {
    const opened = compiledTable('hash', path, context, () => nowMs, limit);
    assert.ok(opened.ok);
    const map = opened.value;
    assert.equal(await ask(map, 'a'), '1');
    const edits = new Map([
      ['a', null],
      ['c', '3'],
    ]);
    writeEdits(id, versionOf(statSync(path)), edits, 0o600);
    nowMs += 2000;
    assert.equal(await ask(map, 'A'), '<absent>');
    assert.equal(await ask(map, 'C'), '3');
    assert.deepEqual(
      [...map.entries()],
      [
        ['b', '2'],
        ['c', '3'],
      ],
    );
    writeEdits(id, 'another version', edits, 0o600);
    nowMs += 2000;
    assert.equal(await ask(map, 'a'), '1', 'edits of another text');
  }
  const bare = mapIdOf(`${path}-none`, context);
  writeEdits(bare, NO_TEXT, new Map([['k', 'v']]), 0o600);
  assert.equal(await ask(table(`hash:${path}-none`, context), 'k'), 'v');
});

test('a compiled file of another program is named, not opened', (t) => {
  const context = bench(t);
  const file = Buffer.alloc(4096);
  file.writeUInt32LE(0x061561, 12);
  file.writeUInt32LE(9, 16);
  const path = join(context.directory, 'old');
  writeFileSync(`${path}.db`, file);
  const opened = compiledTable('hash', path, context);
  assert.equal(opened.ok, false);
  assert.match(
    opened.ok ? '' : opened.error.reason,
    /old\.db, a hash file \(format 9\) of another program, is not opened; .*postmap -s hash:/,
  );
});

test('identifyHead() tells databases by their first bytes', () => {
  const words = (...pairs: readonly (readonly [at: number, value: number])[]): Buffer => {
    const head = Buffer.alloc(2048);
    for (const [at, value] of pairs) head.writeUInt32LE(value >>> 0, at);
    return head;
  };
  const kinds = [
    words([12, 0x053162], [16, 9]),
    words([12, 0x62310500], [16, 0x09000000]),
    words([16, 0xbeefc0de], [20, 1]),
    words([24, 0xbeefc0de], [28, 2]),
    Buffer.from('text\n'),
    words([0, 99_999]),
  ].map((head) => identifyHead(head, 4096));
  assert.deepEqual(
    kinds.map(({ kind, version }) => `${kind} ${version}`),
    ['btree 9', 'btree 9', 'lmdb 1', 'lmdb 2', 'unknown 0', 'unknown 0'],
  );
});
