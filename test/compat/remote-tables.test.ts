/**
 * Debian's postmap and ours ask the same servers: MariaDB, PostgreSQL, SQLite, OpenLDAP, memcached
 * and a socketmap server, each with tables of configurations and keys. Outcomes are a value, none
 * (exit status 1) or an error. What differs must be in wanted-differences.ts.
 *
 * tcp: is not compared: Debian's postmap is built without it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, type TestContext, test } from 'node:test';
import { postmap } from '../../src/cmd/postmap.ts';
import { runTool } from '../cmd/map-tools.ts';
import { makeDirectory, removeDirectory } from '../support/instance.ts';
import { startSocketmap } from '../support/lookup-servers.ts';
import { MARIADB, type MariaDb, startMariaDb } from '../support/mariadb.ts';
import { startMemcached } from '../support/memcached.ts';
import { needsPostgres, type Postgres, startPostgres } from '../support/postgres.ts';
import { findProgram, needs } from '../support/programs.ts';
import { SLAPD, type Slapd, SUFFIX, startSlapd } from '../support/slapd.ts';
import { REMOTE_DIFFERENCES } from './wanted-differences.ts';

const options = { ...needsPostgres(), ...needs('postmap', 'memcached', ...MARIADB, ...SLAPD) };

type Settings = Readonly<Record<string, string | number>>;
type Outcome = { readonly kind: 'value' | 'none' | 'error'; readonly text: string };

let mariadb: MariaDb;
let postgres: Postgres;
let slapd: Slapd;
const directory = makeDirectory('postern-compat-');

const ROWS = [
  ['joe@example.org', 'joe', null],
  ['two@example.org', 'a@b.example', 'c@d.example'],
  ['list@example.org', 'x@example.net', null],
  ['list@example.org', 'y@example.net', null],
  ['empty@example.org', '', null],
  ['part@example.org', '@example.com', null],
  ['tail@example.org', 'user@', null],
  ['bare', 'root', null],
  ["o'brien@example.org", 'quote', null],
  ['back\\slash@example.org', 'slash', null],
  ['h\u00e9@example.org', 'accent', null],
  ['@example.org', 'catch-all', null],
  ['example.org', 'domain', null],
] as const;

/** Asked of every configuration. */
const KEYS: readonly string[] = [
  ...new Set(ROWS.map(([key]) => key)),
  ...['JOE@example.org', 'nobody@example.org', '@', 'a@', 'a@b', 'a@b.c', 'a@x.y.z', 'a@@b.c'],
  ...["'", "' OR '1'='1", '"', '\\', '%', '*', '(', ')', '#x', 'a,b', 'a+b@example.org', 'a b@c'],
  ...[
    '\u00e9@b',
    '\u{1f600}@b.c',
    '"a b"@example.org',
    'a@.b',
    'a@b.',
    'a@b..c',
    'user@example.net',
  ],
];

/** Where some keys fail, these are asked one by one; all of them with COMPAT_LONG=1. */
const SINGLE_KEYS: ReadonlySet<string> = new Set(
  process.env['COMPAT_LONG'] ? KEYS : ['list@example.org', 'bare', 'nobody@example.org'],
);

before(async () => {
  if (options.skip) return;
  [mariadb, postgres, slapd] = await Promise.all([startMariaDb(), startPostgres(), startSlapd()]);
  const literal = (value: string | null, backslash: string): string =>
    value === null ? 'NULL' : `'${value.replaceAll("'", "''").replaceAll('\\', backslash)}'`;
  const rows = (backslash: string): string =>
    ROWS.map((row) => `(${row.map((value) => literal(value, backslash)).join()})`).join();
  const table =
    'CREATE TABLE aliases (address VARCHAR(200), goto VARCHAR(200), extra VARCHAR(200))';
  const insert = 'INSERT INTO aliases VALUES';
  await mariadb.sql(`USE mail; ${table} COLLATE utf8mb4_bin; ${insert} ${rows('\\\\')};
    CREATE PROCEDURE one(IN k VARCHAR(200)) SELECT goto FROM aliases WHERE address = k;
    CREATE PROCEDURE none(IN k VARCHAR(200)) SET @x = k;`);
  await postgres.sql(`${table}; ${insert} ${rows('\\')}; CREATE FUNCTION forward(TEXT) RETURNS SETOF
    VARCHAR LANGUAGE sql AS 'SELECT goto FROM aliases WHERE address = $1'`);
  const sqlite = new DatabaseSync(join(directory, 'db'));
  sqlite.exec(`${table}; ${insert} ${rows('\\')}`);
  sqlite.close();
  await slapd.add(directoryEntries());
  const main = { compatibility_level: '3.6', myhostname: 'mail.example.org' };
  const named = prefixed('old', { ...login(), ...OLD, hosts: `127.0.0.1:${mariadb.port}` });
  write('main.cf', { ...main, data_directory: directory, ...named });
  writeFileSync(join(directory, 'domains'), 'example.org\n!example.net\n');
});
after(async () => {
  await Promise.all([mariadb?.stop(), postgres?.stop(), slapd?.stop()]);
  removeDirectory(directory);
});

const QUERY = "SELECT goto, extra FROM aliases WHERE address = '%s'";
const OLD = { table: 'aliases', select_field: 'goto', where_field: 'address' };
const login = () => ({ user: 'postfix', password: 'secret', dbname: 'mail' });

/** Asked in each SQL dialect. */
const SQL: readonly Settings[] = [
  { query: QUERY },
  OLD,
  { ...OLD, additional_conditions: "AND goto <> 'joe'" },
  { query: QUERY, expansion_limit: 1 },
  { query: QUERY, result_format: 'smtp:[%s]' },
  { query: QUERY, result_format: '%u' },
  { query: QUERY, result_format: '%d' },
  { query: QUERY, result_format: '%U-%D-%S-%%-%1-%2-%s' },
  { query: QUERY, result_format: '%3' },
  { query: QUERY, domain: 'example.org' },
  { query: QUERY, domain: 'b.c, example.net, !example.org' },
  { query: QUERY, domain: 'DIRECTORY/domains' },
  { query: QUERY, domain: 'inline:{example.org=x}' },
  ...['%s', '%u', '%d', '%S', '%U', '%D', '%1', '%2', '%3', '%u/%d', '%d/%1'].map((parts) => ({
    query: `SELECT '${parts}'`,
  })),
  { query: "SELECT goto FROM aliases WHERE address LIKE '%%%u' ORDER BY goto" },
  { query: "SELECT 1 + 1, 2.50, NULL, '%s'" },
  { query: "SELECT goto FROM missing WHERE address = '%s'" },
  { query: "SELECT '%s" },
];

/** Templates are the same code in all dialects: each of these in one of them; with COMPAT_LONG=1 in all. */
const shareOf = (dialect: number): readonly Settings[] =>
  SQL.filter((_, at) => process.env['COMPAT_LONG'] || at < 3 || at % 3 === dialect);

const MYSQL: readonly Settings[] = [
  { query: "CALL one('%s')" },
  { query: "CALL none('%s')" },
  { query: "CALL none('%s')", require_result_set: 'no' },
  { query: "SELECT '%s'; SELECT 1" },
  { query: QUERY, password: 'wrong' },
  { query: QUERY, hosts: '127.0.0.1:1' },
  { query: QUERY, hosts: '127.0.0.1:1 127.0.0.1:2 HOST' },
  { query: 'SELECT goto FROM aliases WHERE address = "%s"' },
];
const PGSQL: readonly Settings[] = [
  { select_function: 'forward' },
  { query: "SELECT true, ARRAY[1,2], DATE '2026-01-02', '%s'" },
  { query: "SELECT 1; SELECT '%s'" },
  { query: QUERY, password: 'wrong' },
  { query: QUERY, hosts: '127.0.0.1:1 HOST' },
  { query: "SELECT E'<%s>'" },
];
const SQLITE: readonly Settings[] = [
  { query: 'SELECT goto FROM aliases WHERE address = "%s"' },
  { query: "SELECT goto, extra FROM aliases WHERE address = '%s' ORDER BY goto DESC" },
];

test('mysql:', options, (t) =>
  compareAll(t, 'mysql', { ...login(), hosts: `127.0.0.1:${mariadb.port}` }, [
    ...shareOf(0),
    ...MYSQL,
  ]),
);

test('mysql: from main.cf', options, (t) => compareKeys(t, 'mysql:old', {}));

test('pgsql:', options, (t) =>
  compareAll(t, 'pgsql', { ...login(), hosts: `127.0.0.1:${postgres.port}` }, [
    ...shareOf(1),
    ...PGSQL,
  ]),
);

test('sqlite:', options, (t) =>
  compareAll(t, 'sqlite', { dbpath: join(directory, 'db') }, [...shareOf(2), ...SQLITE]),
);

const GROUPS = {
  special_result_attribute: 'member, memberurl',
  leaf_result_attribute: 'mail',
  result_attribute: '',
};
const LDAP: readonly Settings[] = [
  {},
  { query_filter: 'mail=%s' },
  { query_filter: '(|(mail=%s)(uid=%u))' },
  { query_filter: '(mail=%u@%2.%1)' },
  { query_filter: '(mail=*)', size_limit: 3 },
  { query_filter: '(&(mail=%s)(!(uid=joe)))' },
  { query_filter: '(mail=%s' },
  { query_filter: '(cn=%s)' },
  { result_attribute: 'maildrop, uid' },
  { result_attribute: 'cn', result_format: '%s for %U' },
  { result_format: '%d' },
  { result_filter: '<%s>' },
  { expansion_limit: 1 },
  { size_limit: 1 },
  { domain: 'example.org' },
  { scope: 'base' },
  { scope: 'one' },
  { search_base: `ou=%u,${SUFFIX}` },
  { search_base: `cn=%s,ou=people,${SUFFIX}`, query_filter: '(|(cn=%s)(cn=*))' },
  { search_base: `cn=%u,ou=people,${SUFFIX}`, query_filter: '(|(cn=%s)(cn=*))' },
  { search_base: `ou=gone,${SUFFIX}` },
  { search_base: 'nonsense' },
  GROUPS,
  { ...GROUPS, leaf_result_attribute: '', result_attribute: 'mail' },
  { ...GROUPS, terminal_result_attribute: 'maildrop' },
  { ...GROUPS, recursion_limit: 2 },
  { ...GROUPS, recursion_limit: 3 },
  { ...GROUPS, leaf_result_attribute: 'maildrop' },
  { bind: 'no' },
  { bind_dn: `cn=admin,${SUFFIX}`, bind_pw: 'wrong' },
  { server_host: '127.0.0.1:1' },
  { server_host: '127.0.0.1:1 HOST' },
];
const LDAP_KEYS = [
  'group@example.org',
  'outer@example.org',
  'stop@example.org',
  'loop@example.org',
  'url@example.org',
  'twin@example.org',
];

test('ldap:', options, (t) =>
  compareAll(
    t,
    'ldap',
    {
      ...{ server_host: `127.0.0.1:${slapd.port}`, search_base: `ou=people,${SUFFIX}`, version: 3 },
      ...{ query_filter: '(mail=%s)', result_attribute: 'maildrop' },
    },
    LDAP,
    LDAP_KEYS,
  ),
);

test('memcache:', options, async (t) => {
  const server = await startMemcached();
  t.after(server.stop);
  const common = { memcache: `inet:127.0.0.1:${server.port}`, retry_pause: 1 };
  const inline = 'inline:{ joe@example.org=joe, bare=root, {a@b.c = x y} }';
  await compareAll(t, 'memcache', common, [
    {},
    { backup: inline, key_format: 'v:%s' },
    { key_format: 'v:%s' },
    { backup: inline, key_format: '%u:%d' },
    { backup: inline, domain: 'example.org', key_format: 'w:%s' },
    { backup: 'fail:x', key_format: 'x:%s' },
  ]);
});

test('socketmap:', options, async (t) => {
  const replies = new Map<string, string>([
    ...ROWS.map(([key, value]) => [key, `OK ${value}`] as const),
    ...([
      ['@', 'TEMP x'],
      ['a@', 'TIMEOUT x'],
      ['a@b', 'PERM x'],
      ['a@b.c', 'WHAT x'],
      ["'", 'OK'],
    ] as const),
  ]);
  const server = await startSocketmap((query) => replies.get(query.slice(4)) ?? 'NOTFOUND ');
  t.after(server.close);
  await compareKeys(t, `socketmap:inet:127.0.0.1:${server.port}:map`, {});
});

let compared = 0;
after(() => process.stdout.write(`# ${compared} lookups compared\n`));

async function compareAll(
  t: TestContext,
  type: string,
  common: Settings,
  configurations: readonly Settings[],
  more: readonly string[] = [],
): Promise<void> {
  const host = `${common['hosts'] ?? common['server_host']}`;
  const left = [...configurations.entries()];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [at, configuration] = next;
      const settings = Object.entries({ ...common, ...configuration }).map(([name, value]) => {
        return [name, `${value}`.replace('HOST', host).replace('DIRECTORY', directory)];
      });
      const path = write(`${type}${at}.cf`, Object.fromEntries(settings));
      await compareKeys(t, `${type}:${path}`, configuration, more);
    }
  };
  await Promise.all(Array.from({ length: 4 }, work));
}

/** All keys at once; a few, one by one, when an error ends the list. */
async function compareKeys(
  t: TestContext,
  table: string,
  settings: Settings,
  more: readonly string[] = [],
): Promise<void> {
  const keys = [...KEYS, ...more];
  const alone = more.slice(0, 2);
  const [theirs, ours] = await Promise.all([
    outcomes(runTheirs, table, keys, alone),
    outcomes(runOurs, table, keys, alone),
  ]);
  for (const key of keys) {
    const [want, have] = [theirs.get(key), ours.get(key)];
    if (!want || !have) continue;
    compared += 1;
    if (shown(want) === shown(have)) continue;
    const difference = { table, settings, key, theirs: shown(want), ours: shown(have) };
    if (REMOTE_DIFFERENCES.some(({ applies }) => applies(difference))) continue;
    t.diagnostic(`theirs: ${want.text}\nours: ${have.text}`);
    assert.fail(JSON.stringify(difference));
  }
}

const shown = ({ kind, text }: Outcome): string => (kind === 'value' ? `= ${text}` : kind);

type Run = (
  argv: readonly string[],
  input: string,
) => Promise<{ status: number; out: string; error: string }>;

async function outcomes(
  run: Run,
  table: string,
  keys: readonly string[],
  more: readonly string[],
): Promise<Map<string, Outcome>> {
  const all = await run(['-q', '-', table], keys.map((key) => `${key}\n`).join(''));
  const found = new Map<string, Outcome>();
  if (!/fatal/.test(all.error)) {
    for (const key of keys) found.set(key, { kind: 'none', text: all.error });
    for (const line of all.out.split('\n').filter((text) => text !== '')) {
      const tab = line.indexOf('\t');
      found.set(line.slice(0, tab), { kind: 'value', text: line.slice(tab + 1) });
    }
    return found;
  }
  // Debian's postmap takes a second to end with an error: all at once.
  const few = keys.filter((each) => SINGLE_KEYS.has(each) || more.includes(each));
  await Promise.all(
    few.map(async (key) => {
      const { status, out, error } = await run(['-q', key, table], '');
      if (status === 0) found.set(key, { kind: 'value', text: out.replace(/\n$/, '') });
      else found.set(key, { kind: /fatal/.test(error) ? 'error' : 'none', text: error });
    }),
  );
  return found;
}

function runTheirs(argv: readonly string[], input: string): ReturnType<Run> {
  return new Promise((resolve) => {
    const file = findProgram('postmap') ?? 'postmap';
    const child = execFile(
      file,
      ['-c', directory, ...argv],
      { timeout: 60_000 },
      (error, out, text) => {
        const status = typeof error?.code === 'number' ? error.code : error ? 128 : 0;
        resolve({ status, out, error: text });
      },
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

const runOurs: Run = (argv, input) => runTool(postmap, argv, { directory }, input);

function write(name: string, settings: Settings): string {
  const path = join(directory, name);
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(path, lines.join(''));
  chmodSync(path, 0o644);
  // Debian's postmap waits for a text that was written within the last two seconds.
  utimesSync(path, 1_000_000, 1_000_000);
  return path;
}

function prefixed(prefix: string, settings: Settings): Settings {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`${prefix}_${name}`, value]),
  );
}

function directoryEntries(): string {
  const dn = (name: string): string => `cn=${name},ou=people,${SUFFIX}`;
  const person = (
    name: string,
    attributes: Readonly<Record<string, string | readonly string[]>>,
  ) => {
    const lines = Object.entries({ cn: name, sn: name, ...attributes }).flatMap(
      ([attribute, values]) =>
        [values].flat().map((value) => `${attribute}:: ${Buffer.from(value).toString('base64')}\n`),
    );
    const classes = 'objectClass: inetOrgPerson\nobjectClass: mailRecipient\n';
    return `dn:: ${Buffer.from(dn(name)).toString('base64')}\n${classes}${lines.join('')}`;
  };
  return [
    `dn: ou=people,${SUFFIX}\nobjectClass: organizationalUnit\nou: people\n`,
    person('joe', { mail: 'joe@example.org', maildrop: 'joe', uid: 'joe' }),
    person('two', {
      mail: 'two@example.org',
      maildrop: ['a@b.example', 'c@d.example'],
      uid: 'two',
    }),
    person('twin1', { mail: 'twin@example.org', maildrop: 'one' }),
    person('twin2', { mail: 'twin@example.org', maildrop: 'two' }),
    person('h\u00e9', { maildrop: 'accent' }),
    person('*', { maildrop: 'star' }),
    person('(', { maildrop: 'parenthesis' }),
    person('a\\,b', { cn: 'a,b', maildrop: 'comma' }),
    person('group', { mail: 'group@example.org', member: [dn('joe'), dn('two')] }),
    person('outer', { mail: 'outer@example.org', member: [dn('group'), dn('gone')] }),
    person('stop', { mail: 'stop@example.org', maildrop: 'stopped', member: dn('joe') }),
    person('loop', { mail: 'loop@example.org', member: dn('loop') }),
    person('url', {
      mail: 'url@example.org',
      memberurl: `ldap:///ou=people,${SUFFIX}?maildrop?sub?(mail=two@example.org)`,
    }),
  ].join('\n');
}
