/**
 * From main.cf to a typed, frozen `Config`.
 *
 * Order of precedence: -o overrides, main.cf, the default. A value that does not fit its type, or
 * whose `$` references are faulty, is a fault with file, line and remedy, and no configuration comes
 * out: a process must not run on a guess.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expand, references } from '../util/expand.ts';
import { err, ok, type Result } from '../util/result.ts';
import { oldDefaults } from './compatibility.ts';
import { defaultOf, type Host, isRaw, thisHost } from './defaults.ts';
import type { Param } from './descriptor.ts';
import { type ConfigFault, parseMainCf } from './main-cf.ts';
import { type Config, PARAMS } from './params.ts';
import { POSTFIX_PARAMETERS, READ_ONLY_PARAMETERS } from './postfix-params.ts';
import { standardOfService } from './service-params.ts';
import { readValue } from './values.ts';

export type { ConfigFault } from './main-cf.ts';

/** Read DIR/main.cf. */
export function loadConfig(
  directory: string,
  overrides: ReadonlyMap<string, string> = new Map(),
): Result<Config, readonly ConfigFault[]> {
  const file = join(resolve(directory), 'main.cf');
  let source: string;
  try {
    source = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return err([
      { file, line: 0, text: `open ${file}: ${reason}; name the directory of main.cf with -c` },
    ]);
  }
  const parsed = parseMainCf(file, source);
  if (parsed.faults.length > 0) return err(parsed.faults);
  const raw = new Map([...parsed.assignments].map(([name, { value }]) => [name, value]));
  for (const [name, value] of overrides) raw.set(name, value);
  return build(raw, resolve(directory), thisHost(), (name, text) => {
    const line = overrides.has(name) ? 0 : (parsed.assignments.get(name)?.line ?? 0);
    const where = overrides.has(name) ? '-o option' : line > 0 ? `${file}, line ${line}` : file;
    return { file, line, text: `${where}: ${text}` };
  });
}

/** A configuration from values alone, for tests and tools. */
export function makeConfig(
  raw: ReadonlyMap<string, string>,
  directory = '/etc/postern',
  host: Host = thisHost(),
): Result<Config, readonly ConfigFault[]> {
  return build(raw, directory, host, (_name, text) => ({ file: 'main.cf', line: 0, text }));
}

type MakeFault = (name: string, text: string) => ConfigFault;

function build(
  raw: ReadonlyMap<string, string>,
  directory: string,
  host: Host,
  fault: MakeFault,
): Result<Config, readonly ConfigFault[]> {
  const settings = (name: string): string | undefined =>
    name === 'config_directory' ? directory : raw.get(name);
  const unexpanded = (name: string): string | undefined =>
    settings(name) ?? defaultOf(name, settings, host);

  const faults = new Map<string, ConfigFault>();
  const note = (name: string, text: string): void => {
    const made = fault(name, text);
    faults.set(made.text, made);
  };
  const expandOne = (name: string): string => {
    const text = unexpanded(name) ?? '';
    if (isRaw(name)) return text;
    const expanded = expand(text, unexpanded, isRaw);
    for (const each of expanded.faults) {
      const origin = originOf(name, unexpanded);
      note(origin, `parameter ${origin}: ${each}; ${REMEDY}`);
    }
    return expanded.text.trim();
  };

  const values: Record<string, unknown> = Object.create(null);
  const read = (name: string, param: Param): void => {
    const before = faults.size;
    const text = expandOne(name);
    if (faults.size > before) return;
    const value = readValue(name, param, text);
    if (value.ok) values[name] = value.value;
    else note(name, value.error);
  };
  // Nearly every other value depends on these: one fault is not to be told ten times.
  for (const name of FIRST) read(name, PARAMS[name]);
  if (faults.size === 0) for (const [name, param] of Object.entries(PARAMS)) read(name, param);
  for (const name of faults.size === 0 ? raw.keys() : []) {
    const param = serviceParam(name);
    const value = param && readValue(name, param, expandOne(name));
    if (value && !value.ok) note(name, value.error);
  }
  if (faults.size > 0) return err([...faults.values()]);
  const level = String(values['compatibility_level']);
  values['oldDefaults'] = new Set(oldDefaults(level, (name) => raw.has(name)));
  values['lookup'] = (name: string): string | undefined => {
    if (typeof values[name] === 'string') return values[name];
    const isKnown = Object.hasOwn(PARAMS, name) || raw.has(name);
    return isKnown && !READ_ONLY_PARAMETERS.has(name) ? expandOne(name) : undefined;
  };
  return ok(freeze(values));
}

/** The type of a name that a service may have made; text values are read by their users. */
function serviceParam(name: string): Param | undefined {
  const own: Param | undefined = new Map<string, Param>(Object.entries(PARAMS)).get(name);
  if (own !== undefined && own.type !== 'text') return undefined;
  const standard = POSTFIX_PARAMETERS.get(standardOfService(name) ?? '');
  const { min = 0, max = 0 } = standard ?? {};
  if (standard?.type === 'time') return { type: 'time', unit: 's', default: '', doc: '' };
  if (standard?.type !== 'int') return undefined;
  return { type: 'int', min, max: max > 0 ? max : 2 ** 31 - 1, default: '', doc: '' };
}

const FIRST = ['compatibility_level', 'myhostname', 'mydomain'] as const;
const REMEDY = 'write $name or ${name}, with every brace closed, and $$ for a dollar';

/** The parameter whose own text is faulty: this one, or one that it refers to. */
function originOf(name: string, unexpanded: (name: string) => string | undefined): string {
  const seen = new Set([name]);
  for (const each of seen) {
    const { names, faults } = references(unexpanded(each) ?? '');
    if (faults.length > 0) return each;
    for (const next of names) seen.add(next);
  }
  return name;
}

/** The one place where the table of descriptors becomes the type derived from it. */
function freeze(values: Record<string, unknown>): Config {
  const isConfig = (
    candidate: Record<string, unknown>,
  ): candidate is Config & Record<string, unknown> => typeof candidate['lookup'] === 'function';
  const frozen = Object.freeze(values);
  if (!isConfig(frozen)) throw new Error('configuration without lookup');
  return frozen;
}
