/** postmap(1): check and index lookup tables, ask them (`-q key`, `-q -`), list them (`-s`). */
import type { Io } from './main.ts';
import { mapTool } from './map-command.ts';

export function postmap(argv: readonly string[], io: Io): Promise<number> {
  return mapTool('postmap', argv, io, false);
}
