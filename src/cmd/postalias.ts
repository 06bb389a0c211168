/** postalias(1): postmap for files in aliases(5) format. */
import type { Io } from './main.ts';
import { mapTool } from './map-command.ts';

export function postalias(argv: readonly string[], io: Io): Promise<number> {
  return mapTool('postalias', argv, io, true);
}
