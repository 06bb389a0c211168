/**
 * `postern check`: everything that can be known of a configuration without running it.
 *
 * Faults (exit 1): main.cf or master.cf that does not parse, values that do not fit, rows that would
 * not start. Warnings (exit 0): parameters that are set and not implemented here, unknown ones, a
 * chroot column that cannot be honoured.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../conf/config.ts';
import { parseMainCf } from '../conf/main-cf.ts';
import { checkPipeArguments, loadMasterCf, type MasterRow } from '../conf/master-cf.ts';
import { PARAMS } from '../conf/params.ts';
import { POSTFIX_PARAMETERS } from '../conf/postfix-params.ts';
import { roleOf } from '../daemon/roles.ts';
import type { Io } from './main.ts';

export async function check(directory: string, io: Pick<Io, 'stdout' | 'stderr'>): Promise<number> {
  const faults: string[] = [];
  const warnings: string[] = [];
  const config = loadConfig(directory);
  if (!config.ok) faults.push(...config.error.map(({ text }) => text));
  const rows = loadMasterCf(directory);
  if (!rows.ok) faults.push(...rows.error.map(({ text }) => text));
  const list = rows.ok ? rows.value : [];
  warnings.push(...checkNames(join(directory, 'main.cf'), list));
  for (const row of list) {
    const { faults: bad, warnings: odd } = checkRow(join(directory, 'master.cf'), directory, row);
    faults.push(...bad);
    warnings.push(...odd);
  }
  faults.push(...checkPipeArguments(join(directory, 'master.cf'), list).map(({ text }) => text));
  for (const text of warnings) io.stderr(`postern: warning: ${text}\n`);
  for (const text of faults) io.stderr(`postern: error: ${text}\n`);
  return faults.length > 0 ? 1 : 0;
}

/** Parameters that main.cf sets and that do nothing here. */
function checkNames(file: string, rows: readonly MasterRow[]): string[] {
  let source: string;
  try {
    source = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return [];
    throw error;
  }
  const { assignments, warnings } = parseMainCf(file, source);
  const used = new Set([...source.matchAll(/\$[{(]?\s*(\w+)/g)].map(([, name]) => name));
  const services = rows.map(({ service }) => `${service}_`);
  const odd = [...assignments].flatMap(([name, { line }]) => {
    if (Object.hasOwn(PARAMS, name) || used.has(name)) return [];
    if (services.some((prefix) => name.startsWith(prefix))) return [];
    const where = `${file} line ${line}`;
    if (POSTFIX_PARAMETERS.has(name)) {
      return [
        `${where}: ${name} is a parameter of Postfix that is not implemented here: the setting has no effect`,
      ];
    }
    return [
      `${where}: unused parameter: ${name}; no part of this server and no other value uses it`,
    ];
  });
  return [...warnings.map(({ text }) => text), ...odd];
}

function checkRow(file: string, directory: string, row: MasterRow) {
  const faults: string[] = [];
  const warnings: string[] = [];
  const where = `${file} line ${row.line}`;
  const role = roleOf(row.command);
  if (!role)
    warnings.push(`${where}: command ${row.command} is not implemented; the row is not started`);
  if (row.chroot) {
    warnings.push(
      `${where}: chroot = y cannot be honoured by Node; use RootDirectory= of the systemd unit`,
    );
  }
  const own = loadConfig(directory, row.overrides);
  if (row.overrides.size > 0 && !own.ok)
    faults.push(...own.error.map(({ text }) => `${where}: ${text}`));
  for (const name of row.overrides.keys()) {
    if (!Object.hasOwn(PARAMS, name)) {
      const known = POSTFIX_PARAMETERS.has(name) ? 'is not implemented here' : 'is unknown';
      warnings.push(
        `${where}: -o ${name} ${known}: the setting has no effect unless another value uses it`,
      );
    }
  }
  return { faults, warnings };
}
