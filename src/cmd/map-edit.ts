/**
 * postmap's changes: a whole table from its text, single entries with -i and -d.
 *
 * Single entries are kept beside the index (`maps/<table>.edits`) until the text changes: they are
 * seen at once, and cost nothing when the table is large.
 */
import { closeSync, openSync, type Stats, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { INDEXED } from '../lookup/open.ts';
import { compiledTable, type ListedTable, mapIdOf } from '../lookup/types/compiled.ts';
import { NO_TEXT, readEdits, removeEdits, writeEdits } from '../lookup/types/edits.ts';
import { buildNow } from '../lookup/types/index-build.ts';
import { type MapId, makeMapsDirectory, versionOf } from '../lookup/types/map-directory.ts';
import { releaseLock, takeLock } from '../lookup/types/map-lock.ts';
import { fileChunks } from '../lookup/types/source-lines.ts';
import { parseText, readEntries, storedKey, type TextFault } from '../lookup/types/text.ts';
import { err, ok, type Result } from '../util/result.ts';
import { inputLines } from './map-input.ts';
import { asAliases, fatal, type TableName, type Tool, tableName } from './map-tool.ts';

/** How often a table is tried that another process is indexing, every quarter of a second. */
const TRIES = 240;

export async function createTables(tool: Tool, specs: readonly string[]): Promise<number> {
  for (const spec of specs) {
    const named = writable(tool, spec);
    let done = named.ok ? createTable(tool, named.value) : named;
    for (let tries = 1; named.ok && !done.ok && done.error === BUSY && tries < TRIES; tries += 1) {
      await delay(250);
      done = createTable(tool, named.value);
    }
    if (!done.ok) return fatal(tool.name, tool.io, done.error);
  }
  return 0;
}

const BUSY = 'another process is changing this table; try again';

/** Check the text and make its index; what single edits there were are forgotten. */
function createTable(tool: Tool, { type, name }: TableName): Result<void, string> {
  const stat = statSync(name, { throwIfNoEntry: false });
  if (!stat) return err(`open ${name}: No such file or directory`);
  if (!INDEXED.has(type)) {
    return err(`unsupported dictionary type: ${type} does not support bulk-mode creation.`);
  }
  if (tool.options.hasFileValues) return checkOnly(tool, idOf(tool, name), stat);
  // -f and -u say how this command asks; the index is the one that servers read.
  const id: MapId = {
    ...idOf(tool, name),
    format: idOf(tool, name).format.isAliases ? { isAliases: true } : {},
  };
  const { duplicates } = tool.options;
  const version = versionOf(stat);
  const built = buildNow({ id, version, isStrict: false, duplicates, mode: modeOf(tool, stat) });
  if (!built.ok) {
    if (built.error.isBusy) return err(BUSY);
    const checked = checkOnly(tool, id, stat);
    if (!checked.ok) return checked;
    const remedy = `run this command as root or as the owner of ${id.dataDirectory}`;
    return err(`${name}: the text is read, but no index made: ${built.error.reason}; ${remedy}`);
  }
  report(tool, name, built.value.faults);
  removeEdits(id);
  return ok(undefined);
}

/** Servers never read an index of such a table: only the text is looked at. */
function checkOnly(tool: Tool, id: MapId, stat: Stats): Result<void, string> {
  return asOwner(tool, stat, () => {
    try {
      const descriptor = openSync(id.path, 'r');
      try {
        const chunks = fileChunks(descriptor, id.format.isBytes);
        report(tool, id.path, parseText(chunks, id.format).faults);
        return ok(undefined);
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      return err(`open ${id.path}: ${error instanceof Error ? error.message : error}`);
    }
  });
}

/** As root: with the rights of the owner of the text, unless -o keeps root's. */
function asOwner<T>(tool: Tool, { uid, gid }: Stats, work: () => T): T {
  if (tool.options.keepsRoot || uid === 0 || process.geteuid?.() !== 0) return work();
  const group = process.getegid?.() ?? 0;
  process.setegid?.(gid);
  process.seteuid?.(uid);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(group);
  }
}

/** -i: entries from standard input are added to what is there. */
export async function updateTables(tool: Tool, specs: readonly string[]): Promise<number> {
  const input = (await inputLines(tool)).join('\n');
  for (const spec of specs) {
    const named = writable(tool, spec);
    const done = named.ok
      ? change(tool, named.value, true, (table, edits, id) =>
          addEntries(tool, input, table, edits, id),
        )
      : named;
    if (!done.ok) return fatal(tool.name, tool.io, done.error);
  }
  return 0;
}

function addEntries(
  tool: Tool,
  input: string,
  table: ListedTable | undefined,
  edits: Map<string, string | null>,
  id: MapId,
): boolean {
  const { duplicates } = tool.options;
  const faults: TextFault[] = [];
  readEntries([input], id.format, {
    add: (key, value) => {
      const isThere = edits.has(key)
        ? edits.get(key) !== null
        : table?.lookup(key).kind === 'found';
      if (!isThere || duplicates === 'replace') edits.set(key, value);
      return !isThere || duplicates !== 'warn';
    },
    fault: (fault) => void faults.push(fault),
  });
  report(tool, 'stdin', faults);
  return true;
}

/** -d: status 0 when one of the keys was there. */
export async function deleteKeys(
  tool: Tool,
  specs: readonly string[],
  key: string,
): Promise<number> {
  const keys = key === '-' ? await inputLines(tool) : [key];
  let hasFound = false;
  for (const spec of specs) {
    const named = writable(tool, spec);
    const done = named.ok
      ? change(tool, named.value, false, (table, edits, id) => {
          let count = 0;
          for (const each of keys) {
            const stored = storedKey(each, id.format);
            const edit = edits.get(stored);
            const isThere =
              edit === undefined ? table?.lookup(each).kind === 'found' : edit !== null;
            if (isThere) edits.set(stored, null);
            if (isThere) count += 1;
          }
          return count > 0;
        })
      : named;
    if (!done.ok) return fatal(tool.name, tool.io, done.error);
    if (done.value) hasFound = true;
  }
  return hasFound ? 0 : 1;
}

type Change = (
  table: ListedTable | undefined,
  edits: Map<string, string | null>,
  id: MapId,
) => boolean;

/** Read, change and write the edits of a table while nobody else does. */
function change(
  tool: Tool,
  { type, name }: TableName,
  mayCreate: boolean,
  work: Change,
): Result<boolean, string> {
  const id = idOf(tool, name);
  const stat = statSync(name, { throwIfNoEntry: false });
  const version = stat ? versionOf(stat) : NO_TEXT;
  const table = compiledTable(type, name, asAliases(tool.context, tool.isAliases, name));
  if (!table.ok && !(mayCreate && !stat)) return err(table.error.reason);
  const locked = lock(id);
  if (!locked.ok) return err(`${name}: ${locked.error}`);
  try {
    const edits = new Map(readEdits(id, version) ?? []);
    const isChanged = work(table.ok ? table.value : undefined, edits, id);
    if (isChanged) writeEdits(id, version, edits, stat ? modeOf(tool, stat) : 0o644);
    return ok(isChanged);
  } catch (error) {
    return err(`${type}:${name}: ${error instanceof Error ? error.message : error}`);
  } finally {
    releaseLock(id);
  }
}

function lock(id: MapId): Result<void, string> {
  try {
    makeMapsDirectory(id);
    return takeLock(id) ? ok(undefined) : err(BUSY);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

/** A table that can be changed. */
function writable(tool: Tool, spec: string): Result<TableName, string> {
  if (spec.startsWith('proxy:')) return err("can't create maps via the proxy service");
  const named = tableName(tool, spec);
  if (!named.ok || tool.options.action.kind === 'create') return named;
  const { type, name } = named.value;
  if (INDEXED.has(type)) return named;
  return err(`${type}:${name} map requires O_RDONLY access mode`);
}

const idOf = (tool: Tool, name: string): MapId =>
  mapIdOf(name, asAliases(tool.context, tool.isAliases, name));

/** Access bits of what is made from a text: its own, or with -p those of any new file. */
const modeOf = ({ options }: Tool, stat: Stats): number =>
  options.hasOwnMode ? 0o644 : 0o600 | (stat.mode & 0o044);

function report({ io, name, options }: Tool, path: string, faults: readonly TextFault[]): void {
  for (const { line, kind, reason } of faults) {
    if (kind === 'duplicate' && options.duplicates !== 'warn') continue;
    io.stderr(`${name}: warning: ${path}, line ${line}: ${reason}\n`);
  }
}
