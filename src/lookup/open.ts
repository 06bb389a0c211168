/**
 * Open a lookup table by its main.cf name, `type:name`.
 *
 * Only a name that cannot be a table is a fault (the parameter is wrong, the service should not
 * start). A table that cannot be opened now becomes one whose every lookup says why, as in
 * Postfix: the mail waits, nothing is taken for absent.
 *
 * Tables are cached in the context: a table named by two parameters is opened once.
 */
import { readFileSync } from 'node:fs';
import type { Logger } from '../log/maillog.ts';
import { logicalLines } from '../util/logical-lines.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import type { Table } from './table.ts';
import { cidrTable } from './types/cidr.ts';
import { compiledTable } from './types/compiled.ts';
import { pipeTable, randomTable, unionTable } from './types/compose.ts';
import { braceElements, inlineEntries, inlineLines } from './types/inline.ts';
import {
  environTable,
  failTable,
  memoryTable,
  staticTable,
  surrogateTable,
} from './types/memory.ts';
import { patternTable } from './types/pattern.ts';
import { parseMapText } from './types/text.ts';
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
  },
  logger: Logger,
): LookupContext {
  const aliasTables = splitList(`${config.alias_maps} ${config.alias_database}`);
  return {
    dataDirectory: config.data_directory,
    defaultType: config.default_database_type,
    logger,
    aliasFiles: new Set(aliasTables.map((spec) => spec.replace(/^(?:[a-z][\w-]*:)+/i, ''))),
    cache: new Map(),
  };
}

const INDEXED: ReadonlySet<string> = new Set(['hash', 'btree', 'dbm', 'lmdb', 'cdb', 'sdbm']);

/** `proxy:` prefixes are dropped: tables are opened in the process that asks. */
export function openTable(spec: string, context: LookupContext): Result<Table, TableFault> {
  const text = spec.replace(/^\{\s*([\s\S]*?)\s*\}$/, '$1').replace(/^(?:proxy:)+/, '');
  const colon = text.indexOf(':');
  const hasType = colon > 0 && /^[a-z][a-z\d_-]*$/i.test(text.slice(0, colon));
  if (!hasType && !text.startsWith('/')) {
    return err({ reason: `"${spec}" is no table: expecting "type:name" form` });
  }
  const type = hasType ? text.slice(0, colon) : context.defaultType;
  const name = hasType ? text.slice(colon + 1) : text;
  const id = `${type}:${name}`;
  const known = context.cache.get(id);
  if (known) return ok(known);
  const opened = make(type, name, context);
  const table = opened.ok ? opened.value : surrogateTable(type, name, opened.error.reason);
  if (!opened.ok) context.logger.warning(`${id}: ${opened.error.reason}`);
  context.cache.set(id, table);
  return ok(table);
}

function make(type: string, name: string, context: LookupContext): Result<Table, TableFault> {
  if (INDEXED.has(type)) return compiledTable(type, name, context);
  switch (type) {
    case 'texthash':
      return textTable(type, name, context);
    case 'inline':
      return inlineTable(name);
    case 'static':
      return staticValue(name);
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

function textTable(type: string, name: string, context: LookupContext): Result<Table, TableFault> {
  const source = read(name);
  if (!source.ok) return source;
  const { entries, faults } = parseMapText(source.value);
  for (const { line, reason } of faults) {
    context.logger.warning(`${name}, line ${line}: ${reason}`);
  }
  return ok(memoryTable(type, name, entries));
}

function inlineTable(name: string): Result<Table, TableFault> {
  const entries = inlineEntries(name);
  return entries.ok ? ok(memoryTable('inline', name, entries.value)) : entries;
}

function staticValue(name: string): Result<Table, TableFault> {
  if (!name.startsWith('{')) return ok(staticTable(name, name));
  const inner = /^\{\s*([\s\S]*?)\s*\}$/.exec(name)?.[1];
  if (inner === undefined) return err({ reason: `static:${name}: missing "}"` });
  return ok(staticTable(name, inner));
}

/** Rule tables take `{ {rule}, {rule} }` instead of a file name. */
function ruleLines(name: string): Result<ReturnType<typeof logicalLines>, TableFault> {
  if (name.startsWith('{')) return inlineLines(name);
  const source = read(name);
  return source.ok ? ok(logicalLines(source.value)) : source;
}

function cidrFile(name: string, context: LookupContext): Result<Table, TableFault> {
  const lines = ruleLines(name);
  if (!lines.ok) return lines;
  const { table, faults } = cidrTable(name, lines.value);
  for (const { line, code } of faults) {
    context.logger.warning(`cidr map ${name}, line ${line}: ${code}: skipping this rule`);
  }
  return ok(table);
}

function patternFile(
  type: 'regexp' | 'pcre',
  name: string,
  context: LookupContext,
): Result<Table, TableFault> {
  const lines = ruleLines(name);
  if (!lines.ok) return lines;
  const { table, faults } = patternTable(type, name, lines.value);
  for (const { line, reason } of faults) {
    context.logger.warning(`${type} map ${name}, line ${line}: ${reason}: skipping this rule`);
  }
  return ok(table);
}

function composed(
  type: 'unionmap' | 'pipemap' | 'randmap',
  name: string,
  context: LookupContext,
): Result<Table, TableFault> {
  const elements = braceElements(name);
  if (!elements.ok) return elements;
  if (elements.value.length === 0) return err({ reason: `${type}:${name}: empty list` });
  if (type === 'randmap') return ok(randomTable(name, elements.value, Math.random));
  const tables: Table[] = [];
  for (const element of elements.value) {
    const table = openTable(element, context);
    if (!table.ok) return table;
    tables.push(table.value);
  }
  return ok(type === 'unionmap' ? unionTable(name, tables) : pipeTable(name, tables));
}

function read(path: string): Result<string, TableFault> {
  if (!path.startsWith('/')) return err({ reason: `open ${path}: not an absolute path` });
  try {
    return ok(readFileSync(path, 'utf8'));
  } catch (error) {
    return err({ reason: error instanceof Error ? error.message : String(error) });
  }
}
