/**
 * `mysql:/file` and `mysql:name`: rows of a MySQL or MariaDB server.
 *
 * Hosts over Unix sockets come before those over the network, in random order among equals; one
 * that fails is left alone for retry_interval. Unlike Postfix: a query that the server refuses
 * (a missing table) is tried on the other hosts but keeps none of them away, so that the table
 * works again as soon as the cause is mended.
 *
 * @see mysql_table(5)
 */
import { statSync } from 'node:fs';
import { ok, type Result } from '../../util/result.ts';
import {
  connectMysql,
  loadMysql,
  type MysqlConnection,
  type MysqlHost,
  type MysqlLogin,
  type MysqlTls,
  mysqlHostName,
} from '../client/mysql.ts';
import { type MysqlOptions, readMysqlOptions } from '../client/mysql-options.ts';
import { readAuthorities, readPem } from '../client/pem.ts';
import { Pool, refused } from '../client/pool.ts';
import type { Table } from '../table.ts';
import { poolSettings, type RemoteContext, SharedPools, tableFault } from './remote-pools.ts';
import type { Settings, SettingsFault } from './remote-settings.ts';
import { type SqlText, sqlSpec, sqlTable } from './sql.ts';

const DEFAULT_SOCKETS = [
  '/run/mysqld/mysqld.sock',
  '/var/run/mysqld/mysqld.sock',
  '/tmp/mysql.sock',
];

const POOLS = new SharedPools<Pool<MysqlHost, MysqlConnection>>();

export function mysqlTable(
  settings: Settings,
  { logger, owner, openTable }: RemoteContext,
): Result<Table, SettingsFault> {
  const login = readLogin(settings);
  const pool = poolSettings(settings, { retrySeconds: 60, idleSeconds: 60 });
  const options = readOptions(settings);
  const hosts = readHosts(settings, options);
  const requireResultSet = settings.bool('require_result_set', true);
  const tls = readTls(settings, options);
  const spec = sqlSpec('mysql', settings, openTable);
  if (!spec || settings.faults.length > 0) return tableFault(settings, logger);

  const driver = loadMysql();
  const whole: MysqlLogin = {
    ...login(options),
    timeoutMs: pool.waitMs,
    ...(tls ? { tls } : {}),
  };
  const connections = POOLS.get(owner, [hosts, whole, pool], () => {
    return new Pool<MysqlHost, MysqlConnection>({
      ...pool,
      server: 'mysql',
      hosts,
      nameOf: mysqlHostName,
      rankOf: ({ kind }) => (kind === 'unix' ? 0 : 1),
      connect: (host) => connectMysql(driver, host, whole),
    });
  });
  const report = (text: string): void => logger.warning(`mysql:${settings.name}: ${text}`);
  const ask = (text: SqlText) =>
    connections.use(async (connection) => {
      const query = text(connection.session);
      if (!query.ok) return refused(query.error);
      const answer = await connection.query(query.value);
      if (!answer.ok || answer.value.hasResultSet || !requireResultSet) return answer;
      return refused('query returned no result set (require_result_set = yes)');
    }, report);
  return ok({ ...sqlTable(spec, ask, logger), close: () => connections.close() });
}

function readOptions(settings: Settings): MysqlOptions {
  const file = settings.optional('option_file');
  const read = readMysqlOptions(file, settings.text('option_group', 'client'));
  if (read.ok) return read.value;
  settings.fault(read.error);
  return new Map();
}

/**
 * Our texts are UTF-8. Under the name of a single-byte set the server takes their bytes as they
 * are, as it does Postfix's. In a set of longer characters a byte could look like `\` or `'`, and a
 * character that the set lacks would turn into `?`, another key: there the server converts instead.
 */
const CONVERTED = /^(?:ascii|big5|cp932|euc\w+|gb\w+|sjis|ujis|utf8|utf8mb3)$/i;

function readLogin(settings: Settings): (options: MysqlOptions) => Omit<MysqlLogin, 'timeoutMs'> {
  const user = settings.text('user', '');
  const password = settings.text('password', '');
  const database = settings.required('dbname');
  const charset = settings.required('charset', 'utf8mb4');
  if (!/^\w*$/.test(charset)) {
    settings.fault(`bad charset "${charset}"; write a name such as utf8mb4`);
  }
  return (options) => ({
    user: user || (options.get('user') ?? ''),
    password: password || (options.get('password') ?? ''),
    database,
    charset: CONVERTED.test(charset) ? 'utf8mb4' : charset,
  });
}

/** `[inet:]host[:port]`, `unix:/path`; `localhost` is the local Unix socket. */
function readHosts(settings: Settings, options: MysqlOptions): MysqlHost[] {
  const words = settings.list('hosts');
  const port = Number(options.get('port') ?? 3306);
  const local: MysqlHost = { kind: 'unix', path: options.get('socket') ?? findSocket() };
  return (words.length > 0 ? words : ['localhost']).map((word) => {
    if (word.startsWith('unix:')) return { kind: 'unix', path: word.slice(5) };
    const text = word.replace(/^inet:/, '');
    const [, host = text, digits] =
      /^\[(.*)\](?::(\d+))?$/.exec(text) ?? /^([^:]*)(?::(\d+))?$/.exec(text) ?? [];
    if (host === text && text.includes(':')) {
      settings.fault(`bad host "${word}" in hosts; write host, host:port or unix:/path`);
    }
    if (host.toLowerCase() === 'localhost') return local;
    return { kind: 'inet', host, port: digits === undefined ? port : Number(digits) };
  });
}

const findSocket = (): string =>
  DEFAULT_SOCKETS.find((path) => statSync(path, { throwIfNoEntry: false })?.isSocket()) ??
  '/run/mysqld/mysqld.sock';

/** TLS is used, and insisted on, as soon as one tls_ parameter or ssl- option is set. */
function readTls(settings: Settings, options: MysqlOptions): MysqlTls | undefined {
  const path = (name: string, option: string): string | undefined =>
    settings.optional(name) ?? (options.get(option) || undefined);
  const key = path('tls_key_file', 'ssl-key');
  const cert = path('tls_cert_file', 'ssl-cert');
  const caFile = path('tls_CAfile', 'ssl-ca');
  const caPath = path('tls_CApath', 'ssl-capath');
  const ciphers = path('tls_ciphers', 'ssl-cipher');
  const verifyOption = options.get('ssl-verify-server-cert');
  const verifyName = settings.bool(
    'tls_verify_cert',
    verifyOption !== undefined && !/^(0|off|false)$/i.test(verifyOption),
  );
  if (!verifyName && [key, cert, caFile, caPath, ciphers].every((each) => each === undefined)) {
    return undefined;
  }
  const ca = readAuthorities(caFile, caPath);
  if (!ca.ok) settings.fault(ca.error);
  const texts = [cert, key].map((file) => (file === undefined ? undefined : readPem(file)));
  for (const text of texts) if (text && !text.ok) settings.fault(text.error);
  const [certText, keyText] = texts.map((text) => (text?.ok ? text.value : undefined));
  return {
    ...(ca.ok && ca.value.length > 0 ? { ca: ca.value } : {}),
    ...(certText === undefined ? {} : { cert: certText }),
    ...(keyText === undefined ? {} : { key: keyText }),
    ...(ciphers === undefined ? {} : { ciphers }),
    verifyChain: verifyName || caFile !== undefined || caPath !== undefined,
    verifyName,
  };
}
