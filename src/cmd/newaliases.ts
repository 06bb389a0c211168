/** newaliases(1): postalias for every table of alias_database. */
import { splitList } from '../util/text.ts';
import type { Io } from './main.ts';
import { buildTable, fatal, openTool } from './map-tool.ts';

export async function newaliases(_argv: readonly string[], io: Io): Promise<number> {
  const tool = openTool('newaliases', io, true);
  if (!tool.ok) return fatal('newaliases', io, tool.error);
  let status = 0;
  for (const table of splitList(tool.value.config.alias_database)) {
    status = buildTable(tool.value, table) || status;
  }
  return status;
}
