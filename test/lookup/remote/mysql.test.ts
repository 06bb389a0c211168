/** mysql: tables against a real MariaDB server. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { MARIADB, type MariaDb, startMariaDb } from '../../support/mariadb.ts';
import { needs } from '../../support/programs.ts';
import {
  ask,
  askOrFault,
  HOSTILE_TEXTS,
  IMPOSSIBLE_TEXTS,
  remoteBench,
  type Settings,
} from './bench.ts';

const options = needs(...MARIADB);
let server: MariaDb;

before(async () => {
  if (options.skip) return;
  server = await startMariaDb();
  await server.sql(`USE mail;
    CREATE TABLE aliases (address VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, goto TEXT,
      extra VARCHAR(50), active INT DEFAULT 1);
    INSERT INTO aliases (address, goto, extra) VALUES ('joe@example.org', 'joe', NULL),
      ('two@example.org', 'a@b.example', 'c@d.example'), ('list@example.org', 'x@example.net', NULL),
      ('list@example.org', 'y@example.net', NULL), ('empty@example.org', '', NULL),
      ('bare', 'root', NULL), ('post@sub.example.org', '@example.com', NULL);
    CREATE TABLE mxaliases (alias VARCHAR(100), forw_addr VARCHAR(100), status VARCHAR(10));
    INSERT INTO mxaliases VALUES ('joe@example.org', 'joe@example.net', 'paid'),
      ('bad@example.org', 'bad@example.net', 'late');
    CREATE PROCEDURE one(IN k VARCHAR(200)) SELECT goto FROM aliases WHERE address = k;
    CREATE PROCEDURE none(IN k VARCHAR(200)) SET @x = k;
    DELIMITER //
    CREATE PROCEDURE pair(IN k VARCHAR(200)) BEGIN SELECT k; SELECT k; END//`);
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

type Case = readonly [settings: Settings, key: string, want: string];

const CASES: readonly Case[] = [
  [{}, 'joe@example.org', 'joe'],
  [{}, 'nobody@example.org', '<absent>'],
  [{}, 'two@example.org', 'a@b.example,c@d.example'],
  [{}, 'list@example.org', 'x@example.net,y@example.net'],
  [{}, 'empty@example.org', '<absent>'],
  [{}, '', '<absent>'],
  [{ expansion_limit: 1 }, 'joe@example.org', 'joe'],
  [{ expansion_limit: 1 }, 'list@example.org', '<retry>'],
  [{ result_format: 'smtp:[%s]' }, 'joe@example.org', 'smtp:[joe]'],
  [{ result_format: '%u at %d' }, 'list@example.org', 'x at example.net,y at example.net'],
  [{ result_format: '%d' }, 'joe@example.org', '<absent>'],
  [{ result_format: '%u' }, 'post@sub.example.org', '<absent>'],
  [
    { result_format: '%s+%U@%D+%S+%1+%2+%%' },
    'joe@example.org',
    'joe+joe@example.org+joe@example.org+org+example+%',
  ],
  [{ result_format: '%D' }, 'bare', '<absent>'],
  [{ query: "SELECT '%u|%d|%1|%2'" }, 'a@b.example.org', 'a|b.example.org|org|example'],
  [{ query: "SELECT '%U|%D|%S'" }, 'a@b.example.org', 'a|b.example.org|a@b.example.org'],
  [{ query: "SELECT '%u'" }, 'bare', 'bare'],
  [{ query: "SELECT '%u'" }, '@example.org', '<absent>'],
  [{ query: "SELECT '%d'" }, 'bare', '<absent>'],
  [{ query: "SELECT '%d'" }, 'user@', '<absent>'],
  [{ query: "SELECT '%d'" }, '@example.org', 'example.org'],
  [{ query: "SELECT '%3'" }, 'a@example.org', '<absent>'],
  [{ query: "SELECT '%3'" }, 'a@x.example.org', 'x'],
  [{ query: "SELECT '%9'" }, 'a@1.2.3.4.5.6.7.8.9', '1'],
  [{ query: "SELECT '100%%', 1 + 1, NULL, CAST('2026-01-02' AS DATE)" }, 'a', '100%,2,2026-01-02'],
  [{ domain: 'example.org, !example.net' }, 'joe@example.org', 'joe'],
  [{ domain: 'EXAMPLE.org' }, 'joe@example.org', 'joe'],
  [{ domain: 'example.net' }, 'joe@example.org', '<absent>'],
  [{ domain: '!example.org, example.org' }, 'joe@example.org', '<absent>'],
  [{ domain: 'org' }, 'joe@example.org', '<absent>'],
  [{ domain: 'example.org' }, 'bare', '<absent>'],
  [{ domain: 'inline:example.org=x' }, 'joe@example.org', 'joe'],
  [{ domain: '/no/such/file' }, 'joe@example.org', '<fault>'],
  [{ query: "CALL one('%s')" }, 'list@example.org', 'x@example.net,y@example.net'],
  [{ query: "CALL one('%s')" }, 'nobody', '<absent>'],
  [{ query: "CALL none('%s')" }, 'joe', '<retry>'],
  [{ query: "CALL none('%s')", require_result_set: 'no' }, 'joe', '<absent>'],
  [{ query: "CALL pair('%s')" }, 'joe', '<retry>'],
  [{ query: "SELECT goto FROM aliases WHERE address = '%s'; SELECT 1" }, 'joe', '<retry>'],
  [{ query: 'SELECT nonsense FROM' }, 'joe', '<retry>'],
  [{ query: 'SELECT x FROM missing' }, 'joe', '<retry>'],
  [{ dbname: 'other' }, 'joe', '<retry>'],
  [{ password: 'wrong' }, 'joe', '<retry>'],
  [{ hosts: '127.0.0.1:1', retry_interval: 1 }, 'joe', '<retry>'],
  [{ charset: 'latin1' }, 'joe@example.org', 'joe'],
  [{ charset: 'nonsense' }, 'joe@example.org', '<retry>'],
  [{ query: 'SELECT %u' }, 'joe', '<retry>'],
  [{ query: 'SELECT %u' }, '17', '17'],
  [{ query: "SELECT goto FROM al%u WHERE address = 'bare'" }, 'iases', 'root'],
  [{ query: "SELECT '%x'" }, 'joe', '<fault>'],
  [{ query: "SELECT '%s" }, 'joe', '<retry>'],
  [{ dbname: '' }, 'joe', '<fault>'],
  [{ expansion_limit: 'many' }, 'joe', '<fault>'],
  [{ require_result_set: 'maybe' }, 'joe', '<fault>'],
];

test('settings, keys and what they give', options, async (t) => {
  const bench = remoteBench(t);
  for (const [more, key, want] of CASES) {
    const got = await askOrFault(bench, 'mysql', settings(more), key);
    assert.equal(got, want, `${JSON.stringify(more)} ${key}`);
  }
});

test('the old parameters, in a file and in main.cf', options, async (t) => {
  const bench = remoteBench(t);
  const old = {
    ...{ user: 'postfix', password: 'secret', dbname: 'mail', table: 'mxaliases' },
    ...{ select_field: 'forw_addr', where_field: 'alias' },
    additional_conditions: "and status = 'paid'",
    hosts: `127.0.0.1:${server.port} inet:127.0.0.1:${server.port}`,
  };
  const file = bench.table('mysql', old);
  assert.equal(await ask(file, 'joe@example.org'), 'joe@example.net');
  assert.equal(await ask(file, 'bad@example.org'), '<absent>');
  const main = new Map(Object.entries(old).map(([name, value]) => [`maps_${name}`, value]));
  const named = bench.named('mysql', 'maps', (name) => main.get(name));
  assert.equal(await ask(named, 'joe@example.org'), 'joe@example.net');
  assert.match(
    bench.fault('mysql', { ...old, table: '' }),
    /table1?\d*\.cf: 'table' parameter not defined; write table = VALUE$/,
  );
});

/** As a site of today has it. */
const SEED = `user = someone
password = some_password
dbname = customer_database
table = mxaliases
select_field = forw_addr
where_field = alias
additional_conditions = and status = 'paid'
hosts = maildb1.example.org maildb2.example.org
`;

test('a file of the oldest kind opens without a word', (t) => {
  const bench = remoteBench(t);
  const path = bench.file('mysql-aliases.cf', {});
  writeFileSync(path, SEED);
  assert.equal(bench.named('mysql', path).keys, 'fixed');
  assert.deepEqual(bench.warnings, []);
});

test('a Unix socket is preferred; an option file names it', options, async (t) => {
  const bench = remoteBench(t);
  const whose = {
    query:
      "SELECT SUBSTRING_INDEX(host, ':', 1) FROM information_schema.processlist WHERE id = CONNECTION_ID() AND '%s' <> ''",
  };
  const both = settings({ ...whose, hosts: `127.0.0.1:${server.port} unix:${server.socket}` });
  assert.equal(await ask(bench.table('mysql', both), 'x'), 'localhost');
  const inet = settings({ ...whose, hosts: `inet:127.0.0.1:${server.port}` });
  assert.equal(await ask(bench.table('mysql', inet), 'x'), '127.0.0.1');
  const cnf = bench.file('my.cnf', {});
  writeFileSync(
    cnf,
    `[mysqld]\nsocket=/no\n[client]\nsocket = "${server.socket}"\n[extra]\npassword=secret\n`,
  );
  const local = settings({ ...whose, hosts: 'localhost', password: '', option_file: cnf });
  assert.equal(
    await ask(bench.table('mysql', { ...local, option_group: 'extra' }), 'x'),
    'localhost',
  );
  assert.equal(await ask(bench.table('mysql', local), 'x'), '<retry>');
  assert.match(bench.fault('mysql', settings({ option_file: '/no/such' })), /option_file: ENOENT/);
});

test('updates are seen at once', options, async (t) => {
  const table = remoteBench(t).table('mysql', settings());
  assert.equal(await ask(table, 'new@example.org'), '<absent>');
  await server.sql("INSERT INTO mail.aliases (address, goto) VALUES ('new@example.org', 'one')");
  assert.equal(await ask(table, 'new@example.org'), 'one');
  await server.sql("UPDATE mail.aliases SET goto = 'two' WHERE address = 'new@example.org'");
  assert.equal(await ask(table, 'new@example.org'), 'two');
  await server.sql("DELETE FROM mail.aliases WHERE address = 'new@example.org'");
  assert.equal(await ask(table, 'new@example.org'), '<absent>');
});

test('nothing but the literal key is looked up', options, async (t) => {
  const bench = remoteBench(t);
  const places: readonly Settings[] = [
    { query: "SELECT CONCAT('<', '%s', '>') UNION SELECT goto FROM aliases WHERE address = '%s'" },
    { query: 'SELECT CONCAT("<", "%s", ">")' },
    { query: "SELECT CONCAT('<', '%u', '@', '%d', '>')" },
    { query: "SELECT CONCAT('<', '%s', '>')", charset: 'gbk' },
    { query: "SELECT CONCAT('<', '%s', '>')", charset: 'sjis' },
    { query: "SELECT CONCAT('<', '%s', '>')", charset: 'utf8' },
  ];
  for (const place of places) {
    const table = bench.table('mysql', settings(place));
    for (const text of HOSTILE_TEXTS) {
      for (const key of [`${text}@example.org`, `u@${text}`, `${text}@${text}`]) {
        assert.equal(await ask(table, key), `<${key}>`, `${place['query']} ${JSON.stringify(key)}`);
      }
    }
    for (const key of IMPOSSIBLE_TEXTS) assert.equal(await ask(table, key), '<absent>');
  }
  const names = bench.table('mysql', settings({ query: 'SELECT 1 AS `%s`' }));
  assert.equal(await ask(names, 'x` FROM aliases; -- '), '1');
  const aliases = bench.table('mysql', settings());
  for (const key of HOSTILE_TEXTS) assert.equal(await ask(aliases, key), '<absent>', key);
  assert.deepEqual(bench.warnings, []);
});

test("the server's own quoting modes are obeyed", options, async (t) => {
  await server.sql(`SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'`);
  try {
    const bench = remoteBench(t);
    const table = bench.table('mysql', settings({ query: "SELECT CONCAT('<', '%s', '>')" }));
    for (const key of HOSTILE_TEXTS) assert.equal(await ask(table, key), `<${key}>`, key);
    const names = bench.table('mysql', settings({ query: 'SELECT 1 AS "%s"' }));
    assert.equal(await ask(names, 'x" FROM aliases; -- '), '1');
  } finally {
    await server.sql(`SET GLOBAL sql_mode = DEFAULT`);
  }
});

test('many lookups at once share few connections', options, async (t) => {
  const bench = remoteBench(t);
  const table = bench.table('mysql', settings({ connection_limit: 3 }));
  const same = bench.table('mysql', settings({ connection_limit: 3, query: "SELECT '%u'" }));
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, at) => ask(at % 2 ? table : same, 'joe@example.org')),
  );
  assert.deepEqual(new Set(answers), new Set(['joe']));
  const count = await server.sql(
    "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'postfix'",
  );
  const open = Number(count.split('\n')[1]);
  assert.ok(open >= 1 && open <= 3, `${open} connections`);
});
