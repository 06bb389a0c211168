/**
 * Tables that ask a server, by type: `mysql`, `pgsql`, `sqlite`, `ldap`, `memcache` read their
 * settings from a file or main.cf; `tcp` and `socketmap` have them in their name.
 */
import type { Logger } from '../../log/maillog.ts';
import { ok, type Result } from '../../util/result.ts';
import type { Table } from '../table.ts';
import { ldapTable } from './ldap.ts';
import { memcacheTable } from './memcache.ts';
import { mysqlTable } from './mysql.ts';
import { pgsqlTable } from './pgsql.ts';
import type { OpenTable } from './remote-domain.ts';
import type { RemoteContext } from './remote-pools.ts';
import { openSettings, type Settings, type SettingsFault } from './remote-settings.ts';
import { socketmapTable } from './socketmap.ts';
import { sqliteTable } from './sqlite.ts';
import { tcpTable } from './tcp.ts';

type Make = (settings: Settings, context: RemoteContext) => Result<Table, SettingsFault>;

const CONFIGURED: ReadonlyMap<string, Make> = new Map([
  ['mysql', mysqlTable],
  ['pgsql', pgsqlTable],
  ['sqlite', sqliteTable],
  ['ldap', ldapTable],
  ['memcache', memcacheTable],
]);

export type RemoteOptions = {
  readonly logger: Logger;
  /** A parameter of main.cf, for tables that are configured there. */
  readonly parameter?: ((name: string) => string | undefined) | undefined;
  /** The table cache: connections are shared by the tables of one. */
  readonly cache: object;
  readonly openTable: OpenTable;
};

/** Neither the connection nor the server is authenticated. */
export const UNPROVEN: ReadonlySet<string> = new Set(['tcp', 'socketmap', 'memcache']);

export const isRemote = (type: string): boolean =>
  CONFIGURED.has(type) || type === 'tcp' || type === 'socketmap';

export function remoteTable(
  type: string,
  name: string,
  { logger, parameter, cache, openTable }: RemoteOptions,
): Result<Table, SettingsFault> {
  if (type === 'tcp') return tcpTable(name, logger);
  if (type === 'socketmap') return socketmapTable(name, logger);
  const settings = openSettings(name, parameter);
  if (!settings.ok) return settings;
  const table = CONFIGURED.get(type)?.(settings.value, { logger, owner: cache, openTable });
  if (!table?.ok) return table ?? ok(undefinedTable(type, name));
  for (const unused of settings.value.unused()) {
    logger.warning(`${type}:${name}: unused parameter: ${unused}`);
  }
  return table;
}

function undefinedTable(type: string, name: string): never {
  throw new Error(`no such remote table: ${type}:${name}`);
}
