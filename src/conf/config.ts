/**
 * From main.cf to a typed, frozen `Config`.
 *
 * Order of precedence: -o overrides, main.cf, the descriptor's default. A value that does not fit
 * its type is a fault with file, line and remedy, and no configuration comes out: a process must
 * not run on a guess.
 */
import { readFileSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { expand } from '../util/expand.ts';
import { err, ok, type Result } from '../util/result.ts';
import { parseTime } from '../util/time-unit.ts';
import type { Param } from './descriptor.ts';
import { type ConfigFault, parseMainCf } from './main-cf.ts';
import { type Config, PARAMS } from './params.ts';

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
      { file, line: 0, text: `${file}: ${reason}; name the directory of main.cf with -c` },
    ]);
  }
  const parsed = parseMainCf(file, source);
  if (parsed.faults.length > 0) return err(parsed.faults);
  const raw = new Map([...parsed.assignments].map(([name, { value }]) => [name, value]));
  for (const [name, value] of overrides) raw.set(name, value);
  const lineOf = (name: string): number =>
    overrides.has(name) ? 0 : (parsed.assignments.get(name)?.line ?? 0);
  return build(raw, resolve(directory), (name, text) => {
    const line = lineOf(name);
    const where = overrides.has(name) ? '-o option' : line > 0 ? `${file} line ${line}` : file;
    return { file, line, text: `${where}: ${text}` };
  });
}

/** A configuration from values alone, for tests and tools. */
export function makeConfig(
  raw: ReadonlyMap<string, string>,
  directory = '/etc/postern',
): Result<Config, readonly ConfigFault[]> {
  return build(raw, directory, (_name, text) => ({ file: 'main.cf', line: 0, text }));
}

type MakeFault = (name: string, text: string) => ConfigFault;

function build(
  raw: ReadonlyMap<string, string>,
  directory: string,
  fault: MakeFault,
): Result<Config, readonly ConfigFault[]> {
  const params: ReadonlyMap<string, Param> = new Map(Object.entries(PARAMS));
  const unexpanded = (name: string): string | undefined =>
    name === 'config_directory'
      ? directory
      : (raw.get(name) ?? computed(name, params.get(name)?.default, raw));
  const isRaw = (name: string): boolean => {
    const param = params.get(name);
    return param?.type === 'text' && param.raw === true;
  };
  const expandOne = (name: string): string =>
    isRaw(name) ? (unexpanded(name) ?? '') : expand(unexpanded(name) ?? '', unexpanded).text;

  const faults: ConfigFault[] = [];
  const values: Record<string, unknown> = Object.create(null);
  for (const [name, param] of params) {
    const text =
      name === 'mynetworks' && !raw.has(name)
        ? defaultNetworks(expandOne('mynetworks_style'))
        : expandOne(name).trim();
    const value = readValue(param, text);
    if (value === undefined)
      faults.push(fault(name, `bad value of ${name}: "${text}"; ${remedy(param)}`));
    values[name] = value;
  }
  if (faults.length > 0) return err(faults);
  values['lookup'] = (name: string): string | undefined => {
    if (typeof values[name] === 'string') return values[name];
    return unexpanded(name) === undefined ? undefined : expandOne(name);
  };
  return ok(freeze(values));
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

/** A value of the parameter's type, or undefined when the text does not fit. */
export function readValue(param: Param, text: string): string | number | boolean | undefined {
  switch (param.type) {
    case 'text':
      return text;
    case 'bool':
      return /^(yes|no)$/i.test(text) ? text.toLowerCase() === 'yes' : undefined;
    case 'int': {
      if (!/^-?\d+$/.test(text)) return undefined;
      const value = Number(text);
      return value >= (param.min ?? 0) && value <= (param.max ?? Number.MAX_SAFE_INTEGER)
        ? value
        : undefined;
    }
    case 'time':
      return parseTime(text, param.unit);
  }
}

function remedy(param: Param): string {
  switch (param.type) {
    case 'bool':
      return 'write yes or no';
    case 'int':
      return `write a whole number from ${param.min ?? 0} to ${param.max ?? Number.MAX_SAFE_INTEGER} without a suffix`;
    case 'time':
      return 'write a number and a unit: s, m, h, d or w';
    case 'text':
      return 'see docs/parameters.md';
  }
}

/** Defaults that depend on the host: Postfix computes them at start, so do we. */
function computed(
  name: string,
  value: string | undefined,
  raw: ReadonlyMap<string, string>,
): string | undefined {
  if (name === 'myhostname') {
    const host = hostname();
    return host.includes('.') ? host : `${host}.${raw.get('mydomain') ?? 'localdomain'}`;
  }
  if (name === 'mydomain') {
    const host = raw.get('myhostname') ?? hostname();
    const dot = host.indexOf('.');
    return dot < 0 ? 'localdomain' : host.slice(dot + 1);
  }
  return value;
}

/** mynetworks_style: every address of this host, or its subnets. @see postconf(5) */
function defaultNetworks(style: string): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const patterns = addresses
    .filter(({ address }) => !address.startsWith('fe80:'))
    .map(({ address, cidr, family }) => {
      const host = family === 'IPv6' ? `[${address}]/128` : `${address}/32`;
      if (style === 'host' && address !== '127.0.0.1') return host;
      return networkOf(cidr ?? host);
    });
  return [...new Set(patterns)].join(' ');
}

/** The network of an interface address: host bits cleared. */
function networkOf(cidr: string): string {
  const [address = '', bits = '0'] = cidr.split('/');
  if (address.includes(':')) return `[${address}]/128`;
  const mask = Number(bits) === 0 ? 0 : (-1 << (32 - Number(bits))) >>> 0;
  const value = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const network = (value & mask) >>> 0;
  return `${[24, 16, 8, 0].map((shift) => (network >>> shift) & 0xff).join('.')}/${bits}`;
}
