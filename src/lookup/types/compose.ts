/**
 * Tables made of tables: unionmap (all results joined by comma), pipemap (each result is the next
 * table's key), randmap (one of its elements at random).
 *
 * @see DATABASE_README
 */
import { ABSENT, type Lookup, type LookupOptions, type Table } from '../table.ts';

export function unionTable(name: string, tables: readonly Table[]): Table {
  const lookup = async (key: string, options?: LookupOptions): Promise<Lookup> => {
    const values: string[] = [];
    for (const table of tables) {
      const answer = await table.lookup(table.keys === 'fixed' ? key.toLowerCase() : key, options);
      if (answer.kind === 'found') values.push(answer.value);
      else if (answer.kind !== 'absent') return answer;
    }
    return values.length === 0 ? ABSENT : { kind: 'found', value: values.join(',') };
  };
  return { type: 'unionmap', name, keys: keysOf(tables), lookup };
}

export function pipeTable(name: string, tables: readonly Table[]): Table {
  const lookup = async (key: string, options?: LookupOptions): Promise<Lookup> => {
    let value = key;
    for (const table of tables) {
      const answer = await table.lookup(
        table.keys === 'fixed' ? value.toLowerCase() : value,
        options,
      );
      if (answer.kind !== 'found') return answer;
      value = answer.value;
    }
    return { kind: 'found', value };
  };
  return { type: 'pipemap', name, keys: keysOf(tables), lookup };
}

/** `random` returns a number from 0 up to 1. */
export function randomTable(name: string, values: readonly string[], random: () => number): Table {
  const lookup = (): Lookup => {
    const value = values[Math.floor(random() * values.length)];
    return value === undefined ? ABSENT : { kind: 'found', value };
  };
  return { type: 'randmap', name, keys: 'pattern', lookup };
}

/** As in Postfix, the first table decides what keys are. */
const keysOf = (tables: readonly Table[]): Table['keys'] => tables[0]?.keys ?? 'fixed';
