/** sqlite: tables against real database files. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import {
  ask,
  askElsewhere,
  askOrFault,
  HOSTILE_TEXTS,
  IMPOSSIBLE_TEXTS,
  remoteBench,
  type Settings,
} from './bench.ts';

const SCHEMA = `
  CREATE TABLE aliases (address TEXT, goto TEXT, extra TEXT);
  INSERT INTO aliases VALUES ('joe@example.org', 'joe', 'x'), ('list@example.org', 'x@example.net', NULL),
    ('list@example.org', 'y@example.net', NULL), ('null@example.org', NULL, 'x'),
    ('empty@example.org', '', 'x'), ('bare', 'root', NULL);`;
const QUERY = "SELECT goto, extra FROM aliases WHERE address = '%s'";

const CASES: readonly (readonly [Settings, string, string])[] = [
  [{}, 'joe@example.org', 'joe'],
  [{}, 'nobody@example.org', '<absent>'],
  [{}, 'list@example.org', 'x@example.net,y@example.net'],
  [{}, 'null@example.org', '<absent>'],
  [{}, 'empty@example.org', '<absent>'],
  [{ expansion_limit: 1 }, 'list@example.org', '<retry>'],
  [{ result_format: '%u for %U' }, 'list@example.org', 'x for list,y for list'],
  [{ query: "SELECT '%u|%d|%1'" }, 'a@b.example.org', 'a|b.example.org|org'],
  [{ query: "SELECT 9007199254740993 WHERE '%s' <> ''" }, 'a', '9007199254740993'],
  [{ query: "SELECT 1.5 WHERE '%s' <> ''" }, 'a', '1.5'],
  [{ query: "SELECT x'6162' WHERE '%s' <> ''" }, 'a', 'ab'],
  [{ query: 'SELECT goto FROM aliases WHERE address = "%s"' }, 'joe@example.org', 'joe'],
  [{ query: 'SELECT goto FROM aliases WHERE address = "%s"' }, 'address', '<absent>'],
  [{ query: 'SELECT goto FROM aliases WHERE address = "bare" AND \'%s\' <> ""' }, 'x', 'root'],
  [{ query: '', table: 'aliases', select_field: 'goto', where_field: 'address' }, 'bare', 'root'],
  [{ domain: 'example.net' }, 'joe@example.org', '<absent>'],
  [{ domain: 'example.org', query: "SELECT '%d'" }, 'a@example.org', 'example.org'],
  [{ domain: 'example.org', query: "SELECT '%d'" }, '@example.org', '<absent>'],
  [{ query: 'SELECT nonsense FROM' }, 'joe', '<retry>'],
  [{ query: 'SELECT x FROM missing' }, 'joe', '<retry>'],
  [{ query: "DELETE FROM aliases WHERE address <> '%s'" }, 'joe', '<retry>'],
  [{ query: 'SELECT %u' }, 'goto', '<retry>'],
  [{ dbpath: '/no/such/file' }, 'joe', '<retry>'],
  [{ dbpath: '' }, 'joe', '<fault>'],
];

function database(directory: string): DatabaseSync {
  const made = new DatabaseSync(join(directory, 'db'));
  made.exec(SCHEMA);
  return made;
}

test('settings, keys and what they give', async (t) => {
  const bench = remoteBench(t);
  const path = join(bench.directory, 'db');
  database(bench.directory).close();
  for (const [more, key, want] of CASES) {
    const got = await askOrFault(bench, 'sqlite', { dbpath: path, query: QUERY, ...more }, key);
    assert.equal(got, want, `${JSON.stringify(more)} ${key}`);
  }
  assert.match(
    bench.warnings.join('\n'),
    /sqlite:.*\.cf: query failed: .*db: no such table: missing/,
  );
  assert.match(
    bench.warnings.join('\n'),
    /sqlite:.*\.cf: query failed: \/no\/such\/file: unable to open/,
  );
});

test('updates are seen at once; a file that comes later is found', async (t) => {
  const bench = remoteBench(t);
  const table = bench.table('sqlite', { dbpath: join(bench.directory, 'db'), query: QUERY });
  assert.equal(await ask(table, 'joe@example.org'), '<retry>');
  const writer = database(bench.directory);
  t.after(() => writer.close());
  assert.equal(await ask(table, 'joe@example.org'), 'joe');
  writer.exec("UPDATE aliases SET goto = 'jane' WHERE address = 'joe@example.org'");
  assert.equal(await ask(table, 'joe@example.org'), 'jane');
});

test('nothing but the literal key is looked up', async (t) => {
  const bench = remoteBench(t);
  const path = join(bench.directory, 'db');
  database(bench.directory).close();
  for (const query of [
    "SELECT '<' || '%s' || '>'",
    'SELECT "<" || "%s" || ">"',
    "SELECT '<' || '%u' || '@' || '%d' || '>'",
  ]) {
    const table = bench.table('sqlite', { dbpath: path, query });
    for (const text of HOSTILE_TEXTS) {
      for (const key of [`${text}@example.org`, `u@${text}`, `${text}@${text}`]) {
        assert.equal(await ask(table, key), `<${key}>`, `${query} ${JSON.stringify(key)}`);
      }
    }
    for (const key of IMPOSSIBLE_TEXTS) assert.equal(await ask(table, key), '<absent>');
  }
  assert.deepEqual(bench.warnings, []);
});

test('a slow query neither holds the process nor lasts', async (t) => {
  const bench = remoteBench(t);
  const path = join(bench.directory, 'db');
  database(bench.directory).close();
  const steps = 30_000_000;
  const slow = `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ${steps}) SELECT MAX(n) FROM c WHERE '%s' <> ''`;
  const table = bench.table('sqlite', { dbpath: path, query: slow, timeout: 2 });
  let turns = 0;
  const ticking = setInterval(() => (turns += 1), 10);
  assert.equal(await ask(table, 'x'), '<retry>');
  clearInterval(ticking);
  assert.ok(turns > 20, `${turns} turns of the event loop`);
  assert.match(bench.warnings.join(), /no answer within 2 s/);
  const quick = bench.table('sqlite', { dbpath: path, query: QUERY, timeout: 2 });
  assert.equal(await ask(quick, 'bare'), 'root');
});

test('a writer that holds the file delays, and then fails, the lookup', async (t) => {
  const bench = remoteBench(t);
  const writer = database(bench.directory);
  t.after(() => writer.close());
  const table = bench.table('sqlite', { dbpath: join(bench.directory, 'db'), query: QUERY });
  writer.exec('BEGIN EXCLUSIVE');
  assert.equal(await ask(table, 'bare'), '<retry>');
  assert.match(bench.warnings.join(), /database is locked/);
  writer.exec('COMMIT');
  assert.equal(await ask(table, 'bare'), 'root');
});

test('a file that was removed and made anew is read anew', async (t) => {
  const bench = remoteBench(t);
  const path = join(bench.directory, 'db');
  database(bench.directory).close();
  const table = bench.table('sqlite', { dbpath: path, query: QUERY });
  assert.equal(await ask(table, 'bare'), 'root');
  rmSync(path);
  const second = database(bench.directory);
  second.exec("UPDATE aliases SET goto = 'other' WHERE address = 'bare'");
  second.close();
  assert.equal(await ask(table, 'bare'), 'other');
});

test('an idle thread keeps no process alive', async (t) => {
  const bench = remoteBench(t);
  database(bench.directory).close();
  const path = bench.file('ends.cf', { dbpath: join(bench.directory, 'db'), query: QUERY });
  assert.equal(await askElsewhere('sqlite', path, 'bare'), 'root');
});
