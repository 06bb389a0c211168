/**
 * Tables that live in memory: text read once, inline values, one value for every key, the
 * environment. All answer at once.
 */
import { ABSENT, type Lookup, type Table } from '../table.ts';
import { storedKey, type TextFormat } from './text.ts';

export interface MemoryTable extends Table {
  lookup(key: string): Lookup;
}

/** Keys of `entries` are in the stored form of the format; what is asked is brought into it. */
export function memoryTable(
  type: string,
  name: string,
  entries: ReadonlyMap<string, string>,
  format: TextFormat = {},
): MemoryTable {
  const lookup = (key: string): Lookup => found(entries.get(storedKey(key, format)));
  return { type, name, keys: 'fixed', lookup, entries: () => entries };
}

/** `static:value`: every key has the value. */
export function staticTable(name: string, value: string): MemoryTable {
  const answer: Lookup = { kind: 'found', value };
  return { type: 'static', name, keys: 'fixed', lookup: () => answer };
}

/** `environ:`: environment variables, for tests. The environment is passed in. */
export function environTable(
  name: string,
  environment: Readonly<Record<string, string | undefined>>,
): MemoryTable {
  return { type: 'environ', name, keys: 'fixed', lookup: (key) => found(environment[key]) };
}

/** `fail:`: every lookup fails, as a server that is down. */
export function failTable(name: string): MemoryTable {
  const answer: Lookup = { kind: 'retry', reason: `fail:${name} lookup error` };
  return { type: 'fail', name, keys: 'fixed', lookup: () => answer };
}

/** Stands in for a table that could not be opened: every lookup says why. */
export function surrogateTable(type: string, name: string, reason: string): MemoryTable {
  const answer: Lookup = { kind: 'misconfigured', reason };
  return { type, name, keys: 'fixed', lookup: () => answer };
}

/** Stands in for a table of a type that Postfix has and this server has not: mail waits. */
export function unsupportedTable(type: string, name: string): MemoryTable {
  const reason = `${type}:${name} is unavailable. unsupported dictionary type: ${type}`;
  const answer: Lookup = { kind: 'retry', reason };
  return { type, name, keys: 'fixed', lookup: () => answer };
}

function found(value: string | undefined): Lookup {
  return value === undefined ? ABSENT : { kind: 'found', value };
}
