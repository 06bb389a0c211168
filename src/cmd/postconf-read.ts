/**
 * What postconf(1) reads before it shows anything: main.cf, master.cf, and the names they define.
 *
 * Faults end the program as they end Postfix's; warnings go on. The text of a fault is complete,
 * with file, line and remedy.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { thisHost } from '../conf/defaults.ts';
import { DEPRECATED_PARAMETERS, replacementOf } from '../conf/deprecated-params.ts';
import { parseMainCf } from '../conf/main-cf.ts';
import { type MasterEntries, parseMasterEntries } from '../conf/master-entry.ts';
import { splitNameValue } from '../conf/name-value.ts';
import { PARAMS } from '../conf/params.ts';
import { makeScope, type Scope } from '../conf/scope.ts';
import { registerUserParams, unusedParams } from '../conf/user-params.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Io } from './main.ts';
import type { Options } from './postconf-options.ts';

export const warn = (io: Io, text: string): void => io.stderr(`postconf: warning: ${text}\n`);

export function fatal(io: Io, text: string): 1 {
  io.stderr(`postconf: fatal: ${text}\n`);
  return 1;
}

/** The reason of a failed system call, as strerror(3) writes it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = /^[A-Z]+: ([^,]+)/.exec(error.message)?.[1] ?? error.message;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Both files and -o settings as one scope; `needsMaster`: without master.cf there is nothing. */
export function readScope(options: Options, io: Io, needsMaster: boolean): Result<Scope, string> {
  const directory = io.configDirectory;
  const main = new Map<string, string>();
  if (directory !== PARAMS.config_directory.default) main.set('config_directory', directory);
  if (!options.flags.has('d')) {
    const file = join(directory, 'main.cf');
    const source = read(file, options, io);
    if (!source.ok) return err(`open ${file}: ${source.error}`);
    const parsed = parseMainCf(file, source.value);
    for (const { text } of parsed.warnings) warn(io, text);
    for (const { text } of parsed.faults) return err(text);
    for (const [name, { value }] of parsed.assignments) main.set(name, value);
    for (const text of options.overrides) {
      const split = splitNameValue(text);
      if (!split.ok) return err(`invalid parameter override: ${text}: ${split.error}`);
      main.set(split.value.name, split.value.value);
    }
  }
  const master = readMaster(options, io);
  let entries: MasterEntries['entries'] = [];
  if (master.ok) {
    for (const { text } of master.value.warnings) warn(io, text);
    for (const { text } of master.value.faults) return err(text);
    entries = master.value.entries;
  } else if (needsMaster) return master;
  else warn(io, master.error);
  const scope = makeScope(directory, main, entries, thisHost(), 'postconf');
  if (!options.flags.has('d')) {
    const { warnings, isFatal } = registerUserParams(scope);
    for (const { source, text } of warnings)
      warn(io, source === '' ? text : `${join(directory, source)}: ${text}`);
    if (isFatal) return err('macro processing error');
  }
  return ok(scope);
}

function readMaster(options: Options, io: Io): Result<MasterEntries, string> {
  const file = join(io.configDirectory, 'master.cf');
  const source = read(file, options, io);
  return source.ok
    ? ok(parseMasterEntries(file, source.value))
    : err(`open ${file}: ${source.error}`);
}

/** -v names every file that is read. */
function read(file: string, { flags }: Options, io: Io): Result<string, string> {
  if (flags.has('v')) io.stderr(`postconf: reading ${file}\n`);
  try {
    return ok(readFileSync(file, 'utf8'));
  } catch (error) {
    return err(reasonOf(error));
  }
}

/** Settings that nothing reads, and settings under names that are going. -q: neither. */
export function warnUnused(scope: Scope, options: Options, io: Io, isMain: boolean): void {
  if (options.flags.has('q') || options.flags.has('d')) return;
  const texts = new Set<string>();
  let isDeprecated = false;
  const unused = unusedParams(scope);
  const note = (source: string, name: string, value: string): void => {
    const where = join(scope.directory, source);
    const isUnused = unused.some((each) => each.source === source && each.name === name);
    const instead = isUnused ? replacementOf(name) : DEPRECATED_PARAMETERS.get(name);
    isDeprecated ||= instead !== undefined;
    if (isUnused && instead === undefined)
      texts.add(`${where}: unused parameter: ${name}=${value}`);
    else if (isUnused)
      texts.add(`${where}: support for parameter ${name} has been removed; instead, ${instead}`);
    else if (instead !== undefined)
      texts.add(`${where}: support for parameter "${name}" will be removed; instead, ${instead}`);
  };
  const sorted = (params: ReadonlyMap<string, string>) =>
    [...params].sort(([a], [b]) => (a < b ? -1 : 1));
  if (isMain) for (const [name, value] of sorted(scope.main)) note('main.cf', name, value);
  for (const { params } of scope.entries)
    for (const [name, value] of sorted(params ?? new Map())) note('master.cf', name, value);
  for (const text of texts) warn(io, text);
  if (isDeprecated) warn(io, 'See https://www.postfix.org/DEPRECATION_README.html for details');
}
