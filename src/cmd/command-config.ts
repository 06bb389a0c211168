/** The configuration of a command, or its faults told as `PROGRAM: fatal: ...`. */
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import type { Io } from './main.ts';

/** Undefined: the faults have been said. */
export function commandConfig(program: string, io: Io): Config | undefined {
  const loaded = loadConfig(io.configDirectory);
  if (loaded.ok) return loaded.value;
  for (const { text } of loaded.error) io.stderr(`${program}: fatal: ${text}\n`);
  return undefined;
}
