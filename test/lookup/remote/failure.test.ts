/**
 * Real servers that fail: killed while they answer, hung, come back; and what the log says of a
 * wrong password, a missing table, a bad query. The answer is always `retry`, never `absent`.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Table } from '../../../src/lookup/table.ts';
import { until } from '../../support/instance.ts';
import { MARIADB, type MariaDb, startMariaDb } from '../../support/mariadb.ts';
import { needsPostgres, type Postgres, startPostgres } from '../../support/postgres.ts';
import { needs } from '../../support/programs.ts';
import { SLAPD, type Slapd, SUFFIX, startSlapd } from '../../support/slapd.ts';
import type { StoreProcess } from '../../support/store-process.ts';
import { ask, askElsewhere, type RemoteBench, remoteBench, type Settings } from './bench.ts';

const options = { ...needsPostgres(), ...needs(...MARIADB, ...SLAPD) };
let mariadb: MariaDb;
let postgres: Postgres;
let slapd: Slapd;

before(async () => {
  if (options.skip) return;
  [mariadb, postgres, slapd] = await Promise.all([startMariaDb(), startPostgres(), startSlapd()]);
});
after(async () => {
  await Promise.all([mariadb?.stop(), postgres?.stop(), slapd?.stop()]);
});

type Kind = {
  readonly type: string;
  readonly server: () => StoreProcess;
  readonly settings: (more?: Settings) => Settings;
  /** A query that takes seconds, where the server has such a thing. */
  readonly slow?: Settings;
};

const KINDS: readonly Kind[] = [
  {
    type: 'mysql',
    server: () => mariadb,
    settings: (more) => ({
      ...{ hosts: `127.0.0.1:${mariadb.port}`, user: 'postfix', password: 'secret' },
      ...{ dbname: 'mail', query: "SELECT 'there' WHERE '%s' = 'key'" },
      ...{ timeout: 3, retry_interval: 1, ...more },
    }),
    slow: { query: "SELECT SLEEP(20), '%s'" },
  },
  {
    type: 'pgsql',
    server: () => postgres,
    settings: (more) => ({
      ...{ hosts: `127.0.0.1:${postgres.port}`, user: 'postfix', password: 'secret' },
      ...{ dbname: 'mail', query: "SELECT 'there' WHERE '%s' = 'key'" },
      ...{ timeout: 3, retry_interval: 1, ...more },
    }),
    slow: { query: "SELECT pg_sleep(20), '%s'" },
  },
  {
    type: 'ldap',
    server: () => slapd,
    settings: (more) => ({
      ...{ server_host: `127.0.0.1:${slapd.port}`, search_base: SUFFIX, scope: 'base' },
      ...{ query_filter: '(|(o=%s)(dc=*))', result_attribute: 'o', result_format: 'there' },
      ...{ timeout: 3, ...more },
    }),
  },
];

const here = (table: Table): Promise<string> => ask(table, 'key');

function opened(bench: RemoteBench, kind: Kind, more?: Settings): Table {
  return bench.table(kind.type, kind.settings(more));
}

for (const kind of KINDS) {
  test(
    `${kind.type}: killed while idle and while it answers, it is found again`,
    options,
    async (t) => {
      const bench = remoteBench(t);
      const table = opened(bench, kind);
      assert.equal(await here(table), 'there');
      const busy = kind.slow ? here(opened(bench, kind, { ...kind.slow, timeout: 30 })) : undefined;
      await sleep(200);
      await kind.server().kill();
      if (busy) assert.equal(await busy, '<retry>');
      assert.equal(await here(table), '<retry>');
      assert.match(
        bench.warnings.join('\n'),
        new RegExp(`^${kind.type}:/.*\\.cf: .*ECONNREFUSED`, 'm'),
      );
      await kind.server().start();
      await until('it answers again', async () => (await here(table)) === 'there', 10_000);
    },
  );

  test(`${kind.type}: hung, it fails in time, and answers again`, options, async (t) => {
    const bench = remoteBench(t);
    const table = opened(bench, kind, { timeout: 1 });
    assert.equal(await here(table), 'there');
    kind.server().pause();
    t.after(() => kind.server().resume());
    const started = performance.now();
    const answers = await Promise.all(Array.from({ length: 20 }, () => here(table)));
    const tookMs = performance.now() - started;
    assert.deepEqual(new Set(answers), new Set(['<retry>']));
    // One wait for a place, one for the answer, one to connect: never one after the other for all.
    assert.ok(tookMs < 8_000, `${tookMs} ms`);
    assert.match(bench.warnings.join('\n'), /no answer within 1 s|timed out/);
    kind.server().resume();
    await until('it answers again', async () => (await here(table)) === 'there', 10_000);
  });
}

test('idle connections keep no process alive', options, async (t) => {
  const bench = remoteBench(t);
  for (const { type, settings } of KINDS) {
    const path = bench.file(`${type}.cf`, settings());
    assert.equal(await askElsewhere(type, path, 'key'), 'there', type);
  }
});

type Wrong = readonly [type: string, settings: Settings, said: RegExp];

const WRONG: readonly Wrong[] = [
  ['mysql', { password: 'x' }, /connect to mysql server 127\.0\.0\.1:\d+: Access denied for user/],
  [
    'mysql',
    { dbname: 'x' },
    /connect to mysql server .*: Access denied for user .* to database 'x'/,
  ],
  [
    'mysql',
    { query: "SELECT a FROM x WHERE '%s'" },
    /query failed: .*: (Table 'mail\.x' doesn't exist|SELECT command denied)/,
  ],
  [
    'mysql',
    { query: "SELECT FROM '%s'" },
    /query failed: .*: You have an error in your SQL syntax/,
  ],
  [
    'pgsql',
    { password: 'x' },
    /connect to pgsql server 127\.0\.0\.1:\d+: password authentication failed/,
  ],
  ['pgsql', { dbname: 'x' }, /connect to pgsql server .*: database "x" does not exist/],
  [
    'pgsql',
    { query: "SELECT a FROM x WHERE '%s' = ''" },
    /query failed: .*: relation "x" does not exist/,
  ],
  ['pgsql', { query: "SELECT FROM '%s'" }, /query failed: .*: syntax error at or near/],
  [
    'ldap',
    { bind_dn: `cn=x,${SUFFIX}`, bind_pw: 'x' },
    /connect to ldap server .*: Unable to bind with dn cn=x,dc=example,dc=org: .*0x31/,
  ],
  [
    'ldap',
    { search_base: 'dc=x,dc=example,dc=org' },
    /query failed: .*: Search base 'dc=x,dc=example,dc=org' not found/,
  ],
  ['ldap', { query_filter: '(o=%s))' }, /query failed: .*: Unbalanced parens/],
];

test('what is wrong is logged, with the file', options, async (t) => {
  for (const [type, more, said] of WRONG) {
    const kind = KINDS.find((each) => each.type === type);
    assert.ok(kind);
    const bench = remoteBench(t);
    assert.equal(
      await here(opened(bench, kind, more)),
      '<retry>',
      `${type} ${JSON.stringify(more)}`,
    );
    const line = bench.warnings.join('\n');
    assert.match(line, said);
    assert.match(line, new RegExp(`^${type}:${bench.directory}/table1\\.cf: `));
  }
});

test('a table that is made later is found at once', options, async (t) => {
  const bench = remoteBench(t);
  const query = "SELECT goto FROM later WHERE '%s' = 'key'";
  for (const [type, sql] of [
    ['mysql', (text: string) => mariadb.sql(`USE mail; ${text}`)],
    ['pgsql', (text: string) => postgres.sql(text)],
  ] as const) {
    const kind = KINDS.find((each) => each.type === type);
    assert.ok(kind);
    const table = opened(bench, kind, { query, retry_interval: 60 });
    assert.equal(await here(table), '<retry>');
    await sql("CREATE TABLE later (goto VARCHAR(20)); INSERT INTO later VALUES ('there')");
    assert.equal(await here(table), 'there');
  }
});

test('the load is spread, and moves when one host fails', options, async (t) => {
  const bench = remoteBench(t);
  const [mysql] = KINDS;
  assert.ok(mysql);
  const unreachable = `127.0.0.1:1 127.0.0.1:2 127.0.0.1:${mariadb.port}`;
  for (let round = 0; round < 5; round += 1) {
    const table = opened(bench, mysql, { hosts: unreachable, dbname: 'mail', timeout: 3 + round });
    assert.equal(await here(table), 'there');
  }
});
