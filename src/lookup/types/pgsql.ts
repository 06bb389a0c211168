/**
 * `pgsql:/file` and `pgsql:name`: rows of a PostgreSQL server.
 *
 * Hosts as for mysql: tables; see there for what happens when one fails. Unlike libpq, ~/.pgpass
 * and the PG* variables are not promised: write user, password and dbname, or a URI.
 *
 * @see pgsql_table(5)
 */
import { ok, type Result } from '../../util/result.ts';
import { connectPgsql, loadPgsql, type PgsqlConnection } from '../client/pgsql.ts';
import { type PgsqlHost, parsePgsqlHost, pgsqlHostName } from '../client/pgsql-uri.ts';
import { Pool, refused } from '../client/pool.ts';
import type { Table } from '../table.ts';
import { poolSettings, type RemoteContext, SharedPools, tableFault } from './remote-pools.ts';
import type { Settings, SettingsFault } from './remote-settings.ts';
import { type SqlText, sqlSpec, sqlTable } from './sql.ts';

const POOLS = new SharedPools<Pool<PgsqlHost, PgsqlConnection>>();
const RANKS: Readonly<Record<PgsqlHost['kind'], number>> = { unix: 0, inet: 1, uri: 2 };

/** Client-only encodings in which a byte of a longer character may look like `\` or `'`. */
const AMBIGUOUS = /^(?:big5|gbk|gb18030|johab|sjis|shift_jis_2004|uhc)$/i;

export function pgsqlTable(
  settings: Settings,
  { logger, owner, openTable }: RemoteContext,
): Result<Table, SettingsFault> {
  const encoding = settings.required('encoding', 'UTF8');
  if (!/^[\w-]*$/.test(encoding)) {
    settings.fault(`bad encoding "${encoding}"; write a name such as UTF8`);
  }
  const user = settings.text('user', '');
  const password = settings.text('password', '');
  const database = settings.text('dbname', '');
  const pool = poolSettings(settings, { retrySeconds: 60, idleSeconds: 60 });
  const hosts = readHosts(settings);
  const spec = sqlSpec('pgsql', settings, openTable);
  const plain = hosts.find((host) => host.database === undefined);
  if (plain && database === '') {
    settings.fault(`host target '${pgsqlHostName(plain)}' requires dbname setting`);
  }
  if (!spec || settings.faults.length > 0) return tableFault(settings, logger);

  const driver = loadPgsql();
  const login = {
    user,
    password,
    database,
    encoding: AMBIGUOUS.test(encoding) ? 'UTF8' : encoding,
    timeoutMs: pool.waitMs,
  };
  const connections = POOLS.get(owner, [hosts, login, pool], () => {
    return new Pool<PgsqlHost, PgsqlConnection>({
      ...pool,
      server: 'pgsql',
      hosts,
      nameOf: pgsqlHostName,
      rankOf: ({ kind }) => RANKS[kind],
      connect: (host) => connectPgsql(driver, host, login),
    });
  });
  const report = (text: string): void => logger.warning(`pgsql:${settings.name}: ${text}`);
  const ask = (text: SqlText) =>
    connections.use(async (connection) => {
      const query = text(connection.session);
      return query.ok ? connection.query(query.value) : refused(query.error);
    }, report);
  return ok({ ...sqlTable(spec, ask, logger), close: () => connections.close() });
}

function readHosts(settings: Settings): PgsqlHost[] {
  const words = settings.list('hosts');
  return (words.length > 0 ? words : ['localhost']).flatMap((word) => {
    const host = parsePgsqlHost(word);
    if (host.ok) return [host.value];
    settings.fault(host.error);
    return [];
  });
}
