/**
 * Tables that live in memory: text read once, inline values, one value for every key, the
 * environment. All answer at once.
 */
import { ABSENT, type Lookup, type Table } from '../table.ts';

export interface MemoryTable extends Table {
  lookup(key: string): Lookup;
}

/** Keys must be in lower case already: callers fold what they ask of a fixed table. */
export function memoryTable(
  type: string,
  name: string,
  entries: ReadonlyMap<string, string>,
): MemoryTable {
  return { type, name, keys: 'fixed', lookup: (key) => found(entries.get(key.toLowerCase())) };
}

/** `static:value`: every key has the value. */
export function staticTable(name: string, value: string): MemoryTable {
  const answer: Lookup = { kind: 'found', value };
  return { type: 'static', name, keys: 'pattern', lookup: () => answer };
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

function found(value: string | undefined): Lookup {
  return value === undefined ? ABSENT : { kind: 'found', value };
}
