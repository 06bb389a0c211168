/**
 * What postmap(1), postalias(1) and newaliases(1) share: check and index a table, ask it, list it.
 *
 * Unlike Postfix: servers read the text themselves, so that a forgotten postmap delays nothing;
 * these commands tell of mistakes in the text and index large tables ahead of time.
 */
import { readFileSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import { type LookupContext, lookupContext, openTable } from '../lookup/open.ts';
import type { Table } from '../lookup/table.ts';
import { MEMORY_LIMIT, parseTable, versionOf } from '../lookup/types/compiled.ts';
import { buildIndex } from '../lookup/types/map-index.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Io } from './main.ts';

export type Tool = {
  /** `postmap`, `postalias`, `newaliases`: in front of each message. */
  readonly name: string;
  readonly io: Io;
  readonly config: Config;
  readonly context: LookupContext;
  /** The text is aliases(5). */
  readonly isAliases: boolean;
};

type Action =
  | { readonly kind: 'build' }
  | { readonly kind: 'list' }
  | { readonly kind: 'query'; readonly key: string };

type Request = {
  readonly action: Action;
  readonly tables: readonly string[];
  /** -r, -w: say nothing about duplicates. */
  readonly isSilent: boolean;
};

/** Types whose text is compiled; others are only asked. */
const INDEXED: ReadonlySet<string> = new Set(['hash', 'btree', 'dbm', 'lmdb', 'cdb', 'sdbm']);

/** Everything the two map commands do. Exit status 0: done or found; 1: not found or failed. */
export async function mapTool(
  name: string,
  argv: readonly string[],
  io: Io,
  isAliases: boolean,
): Promise<number> {
  const tool = openTool(name, io, isAliases);
  if (!tool.ok) return fatal(name, io, tool.error);
  const request = parseArguments(argv);
  if (!request.ok) return fatal(name, io, request.error);
  const { action, tables } = request.value;
  switch (action.kind) {
    case 'build': {
      let status = 0;
      for (const table of tables) status = buildTable(tool.value, table, request.value) || status;
      return status;
    }
    case 'list': {
      let status = 0;
      for (const table of tables) status = listTable(tool.value, table) || status;
      return status;
    }
    case 'query':
      return query(tool.value, tables, action.key);
  }
}

export function openTool(name: string, io: Io, isAliases: boolean): Result<Tool, string> {
  const config = loadConfig(io.configDirectory);
  if (!config.ok) return err(config.error.map(({ text }) => text).join('; '));
  const context = lookupContext(config.value, loggerOf(name, io));
  return ok({ name, io, config: config.value, context, isAliases });
}

/** Check the text and write its index. `table` is `type:file` or a file. */
export function buildTable(
  { name, io, config, context, isAliases }: Tool,
  table: string,
  { isSilent }: Pick<Request, 'isSilent'> = { isSilent: false },
): number {
  const { type, file } = splitName(table, config.default_database_type);
  if (!INDEXED.has(type)) {
    const text = `unsupported map type for this operation: ${type}; ${type} tables need no index`;
    return fatal(name, io, text);
  }
  try {
    const stat = statSync(file);
    const parsed = parseTable(
      readFileSync(file, 'utf8'),
      isAliases || context.aliasFiles.has(file),
    );
    for (const { line, kind, reason } of parsed.faults) {
      if (kind === 'duplicate' && isSilent) continue;
      io.stderr(`${name}: warning: ${file}, line ${line}: ${reason}\n`);
    }
    if (stat.size <= MEMORY_LIMIT) return 0;
    const built = buildIndex(config.data_directory, file, versionOf(stat), parsed.entries);
    return built.ok ? 0 : fatal(name, io, `${file}: ${built.error}`);
  } catch (error) {
    return fatal(name, io, `open ${file}: ${error instanceof Error ? error.message : error}`);
  }
}

function listTable({ name, io, config, context, isAliases }: Tool, table: string): number {
  const { file } = splitName(table, config.default_database_type);
  try {
    const source = readFileSync(file, 'utf8');
    const { entries } = parseTable(source, isAliases || context.aliasFiles.has(file));
    for (const [key, value] of entries) io.stdout(`${key}\t${value}\n`);
    return 0;
  } catch (error) {
    return fatal(name, io, `open ${file}: ${error instanceof Error ? error.message : error}`);
  }
}

/** `-q key`, or `-q -`: keys from standard input, one a line. */
async function query(tool: Tool, names: readonly string[], key: string): Promise<number> {
  const tables: Table[] = [];
  const { context, name, io } = tool;
  for (const each of names) {
    const { type, file } = splitName(each, tool.config.default_database_type);
    const aliasFiles = tool.isAliases ? new Set([...context.aliasFiles, file]) : context.aliasFiles;
    const table = openTable(`${type}:${file}`, { ...context, aliasFiles });
    if (!table.ok) return fatal(name, io, table.error.reason);
    tables.push(table.value);
  }
  if (key !== '-') return ask(tool, tables, key, (value) => `${value}\n`);
  let status = 1;
  for await (const line of createInterface({
    input: io.stdin,
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    if (line === '') continue;
    const found = await ask(tool, tables, line, (value) => `${line}\t${value}\n`);
    if (found === 0) status = 0;
  }
  return status;
}

async function ask(
  { name, io }: Tool,
  tables: readonly Table[],
  key: string,
  format: (value: string) => string,
): Promise<number> {
  for (const table of tables) {
    const answer = await table.lookup(table.keys === 'fixed' ? key.toLowerCase() : key);
    if (answer.kind === 'absent') continue;
    if (answer.kind === 'found') {
      if (answer.value === '') {
        const id = `${table.type}:${table.name}`;
        io.stderr(
          `${name}: warning: table ${id}: key ${key}: empty string result is not allowed\n`,
        );
      }
      io.stdout(format(answer.value));
      return 0;
    }
    return fatal(name, io, `table ${table.type}:${table.name}: query error: ${answer.reason}`);
  }
  return 1;
}

/** Options without a value are Postfix's ways to build a file; they change nothing here. */
function parseArguments(argv: readonly string[]): Result<Request, string> {
  let action: Action = { kind: 'build' };
  let isSilent = false;
  let at = 0;
  for (; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--') {
      at += 1;
      break;
    }
    const option = /^-([a-zA-Z].*)/.exec(word)?.[1];
    if (option === undefined) break;
    if (option.startsWith('q')) {
      if (word.length === 2) at += 1;
      const key = word.length === 2 ? argv[at] : word.slice(2);
      if (key === undefined) return err('option requires an argument -- q');
      action = { kind: 'query', key };
      continue;
    }
    if (/[dbhm]/.test(option)) {
      return err(`option ${word} is not supported: edit the text of the table`);
    }
    if (!/^[NnfFoprsuUvw]+$/.test(option)) return err(`invalid option -- ${word}`);
    if (option.includes('s')) action = { kind: 'list' };
    if (/[rw]/.test(option)) isSilent = true;
  }
  const tables = argv.slice(at);
  if (tables.length === 0)
    return err('usage: [-c config_dir] [-q key] [-s] [file_type:]file_name...');
  return ok({ action, tables, isSilent });
}

function splitName(
  table: string,
  defaultType: string,
): { readonly type: string; readonly file: string } {
  const bare = table.replace(/^(?:proxy:)+/, '');
  const match = /^([a-z][a-z\d_-]*):([\s\S]*)$/i.exec(bare);
  const type = match?.[1] ?? defaultType;
  const name = match?.[2] ?? bare;
  const isFile = INDEXED.has(type) || ['texthash', 'cidr', 'regexp', 'pcre'].includes(type);
  if (!isFile || name.startsWith('/') || name.startsWith('{')) return { type, file: name };
  return { type, file: `${process.cwd()}/${name}` };
}

export function fatal(name: string, io: Io, text: string): number {
  io.stderr(`${name}: fatal: ${text}\n`);
  return 1;
}

function loggerOf(name: string, io: Io): Logger {
  const say = (level: string) => (text: string) => io.stderr(`${name}: ${level}${text}\n`);
  return {
    info: say(''),
    warning: say('warning: '),
    error: say('error: '),
    fatal: say('fatal: '),
    panic: say('panic: '),
    flush: () => undefined,
  };
}
