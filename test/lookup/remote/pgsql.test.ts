/** pgsql: tables against a real PostgreSQL server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { needsPostgres, type Postgres, startPostgres } from '../../support/postgres.ts';
import {
  ask,
  askOrFault,
  HOSTILE_TEXTS,
  IMPOSSIBLE_TEXTS,
  remoteBench,
  type Settings,
} from './bench.ts';

const options = needsPostgres();
let server: Postgres;

before(async () => {
  if (options.skip) return;
  server = await startPostgres();
  await server.sql(`
    CREATE TABLE aliases (address TEXT, goto TEXT, extra TEXT, active BOOL DEFAULT true);
    INSERT INTO aliases (address, goto, extra) VALUES ('joe@example.org', 'joe', NULL),
      ('two@example.org', 'a@b.example', 'c@d.example'), ('list@example.org', 'x@example.net', NULL),
      ('list@example.org', 'y@example.net', NULL), ('empty@example.org', '', NULL),
      ('bare', 'root', NULL);
    CREATE FUNCTION forward(TEXT) RETURNS SETOF TEXT LANGUAGE sql AS
      'SELECT goto FROM aliases WHERE address = $1';`);
});
after(async () => server?.stop());

const QUERY = "SELECT goto, extra FROM aliases WHERE address = '%s'";
const settings = (more: Settings = {}): Settings => ({
  hosts: `127.0.0.1:${server.port}`,
  user: 'postfix',
  password: 'secret',
  dbname: 'mail',
  query: QUERY,
  timeout: 5,
  ...more,
});
const old = { query: '' };

const CASES: readonly (readonly [Settings, string, string])[] = [
  [{}, 'joe@example.org', 'joe'],
  [{}, 'nobody@example.org', '<absent>'],
  [{}, 'two@example.org', 'a@b.example,c@d.example'],
  [{}, 'list@example.org', 'x@example.net,y@example.net'],
  [{}, 'empty@example.org', '<absent>'],
  [{ expansion_limit: 1 }, 'list@example.org', '<retry>'],
  [
    { result_format: '%u at %d for %U' },
    'list@example.org',
    'x at example.net for list,y at example.net for list',
  ],
  [{ query: "SELECT '%u|%d|%1|%2'" }, 'a@b.example.org', 'a|b.example.org|org|example'],
  [{ query: "SELECT '%3'" }, 'a@example.org', '<absent>'],
  [
    { query: "SELECT 1 + 1, true, NULL, DATE '2026-01-02', '{1,2}'::int[], '100%%'" },
    'a',
    '2,t,2026-01-02,{1,2},100%',
  ],
  [{ query: "SELECT 1; SELECT goto FROM aliases WHERE address = '%s'" }, 'bare', 'root'],
  [{ query: 'SET search_path TO public' }, 'bare', '<absent>'],
  [{ domain: 'example.net' }, 'joe@example.org', '<absent>'],
  [{ ...old, select_function: 'forward' }, 'list@example.org', 'x@example.net,y@example.net'],
  [
    {
      ...old,
      table: 'aliases',
      select_field: 'goto',
      where_field: 'address',
      additional_conditions: 'AND active',
    },
    'joe@example.org',
    'joe',
  ],
  [{ ...old, table: 'aliases' }, 'joe@example.org', '<fault>'],
  [{ query: 'SELECT nonsense FROM' }, 'joe', '<retry>'],
  [{ query: 'SELECT x FROM missing' }, 'joe', '<retry>'],
  [{ dbname: 'other' }, 'joe', '<retry>'],
  [{ dbname: '' }, 'joe', '<fault>'],
  [{ password: 'wrong' }, 'joe', '<retry>'],
  [{ hosts: '127.0.0.1:1' }, 'joe', '<retry>'],
  [{ encoding: 'LATIN1' }, 'joe@example.org', 'joe'],
  [{ encoding: 'nonsense' }, 'joe@example.org', '<retry>'],
  [{ query: 'SELECT %u' }, 'joe', '<retry>'],
  [{ query: 'SELECT %u' }, '17', '17'],
  [{ hosts: 'a:b:c' }, 'joe', '<fault>'],
  [{ hosts: 'postgresql://x/y?sslmode=maybe' }, 'joe', '<fault>'],
  [{ hosts: 'postgresql://x/y?connect_timeout=1' }, 'joe', '<fault>'],
];

test('settings, keys and what they give', options, async (t) => {
  const bench = remoteBench(t);
  for (const [more, key, want] of CASES) {
    const got = await askOrFault(bench, 'pgsql', settings(more), key);
    assert.equal(got, want, `${JSON.stringify(more)} ${key}`);
  }
});

test('hosts by name, socket and URI', options, async (t) => {
  const bench = remoteBench(t);
  const query = "SELECT COALESCE(host(inet_server_addr()), 'socket') WHERE '%s' <> ''";
  const { port, socketDirectory } = server;
  const cases: readonly (readonly [Settings, string])[] = [
    [{ hosts: `inet:127.0.0.1:${port}` }, '127.0.0.1'],
    [{ hosts: `unix:${socketDirectory}` }, 'socket'],
    [{ hosts: `127.0.0.1:${port} ${socketDirectory}` }, 'socket'],
    [
      { hosts: `postgresql://postfix:secret@127.0.0.1:${port}/mail`, dbname: '', user: 'x' },
      '127.0.0.1',
    ],
    [
      {
        hosts: `postgres://127.0.0.1:${port}/mail?user=postfix&password=secret&sslmode=disable`,
        dbname: '',
      },
      '127.0.0.1',
    ],
    [
      { hosts: `postgresql://postfix:secret@${encodeURIComponent(socketDirectory)}:${port}/mail` },
      'socket',
    ],
  ];
  for (const [more, want] of cases) {
    const table = bench.table('pgsql', settings({ query, ...more }));
    assert.equal(await ask(table, 'x'), want, `${more['hosts']}`);
  }
});

test('updates are seen at once', options, async (t) => {
  const table = remoteBench(t).table('pgsql', settings());
  assert.equal(await ask(table, 'new@example.org'), '<absent>');
  await server.sql("INSERT INTO aliases (address, goto) VALUES ('new@example.org', 'one')");
  assert.equal(await ask(table, 'new@example.org'), 'one');
  await server.sql("UPDATE aliases SET goto = 'two' WHERE address = 'new@example.org'");
  assert.equal(await ask(table, 'new@example.org'), 'two');
});

test('nothing but the literal key is looked up', options, async (t) => {
  const bench = remoteBench(t);
  const uri = `postgresql://postfix:secret@127.0.0.1:${server.port}/mail`;
  const places: readonly Settings[] = [
    { query: "SELECT '<' || '%s' || '>'" },
    { query: "SELECT '<' || E'%s' || '>'" },
    { query: "SELECT '<' || U&'%s' || '>'" },
    { query: "SELECT '<' || '%u' || '@' || '%d' || '>'" },
    { query: "SELECT '<' || '%s' || '>'", encoding: 'SJIS' },
    { query: "SELECT '<' || '%s' || '>'", encoding: 'GB18030' },
    {
      query: "SELECT '<' || '%s' || '>'",
      hosts: `${uri}?options=-c%20standard_conforming_strings%3Doff`,
    },
  ];
  for (const place of places) {
    const table = bench.table('pgsql', settings(place));
    for (const text of HOSTILE_TEXTS) {
      for (const key of [`${text}@example.org`, `u@${text}`, `${text}@${text}`]) {
        assert.equal(await ask(table, key), `<${key}>`, `${place['query']} ${JSON.stringify(key)}`);
      }
    }
    for (const key of IMPOSSIBLE_TEXTS) assert.equal(await ask(table, key), '<absent>');
  }
  const names = bench.table('pgsql', settings({ query: 'SELECT 1 AS "%s"' }));
  assert.equal(await ask(names, 'x" FROM aliases; -- '), '1');
  assert.deepEqual(bench.warnings, []);
  for (const query of ['SELECT $$%s$$', 'SELECT $a$%s$a$', 'SELECT 1 -- %s']) {
    assert.equal(await ask(bench.table('pgsql', settings({ query })), '$$ x'), '<retry>', query);
  }
});

test('many lookups at once share few connections', options, async (t) => {
  const bench = remoteBench(t);
  const table = bench.table('pgsql', settings({ connection_limit: 3 }));
  const answers = await Promise.all(
    Array.from({ length: 200 }, () => ask(table, 'joe@example.org')),
  );
  assert.deepEqual(new Set(answers), new Set(['joe']));
  const open = Number(
    await server.sql(
      "SELECT COUNT(*) FROM pg_stat_activity WHERE usename = 'postfix' AND datname = 'mail'",
    ),
  );
  assert.ok(open >= 2 && open <= 4, `${open - 1} connections`);
});
