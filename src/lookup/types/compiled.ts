/**
 * hash:, btree:, dbm:, lmdb: tables. The text is the source; what is derived from it lies in
 * memory when the text is small, else in an LMDB index under `$data_directory/maps/`.
 *
 * A change of the text is seen within a second of a lookup, once the file has rested two seconds;
 * until then, and as long as the new text has errors, the old contents answer. A `.db` or `.lmdb`
 * file beside the text is never opened.
 *
 * Unlike Postfix: postmap need not be run, and the text must stay readable. A table named in
 * alias_maps or alias_database is read as aliases(5) text.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Logger } from '../../log/maillog.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';
import { buildIndex, type MapIndex, openIndex } from './map-index.ts';
import { parseAliasText, parseMapText, type TextTable } from './text.ts';

export type CompiledContext = {
  readonly dataDirectory: string;
  readonly logger: Logger;
  /** Absolute paths whose text is aliases(5). */
  readonly aliasFiles: ReadonlySet<string>;
};

/** Texts up to this size are read whole; larger ones get an index. */
export const MEMORY_LIMIT = 1 << 20;
const RECHECK_MS = 1000;
const REST_MS = 2000;

type Contents = { readonly get: (key: string) => string | undefined; readonly close: () => void };

/** `clock` and `memoryLimit` are for tests. */
export function compiledTable(
  type: string,
  name: string,
  context: CompiledContext,
  clock: () => number = Date.now,
  memoryLimit: number = MEMORY_LIMIT,
): Result<Table, { readonly reason: string }> {
  if (!name.startsWith('/')) return err({ reason: `open ${name}: not an absolute path` });
  const first = load(name, context, memoryLimit, undefined);
  if (!first.ok) return first;
  let { contents, version } = first.value;
  let checkedMs = clock();
  let refused = '';

  const refresh = (nowMs: number): void => {
    checkedMs = nowMs;
    const stat = statSync(name, { throwIfNoEntry: false });
    if (!stat) return;
    const current = versionOf(stat);
    if (current === version || current === refused || nowMs - stat.mtimeMs < REST_MS) return;
    const loaded = load(name, context, memoryLimit, version);
    if (loaded.ok) {
      contents.close();
      ({ contents, version } = loaded.value);
      return;
    }
    refused = current;
    context.logger.warning(`${type}:${name}: ${loaded.error.reason}; keeping the old contents`);
  };

  const lookup = (key: string): Lookup => {
    const nowMs = clock();
    if (nowMs - checkedMs >= RECHECK_MS) refresh(nowMs);
    const value = contents.get(key.toLowerCase());
    return value === undefined ? ABSENT : { kind: 'found', value };
  };
  return ok({ type, name, keys: 'fixed', lookup });
}

/** What distinguishes two states of a text file. */
export const versionOf = (stat: { mtimeMs: number; size: number; ino: number }): string =>
  `${Math.floor(stat.mtimeMs * 1000)}-${stat.size}-${stat.ino}`;

/** Parse as the table is meant. */
export const parseTable = (source: string, isAliases: boolean): TextTable =>
  isAliases ? parseAliasText(source) : parseMapText(source);

type Loaded = { readonly contents: Contents; readonly version: string };

/** `previous`: the version that answers now; with one, a text with errors is refused. */
function load(
  name: string,
  context: CompiledContext,
  memoryLimit: number,
  previous: string | undefined,
): Result<Loaded, { readonly reason: string }> {
  try {
    const stat = statSync(name);
    const version = versionOf(stat);
    if (stat.size > memoryLimit) {
      const known = openIndex(context.dataDirectory, name, version);
      if (known) return ok({ contents: known, version });
    }
    const table = parseTable(readFileSync(name, 'utf8'), context.aliasFiles.has(name));
    for (const { line, reason } of table.faults) {
      context.logger.warning(`${name}, line ${line}: ${reason}`);
    }
    if (previous !== undefined && table.faults.some(({ kind }) => kind === 'syntax')) {
      return err({ reason: 'the changed text has errors' });
    }
    const index = stat.size > memoryLimit ? indexOf(name, version, table, context) : undefined;
    return ok({ contents: index ?? inMemory(table), version });
  } catch (error) {
    return err({ reason: error instanceof Error ? error.message : String(error) });
  }
}

function indexOf(
  name: string,
  version: string,
  { entries }: TextTable,
  context: CompiledContext,
): MapIndex | undefined {
  const built = buildIndex(context.dataDirectory, name, version, entries);
  if (built.ok) return openIndex(context.dataDirectory, name, version);
  context.logger.warning(`${name}: no index (${built.error}); the table is kept in memory`);
  return undefined;
}

const inMemory = ({ entries }: TextTable): Contents => ({
  get: (key) => entries.get(key),
  close: () => undefined,
});
