/** What postmap(1), postalias(1) and newaliases(1) work with: options, configuration, tables. */
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import {
  closeTables,
  INDEXED,
  type LookupContext,
  lookupContext,
  makeTable,
} from '../lookup/open.ts';
import type { Table } from '../lookup/table.ts';
import { withoutProxy } from '../lookup/types/proxy.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Io } from './main.ts';
import type { MapOptions } from './map-options.ts';

export type Tool = {
  /** `postmap`, `postalias`, `newaliases`: in front of each message. */
  readonly name: string;
  readonly io: Io;
  readonly config: Config;
  readonly context: LookupContext;
  readonly options: MapOptions;
  /** The text is aliases(5). */
  readonly isAliases: boolean;
};

/** Read the configuration and do the work with it. */
export async function runTool(
  name: string,
  io: Io,
  options: MapOptions,
  isAliases: boolean,
  work: (tool: Tool) => number | Promise<number>,
): Promise<number> {
  const config = loadConfig(options.configDirectory ?? io.configDirectory);
  if (!config.ok) return fatal(name, io, config.error.map(({ text }) => text).join('; '));
  const { hasFileValues, isExact } = options;
  const isMessage = options.headers || options.body;
  const isBytes = options.isBytes || (isMessage && !options.demandsUtf8);
  const context: LookupContext = {
    ...lookupContext(config.value, loggerOf(name, io)),
    format: { hasFileValues, isExact, isBytes },
  };
  try {
    return await work({ name, io, config: config.value, context, options, isAliases });
  } finally {
    closeTables(context);
  }
}

export type TableName = { readonly type: string; readonly name: string };

/** `type:name`, or a file of `default_database_type`; files as absolute paths. */
export function tableName({ config }: Tool, spec: string): Result<TableName, string> {
  const match = /^([a-z][a-z\d_-]*):([\s\S]*)$/i.exec(spec);
  const type = match?.[1] ?? config.default_database_type;
  const name = match?.[2] ?? spec;
  if (name === '' || spec.startsWith(':')) {
    return err(`open dictionary: expecting "type:name" form instead of "${spec}"`);
  }
  const isFile = INDEXED.has(type) || ['texthash', 'cidr', 'regexp', 'pcre'].includes(type);
  const isWhole = !isFile || name.startsWith('/') || name.startsWith('{');
  return ok({ type, name: isWhole ? name : `${process.cwd()}/${name}` });
}

/** Open a table to be asked. The reason of a failure is the rest of a `fatal` line. */
export function openForQuery(tool: Tool, spec: string): Result<Table, string> {
  const { context, isAliases, options } = tool;
  const bare = withoutProxy(spec, () => context.parameter?.('proxy_read_maps'));
  if (!bare.ok) return err(bare.error.reason);
  const named = tableName(tool, bare.value);
  if (!named.ok) return named;
  const { type, name } = named.value;
  if (options.isVerbose) context.logger.info(`dict_open: ${type}:${name}`);
  const table = makeTable(type, name, asAliases(context, isAliases, name));
  if (!table.ok) return err(table.error.reason);
  context.cache.set(`${type}:${name}`, table.value);
  return table;
}

/** Whether `name` is read as aliases(5) depends on the command too. */
export function asAliases(context: LookupContext, isAliases: boolean, name: string): LookupContext {
  return isAliases ? { ...context, aliasFiles: new Set([...context.aliasFiles, name]) } : context;
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
