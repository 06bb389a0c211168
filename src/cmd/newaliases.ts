/** newaliases(1): postalias for every table of alias_database. */
import { splitList } from '../util/text.ts';
import type { Io } from './main.ts';
import { createTables } from './map-edit.ts';
import { parseMapOptions } from './map-options.ts';
import { fatal, runTool } from './map-tool.ts';

/** Options are those of sendmail(1), which has this name too; none changes what is done. */
export async function newaliases(_argv: readonly string[], io: Io): Promise<number> {
  const options = parseMapOptions('postalias', ['--', 'alias_database']);
  if (!options.ok) return fatal('newaliases', io, options.error.text);
  return runTool('newaliases', io, options.value, true, (tool) =>
    createTables(tool, splitList(tool.config.alias_database)),
  );
}
