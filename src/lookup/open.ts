/**
 * Open a lookup table by its main.cf name, `type:name`.
 *
 * Only a name that cannot be a table is a fault (the parameter is wrong, the service should not
 * start). A table that cannot be opened now becomes one whose every lookup says why, as in
 * Postfix: the mail waits, nothing is taken for absent.
 *
 * Tables are cached in the context: a table named by two parameters is opened once.
 */
import type { Logger } from '../log/maillog.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import type { Table } from './table.ts';
import { compiledTable } from './types/compiled.ts';
import { pipeTable, randomTable, unionTable } from './types/compose.ts';
import { debugTable } from './types/debug.ts';
import { cidrFile, inlineTable, patternFile, staticValue, textTable } from './types/files.ts';
import { braceElements } from './types/inline.ts';
import {
  environTable,
  failTable,
  memoryTable,
  surrogateTable,
  unsupportedTable,
} from './types/memory.ts';
import { withoutProxy } from './types/proxy.ts';
import { isRemote, remoteTable, UNPROVEN } from './types/remote.ts';
import type { TextFormat } from './types/text.ts';
import { unixTable } from './types/unix.ts';

export type TableFault = { readonly reason: string };

export type LookupContext = {
  /** $data_directory: compiled tables lie in its `maps/`. */
  readonly dataDirectory: string;
  /** $default_database_type: the type of a table named by its file alone. */
  readonly defaultType: string;
  readonly logger: Logger;
  /** Absolute paths of alias_maps and alias_database tables: their text is aliases(5). */
  readonly aliasFiles: ReadonlySet<string>;
  /** How texts are read, where not as usual (postmap -f, -F, -u). */
  readonly format?: TextFormat;
  /** map_rebuild_enable. */
  readonly rebuilds?: boolean;
  /** Any parameter of main.cf: proxy_read_maps, and `NAME_hosts` of `mysql:NAME`. */
  readonly parameter?: (name: string) => string | undefined;
  /** Values become commands, files or user ids: no tables of servers that prove nothing. */
  readonly isSensitive?: boolean;
  /** Tables already open in this process, by `type:name`. */
  readonly cache: Map<string, Table>;
};

/** One context a process: tables of all parameters share it. */
export function lookupContext(
  config: {
    readonly data_directory: string;
    readonly default_database_type: string;
    readonly alias_maps: string;
    readonly alias_database: string;
    readonly map_rebuild_enable?: boolean;
    readonly lookup?: (name: string) => string | undefined;
  },
  logger: Logger,
): LookupContext {
  const aliasTables = splitList(`${config.alias_maps} ${config.alias_database}`);
  return {
    dataDirectory: config.data_directory,
    defaultType: config.default_database_type,
    logger,
    aliasFiles: new Set(aliasTables.map((spec) => spec.replace(/^(?:[a-z][\w-]*:)+/i, ''))),
    ...(config.map_rebuild_enable === false ? { rebuilds: false } : {}),
    ...(config.lookup ? { parameter: config.lookup } : {}),
    cache: new Map(),
  };
}

/** Types whose text is compiled. */
export const INDEXED: ReadonlySet<string> = new Set(['hash', 'btree', 'dbm', 'lmdb', 'cdb']);
/** Types that Postfix knows and this server has no client for: each lookup fails for now. */
export const SURROGATES: ReadonlySet<string> = new Set([
  'mongodb',
  'nis',
  'nisplus',
  'netinfo',
  'sdbm',
]);

/** After `proxy:` the table must be in proxy_read_maps; it is opened in the process that asks. */
export function openTable(spec: string, context: LookupContext): Result<Table, TableFault> {
  const whole = spec.replace(/^\{\s*([\s\S]*?)\s*\}$/, '$1');
  const bare = withoutProxy(whole, () => context.parameter?.('proxy_read_maps'));
  if (!bare.ok) return ok(refusedTable(whole, bare.error.reason, context));
  const text = bare.value;
  const colon = text.indexOf(':');
  const hasType = colon > 0 && /^[a-z][a-z\d_-]*$/i.test(text.slice(0, colon));
  if ((!hasType && !text.startsWith('/')) || colon === text.length - 1) {
    return err({ reason: `"${spec}" is no table: expecting "type:name" form` });
  }
  const type = hasType ? text.slice(0, colon) : context.defaultType;
  const name = hasType ? text.slice(colon + 1) : text;
  const id = `${type}:${name}`;
  const known = context.cache.get(id);
  if (known) return ok(known);
  const opened = makeTable(type, name, context);
  const table = opened.ok ? opened.value : surrogateTable(type, name, opened.error.reason);
  if (!opened.ok) context.logger.warning(`${id}: ${opened.error.reason}`);
  context.cache.set(id, table);
  return ok(table);
}

function refusedTable(name: string, reason: string, context: LookupContext): Table {
  const known = context.cache.get(name);
  if (known) return known;
  context.logger.warning(`${name}: ${reason}`);
  const table = surrogateTable('proxy', name.replace(/^proxy:/, ''), reason);
  context.cache.set(name, table);
  return table;
}

/** For parameters whose values become commands, files or user ids. @see tcp_table(5) "SECURITY" */
export function sensitive(context: LookupContext): LookupContext {
  return { ...context, isSensitive: true, cache: new Map() };
}

/** End the idle connections of all tables: before a command ends. */
export function closeTables({ cache }: Pick<LookupContext, 'cache'>): void {
  for (const table of cache.values()) table.close?.();
}

/** As `openTable` for a table that is there now: a fault says why it cannot be opened. */
export function makeTable(
  type: string,
  name: string,
  context: LookupContext,
): Result<Table, TableFault> {
  return SURROGATES.has(type) ? ok(unsupportedTable(type, name)) : make(type, name, context);
}

function make(type: string, name: string, context: LookupContext): Result<Table, TableFault> {
  if (INDEXED.has(type)) return compiledTable(type, name, context);
  if (context.isSensitive && UNPROVEN.has(type)) {
    return err({ reason: `${type}:${name} map is not allowed for security-sensitive data` });
  }
  if (isRemote(type)) {
    const { logger, parameter, cache } = context;
    const open = (spec: string) => openTable(spec, context);
    return remoteTable(type, name, { logger, parameter, cache, openTable: open });
  }
  switch (type) {
    case 'texthash':
      return textTable(name, context);
    case 'inline':
      return inlineTable(name, context);
    case 'static':
      return staticValue(name, context);
    case 'internal':
      return ok(memoryTable(type, name, new Map()));
    case 'debug':
      return debugged(name, context);
    case 'cidr':
      return cidrFile(name, context);
    case 'regexp':
    case 'pcre':
      return patternFile(type, name, context);
    case 'unix':
      return unixTable(name);
    case 'environ':
      return ok(environTable(name, process.env));
    case 'fail':
      return ok(failTable(name));
    case 'unionmap':
    case 'pipemap':
    case 'randmap':
      return composed(type, name, context);
    default:
      return err({ reason: `unsupported dictionary type: ${type}` });
  }
}

function debugged(name: string, context: LookupContext): Result<Table, TableFault> {
  const real = openTable(name, context);
  return real.ok ? ok(debugTable(name, real.value, context.logger)) : real;
}

function composed(
  type: 'unionmap' | 'pipemap' | 'randmap',
  name: string,
  context: LookupContext,
): Result<Table, TableFault> {
  const elements = braceElements(name);
  if (!elements.ok) return elements;
  const isBad =
    elements.value.length === 0 ||
    (type !== 'randmap' && !elements.value.every((element) => element.includes(':')));
  if (isBad) {
    const need = type === 'randmap' ? 'value' : 'type:name';
    return err({ reason: `bad syntax: "${type}:${name}"; need "${type}:{${need}...}"` });
  }
  if (type === 'randmap') return ok(randomTable(name, elements.value, Math.random));
  const tables: Table[] = [];
  for (const element of elements.value) {
    const table = openTable(element, context);
    if (!table.ok) return table;
    tables.push(table.value);
  }
  return ok(type === 'unionmap' ? unionTable(name, tables) : pipeTable(name, tables));
}
