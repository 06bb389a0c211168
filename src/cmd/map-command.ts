/**
 * postmap(1) and postalias(1): make a table's index from its text, change single entries, ask, list.
 *
 * Unlike Postfix: servers read the text themselves, so that a forgotten postmap delays nothing;
 * what these commands make lies under `$data_directory/maps`.
 */
import type { Io } from './main.ts';
import { createTables, deleteKeys, updateTables } from './map-edit.ts';
import { parseMapOptions } from './map-options.ts';
import { listTable, queryTables } from './map-query.ts';
import { fatal, runTool, type Tool } from './map-tool.ts';

/** Everything the map commands do. Exit status 0: done or found; 1: not found or failed. */
export async function mapTool(
  name: string,
  argv: readonly string[],
  io: Io,
  isAliases: boolean,
): Promise<number> {
  const parsed = parseMapOptions(name, argv);
  if (!parsed.ok) {
    const { complaint, text } = parsed.error;
    if (complaint !== undefined) io.stderr(`${name}: ${complaint}\n`);
    return fatal(name, io, text);
  }
  return runTool(name, io, parsed.value, isAliases, act);
}

async function act(tool: Tool): Promise<number> {
  const { action, tables } = tool.options;
  switch (action.kind) {
    case 'create':
      return createTables(tool, tables);
    case 'update':
      return updateTables(tool, tables);
    case 'delete':
      return deleteKeys(tool, tables, action.key);
    case 'list':
      // As in Postfix: the first table only.
      return tables[0] === undefined ? 1 : listTable(tool, tables[0]);
    case 'query':
      return queryTables(tool, tables, action.key);
  }
}
