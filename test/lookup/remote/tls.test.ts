/** TLS to MariaDB, PostgreSQL and OpenLDAP: wanted, checked, refused. */
import assert from 'node:assert/strict';
import { appendFileSync, chownSync, copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type TestCertificate, testCertificate } from '../../support/certs.ts';
import { makeDirectory, removeDirectory, runProgram } from '../../support/instance.ts';
import { MARIADB, type MariaDb, startMariaDb } from '../../support/mariadb.ts';
import { needsPostgres, type Postgres, startPostgres } from '../../support/postgres.ts';
import { needs } from '../../support/programs.ts';
import { SLAPD, type Slapd, SUFFIX, startSlapd } from '../../support/slapd.ts';
import { storeAccount } from '../../support/store-process.ts';
import { ask, remoteBench, type Settings } from './bench.ts';

const options = { ...needsPostgres(), ...needs(...MARIADB, ...SLAPD, 'openssl') };
let mariadb: MariaDb;
let postgres: Postgres;
let slapd: Slapd;
/** The servers' certificate is for localhost and 127.0.0.1 only. */
let good: TestCertificate;
/** Of an authority that nobody here trusts. */
let other: TestCertificate;
const directory = makeDirectory('postern-tls-');
/** A client's certificate, which the servers trust by itself. */
const client = { cert: join(directory, 'client.pem'), key: join(directory, 'client.key') };

before(async () => {
  if (options.skip) return;
  [good, other] = await Promise.all([
    testCertificate(['localhost']),
    testCertificate(['localhost']),
  ]);
  const key = owned(good.keyFile, 'key.pem');
  const cert = owned(good.certFile, 'cert.pem');
  const ca = owned(good.caFile, 'ca.pem');
  const argv = [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/CN=client',
    '-days',
    '2',
  ];
  const made = await runProgram('openssl', [...argv, '-keyout', client.key, '-out', client.cert]);
  assert.equal(made.code, 0, made.stderr);
  appendFileSync(ca, readFileSync(client.cert));
  [mariadb, postgres, slapd] = await Promise.all([
    startMariaDb([
      '--bind-address=127.0.0.1,127.0.0.2',
      `--ssl-ca=${ca}`,
      `--ssl-cert=${cert}`,
      `--ssl-key=${key}`,
    ]),
    startPostgres([
      "listen_addresses = '127.0.0.1,127.0.0.2'",
      'ssl = on',
      `ssl_ca_file = '${ca}'`,
      `ssl_cert_file = '${cert}'`,
      `ssl_key_file = '${key}'`,
    ]),
    startSlapd({ tls: { ca, cert, key }, global: 'TLSVerifyClient allow' }),
  ]);
  await mariadb.sql(`CREATE USER safe@'%' IDENTIFIED BY 'secret' REQUIRE SSL;
    CREATE USER proven@'%' IDENTIFIED BY 'secret' REQUIRE X509;`);
});
after(async () => {
  await Promise.all([mariadb?.stop(), postgres?.stop(), slapd?.stop()]);
  for (const each of [directory, good?.directory, other?.directory])
    if (each) removeDirectory(each);
});

/** A copy that the servers' account can read, and nobody else. */
function owned(file: string, name: string): string {
  const path = join(directory, name);
  copyFileSync(file, path);
  const { uid, gid } = storeAccount();
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
  return path;
}

type Case = readonly [settings: Settings, want: string, said?: RegExp];

async function run(
  t: Parameters<typeof remoteBench>[0],
  type: string,
  common: Settings,
  cases: readonly Case[],
) {
  for (const [more, want, said] of cases) {
    const bench = remoteBench(t);
    const table = bench.table(type, { ...common, timeout: 5, ...more });
    assert.equal(await ask(table, 'key'), want, `${JSON.stringify(more)} ${bench.warnings}`);
    if (said) assert.match(bench.warnings.join('\n'), said);
  }
}

test('mysql: tls_ parameters', options, async (t) => {
  const common = {
    ...{
      hosts: `127.0.0.1:${mariadb.port}`,
      user: 'safe',
      password: 'secret',
      dbname: 'information_schema',
    },
    query:
      "SELECT IF(variable_value = '', 'plain', 'tls') FROM session_status WHERE variable_name = 'Ssl_version' AND '%s' <> ''",
  };
  const ca = { tls_CAfile: good.caFile };
  const named = { hosts: `inet:127.0.0.2:${mariadb.port}` };
  await run(t, 'mysql', common, [
    [{}, '<retry>', /Access denied/],
    [{ user: 'postfix' }, 'plain'],
    [ca, 'tls'],
    [{ ...ca, tls_verify_cert: 'yes' }, 'tls'],
    [{ tls_CAfile: other.caFile }, '<retry>', /self.signed certificate|unable to get local issuer/],
    [{ tls_verify_cert: 'yes' }, '<retry>', /self.signed certificate|unable to get local issuer/],
    [{ tls_CApath: good.directory }, 'tls'],
    [{ tls_ciphers: 'ECDHE+AESGCM' }, 'tls'],
    [{ ...ca, user: 'proven' }, '<retry>', /Access denied/],
    [{ ...ca, user: 'proven', tls_cert_file: client.cert, tls_key_file: client.key }, 'tls'],
    [{ ...ca, ...named }, 'tls'],
    [
      { ...ca, ...named, tls_verify_cert: 'yes' },
      '<retry>',
      /does not match certificate's altnames/,
    ],
  ]);
  assert.match(remoteBench(t).fault('mysql', { ...common, tls_CAfile: '/no/such' }), /ENOENT/);
});

test('pgsql: sslmode', options, async (t) => {
  const query =
    "SELECT CASE WHEN ssl THEN 'tls' ELSE 'plain' END FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND '%s' <> ''";
  const at = (parameters: string, host = 'localhost'): Settings => ({
    hosts: `postgresql://postfix:secret@${host}:${postgres.port}/mail?${parameters}`,
  });
  const plain = {
    hosts: `127.0.0.1:${postgres.port}`,
    user: 'postfix',
    password: 'secret',
    dbname: 'mail',
  };
  await run(t, 'pgsql', { query }, [
    [plain, 'tls'],
    [at('sslmode=disable'), 'plain'],
    [at('sslmode=prefer'), 'tls'],
    [at('sslmode=require'), 'tls'],
    [at(`sslmode=require&sslrootcert=${other.caFile}`), '<retry>', /certificate/],
    [at(`sslmode=verify-ca&sslrootcert=${good.caFile}`), 'tls'],
    [at(`sslmode=verify-full&sslrootcert=${good.caFile}`), 'tls'],
    [at(`sslmode=verify-full&sslrootcert=${good.caFile}`, '127.0.0.1'), 'tls'],
    [at(`sslmode=verify-full&sslrootcert=${other.caFile}`), '<retry>', /certificate/],
    [at(`sslmode=verify-full&sslrootcert=${good.caFile}`, '127.0.0.2'), '<retry>', /altnames/],
    [at(`sslmode=verify-ca&sslrootcert=${good.caFile}`, '127.0.0.2'), 'tls'],
    [at('sslmode=verify-full'), '<retry>', /certificate/],
    [at('sslmode=verify-full&sslrootcert=/no/such'), '<retry>', /ENOENT/],
    [at(`sslmode=require&sslcert=${client.cert}&sslkey=${client.key}`), 'tls'],
  ]);
});

test('ldap: ldaps:// and start_tls', options, async (t) => {
  const common = {
    search_base: SUFFIX,
    scope: 'base',
    query_filter: '(|(o=%s)(dc=*))',
    result_attribute: 'o',
  };
  const ldaps = { server_host: `ldaps://127.0.0.1:${slapd.tlsPort}` };
  const starttls = { server_host: `ldap://127.0.0.1:${slapd.port}`, start_tls: 'yes' };
  const named = { server_host: `ldap://localhost:${slapd.port}` };
  const checked = { tls_require_cert: 'yes', tls_ca_cert_file: good.caFile };
  const both: readonly Settings[] = [ldaps, starttls];
  for (const how of both) {
    await run(t, 'ldap', { ...common, ...how }, [
      [{}, 'example'],
      [checked, 'example'],
      [{ tls_require_cert: 'yes', tls_ca_cert_dir: good.directory }, 'example'],
      [{ tls_require_cert: 'yes', tls_ca_cert_file: other.caFile }, '<retry>', /certificate/],
      [{ tls_require_cert: 'yes' }, '<retry>', /certificate/],
      [{ ...checked, tls_cert: client.cert, tls_key: client.key }, 'example'],
      [{ tls_cipher_suite: 'ECDHE+AESGCM' }, 'example'],
    ]);
  }
  await run(t, 'ldap', { ...common, start_tls: 'yes', ...checked }, [
    [named, 'example'],
    [{ server_host: `ldap://127.0.0.2:${slapd.port}` }, '<retry>', /altnames/],
    [{ start_tls: 'no', server_host: `ldaps://127.0.0.2:${slapd.tlsPort}` }, '<retry>', /altnames/],
  ]);
  const bench = remoteBench(t);
  assert.match(bench.fault('ldap', { ...common, ...ldaps, tls_cert: '/no/such' }), /ENOENT/);
});

test('a server without TLS is refused when TLS is asked for', options, async (t) => {
  const bare = await startSlapd();
  t.after(bare.stop);
  const common = { search_base: SUFFIX, query_filter: '(o=%s)', result_attribute: 'o' };
  await run(t, 'ldap', { ...common, server_host: `127.0.0.1:${bare.port}` }, [
    [{}, '<absent>'],
    [{ start_tls: 'yes' }, '<retry>', /Unable to set STARTTLS/],
  ]);
});
