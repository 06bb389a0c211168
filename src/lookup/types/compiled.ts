/**
 * hash:, btree:, dbm:, lmdb:, cdb: tables. The text is the source; what is derived from it lies in
 * memory when the text is small, else in an LMDB index under `$data_directory/maps/`.
 *
 * A change of the text is seen within a second of a lookup, once the file has rested two seconds;
 * until then, while the index is built, and as long as the new text has errors, the old contents
 * answer. postmap(1) makes its version of the text count at once, errors left out. A `.db` or
 * `.lmdb` file beside the text is never opened.
 *
 * Unlike Postfix: postmap need not be run, and the text must stay readable. A table named in
 * alias_maps or alias_database is read as aliases(5) text. With `map_rebuild_enable = no` a changed
 * text is only warned of, as in Postfix, until postmap has been run.
 */
import type { Logger } from '../../log/maillog.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';
import type { MapId } from './map-directory.ts';
import { MapSource } from './map-source.ts';
import type { TextFormat } from './text.ts';

export type CompiledContext = {
  readonly dataDirectory: string;
  readonly logger: Logger;
  /** Absolute paths whose text is aliases(5). */
  readonly aliasFiles: ReadonlySet<string>;
  readonly format?: TextFormat;
  /** False: a changed text is warned of and otherwise ignored until postmap is run. */
  readonly rebuilds?: boolean;
};

/** A table whose entries can be listed. */
export interface ListedTable extends Table {
  lookup(key: string): Lookup;
  /** In the order of keys. */
  entries(): Iterable<readonly [key: string, value: string]>;
}

/** Texts up to this size are read whole; larger ones get an index. */
export const MEMORY_LIMIT = 1 << 20;

export function mapIdOf(name: string, context: CompiledContext): MapId {
  const isAliases = context.aliasFiles.has(name);
  const { dataDirectory, format } = context;
  return { dataDirectory, path: name, format: { ...format, ...(isAliases ? { isAliases } : {}) } };
}

/** `clock` and `memoryLimit` are for tests. */
export function compiledTable(
  type: string,
  name: string,
  context: CompiledContext,
  clock: () => number = Date.now,
  memoryLimit: number = MEMORY_LIMIT,
): Result<ListedTable, { readonly reason: string }> {
  if (!name.startsWith('/')) return err({ reason: `open ${name}: not an absolute path` });
  const source = new MapSource(`${type}:${name}`, mapIdOf(name, context), {
    logger: context.logger,
    rebuilds: context.rebuilds ?? true,
    memoryLimit,
  });
  const fault = source.open(clock());
  if (fault !== undefined) return err({ reason: fault });
  const lookup = (key: string): Lookup => {
    source.refresh(clock());
    const value = source.get(key);
    return value === undefined ? ABSENT : { kind: 'found', value };
  };
  return ok({ type, name, keys: 'fixed', lookup, entries: () => source.entries() });
}
