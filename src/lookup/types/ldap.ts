/**
 * `ldap:/file` and `ldap:name`: attributes of a directory's entries.
 *
 * Servers are tried in the order given; one that failed within the last ten seconds is passed over
 * while another answers. Unlike Postfix: protocol version 3 is spoken whatever `version` says, and
 * a table that binds with a name but no password is misconfigured.
 *
 * @see ldap_table(5)
 */
import { ok, type Result } from '../../util/result.ts';
import {
  connectLdap,
  type LdapConnection,
  type LdapServer,
  ldapServerName,
  loadLdap,
} from '../client/ldap.ts';
import { type Failure, Pool } from '../client/pool.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';
import { type LdapConfig, ldapConfig } from './ldap-config.ts';
import { chasing } from './ldap-referral.ts';
import { ldapValues, type Searcher } from './ldap-values.ts';
import { type RemoteContext, SharedPools, tableFault } from './remote-pools.ts';
import type { Settings, SettingsFault } from './remote-settings.ts';
import { expandKey, isComplete } from './remote-template.ts';
import { isKey } from './sql.ts';

const POOLS = new SharedPools<Pool<LdapServer, LdapConnection>>();
const RETRY_MS = 10_000;

export function ldapTable(
  settings: Settings,
  { logger, owner, openTable }: RemoteContext,
): Result<Table, SettingsFault> {
  const id = `ldap:${settings.name}`;
  const warn = (text: string): void => logger.warning(`${id}: ${text}`);
  const limit = settings.number('connection_limit', 5, 1);
  const idleMs = settings.number('idle_interval', 60, 1) * 1000;
  const config = ldapConfig(settings, openTable, warn);
  if (!config || settings.faults.length > 0) return tableFault(settings, logger);

  const driver = loadLdap();
  const { servers, login } = config;
  const pool = POOLS.get(owner, [servers, login, limit, idleMs], () => {
    return new Pool<LdapServer, LdapConnection>({
      server: 'ldap',
      hosts: servers,
      nameOf: ldapServerName,
      rankOf: () => 0,
      connect: (server) => connectLdap(driver, server, login),
      limit,
      idleMs,
      retryMs: RETRY_MS,
      tryAllWhenDown: true,
      waitMs: login.timeoutMs,
      now: () => performance.now(),
      random: () => 0,
    });
  });
  const lookup = async (key: string): Promise<Lookup> => {
    const found = await pool.use((connection) => {
      const searcher = config.chaseReferrals ? chasing(connection, driver, login) : connection;
      return find(config, searcher, key, warn);
    }, warn);
    return found.ok ? found.value : { kind: 'retry', reason: `${id}: ${found.error}` };
  };
  const start = (key: string) => (isComplete(config.needs, key) ? lookup(key) : ABSENT);
  return ok({
    type: 'ldap',
    name: settings.name,
    keys: 'fixed',
    lookup: (key) => {
      if (!isKey(key)) return ABSENT;
      const eligible = config.domain(key);
      const go = (answer: Awaited<typeof eligible>) => {
        if (answer.kind === 'error') return { kind: 'retry', reason: answer.reason } as const;
        return answer.kind === 'no' ? ABSENT : start(key);
      };
      return eligible instanceof Promise ? eligible.then(go) : go(eligible);
    },
    close: () => pool.close(),
  });
}

async function find(
  config: LdapConfig,
  searcher: Searcher,
  key: string,
  warn: (text: string) => void,
): Promise<Result<Lookup, Failure>> {
  const base = expandKey(config.base, key, escapeDn);
  const answer = await searcher.search({
    base,
    scope: config.scope,
    filter: expandKey(config.filter, key, escapeFilter),
    attributes: [...config.terminal, ...config.leaf, ...config.plain, ...config.special],
    sizeLimit: config.sizeLimit,
  });
  if (!answer.ok) return answer;
  if (!answer.value.hasBase) {
    if (config.hasDynamicBase) return ok(ABSENT);
    const reason = `Search base '${base}' not found`;
    return { ok: false, error: { kind: 'refused', reason } };
  }
  const values = await ldapValues(config, searcher, answer.value.entries, key, warn);
  if (!values.ok) return values;
  const value = values.value.join(',');
  return ok(value === '' ? ABSENT : { kind: 'found', value });
}

const hex = (text: string): string =>
  [...Buffer.from(text)]
    .map((byte) => `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('');

/** RFC 4515: what would be read as part of the filter. */
export const escapeFilter = (value: string): string => value.replaceAll(/[*()\\\0]/g, hex);

/** RFC 4514: what would be read as part of the name, and every blank. */
export const escapeDn = (value: string): string =>
  value.replaceAll(/[\x00-\x20"#+,;<=>\\\x7f]/g, hex);
