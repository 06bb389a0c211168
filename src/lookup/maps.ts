/**
 * A list of tables asked as one: the value of a `*_maps` parameter.
 *
 * Each key is tried in every table, in order, before the next key. Tables whose keys are patterns
 * see the whole key only. An answer stands as soon as it is not `absent`: a table that is down
 * stops the search, so that an outage never looks like "no such key".
 *
 * Answers are values at once when the tables are in memory, else promises: `settled()` and
 * `after()` deal with both without a needless turn of the event loop.
 *
 * @see postconf(5), Postfix maps(3), mail_addr_find(3)
 */
import { externalAddress, splitAddress, splitExtension } from '../mail/address.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import type { Match } from './match-list.ts';
import { type LookupContext, openTable, type TableFault } from './open.ts';
import { ABSENT, type Lookup, type LookupOptions, type Table } from './table.ts';

export type MaybePromise<T> = T | Promise<T>;

/** What address lookups must know: how to split an extension, and which domains are local. */
export type AddressContext = {
  readonly recipient_delimiter: string;
  /** Whether `user` alone may be asked for `user@domain` (myorigin, mydestination, own literals). */
  isLocal(domain: string): MaybePromise<Match>;
};

/** `extension` with its delimiter, when the key that matched was the one without it. */
export type AddressLookup = Lookup & { readonly extension?: string };

export interface Maps {
  /** The parameter, for messages. */
  readonly parameter: string;
  readonly tables: readonly Table[];
  /** No table at all: many parameters then mean "accept everything". */
  readonly isEmpty: boolean;
  /** One key as it stands, in each table. */
  find(key: string, options?: LookupOptions): MaybePromise<Lookup>;
  /** The same for a key that is part of an address or name: pattern tables are passed over. */
  findPartial(key: string): MaybePromise<Lookup>;
  /**
   * Address order: user+ext@dom, user@dom, user+ext and user (local domains only), @dom.
   * Each form is tried quoted, then unquoted. `address` is in internal form.
   */
  findAddress(address: string, context: AddressContext): MaybePromise<AddressLookup>;
}

/** Open the tables of a parameter. Faults are in the words of the log, the parameter named. */
export function openMaps(
  parameter: string,
  value: string,
  context: LookupContext,
): Result<Maps, readonly TableFault[]> {
  const tables: Table[] = [];
  const faults: TableFault[] = [];
  for (const element of splitList(value)) {
    const table = openTable(element, context);
    if (table.ok) tables.push(table.value);
    else faults.push({ ...table.error, reason: `${parameter}: ${table.error.reason}` });
  }
  return faults.length > 0 ? err(faults) : ok(mapsOf(parameter, tables));
}

/** Tables already open, asked as one. */
export function mapsOf(parameter: string, tables: readonly Table[]): Maps {
  const find = (key: string, options?: LookupOptions) => search(tables, key, 0, false, options);
  const findPartial = (key: string) => search(tables, key, 0, true);
  return {
    parameter,
    tables,
    isEmpty: tables.length === 0,
    find,
    findPartial,
    findAddress: (address, context) =>
      tables.length === 0 ? ABSENT : findAddress({ find, findPartial }, address, context),
  };
}

export const NO_MAPS: Maps = mapsOf('', []);

/** Go on with a value now or when it comes. */
export function after<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>) {
  return value instanceof Promise ? value.then(next) : next(value);
}

function search(
  tables: readonly Table[],
  key: string,
  from: number,
  partial: boolean,
  options?: LookupOptions,
): MaybePromise<Lookup> {
  for (let at = from; at < tables.length; at += 1) {
    const table = tables[at];
    if (!table || (partial && table.keys === 'pattern')) continue;
    const answer = table.lookup(table.keys === 'fixed' ? key.toLowerCase() : key, options);
    if (answer instanceof Promise) {
      return answer.then(
        (found) => checked(table, found) ?? search(tables, key, at + 1, partial, options),
      );
    }
    const found = checked(table, answer);
    if (found) return found;
  }
  return ABSENT;
}

/** An empty result is a mistake of the administrator, not "nothing found". */
function checked(table: Table, answer: Lookup): Lookup | undefined {
  if (answer.kind === 'absent') return undefined;
  if (answer.kind !== 'found' || answer.value !== '') return answer;
  const reason = `table ${table.type}:${table.name} returned an empty result`;
  return { kind: 'misconfigured', reason };
}

type Finder = Pick<Maps, 'find' | 'findPartial'>;
type Step = { readonly key: string; readonly extension: string; readonly whole: boolean };

function findAddress(
  maps: Finder,
  address: string,
  context: AddressContext,
): MaybePromise<AddressLookup> {
  const { local, domain } = splitAddress(address);
  const { user, delimiter, extension } = splitExtension(local, context.recipient_delimiter);
  const suffix = extension === undefined ? '' : delimiter + extension;
  const at = domain === undefined ? '' : `@${domain}`;
  const steps: Step[] = [{ key: address, extension: '', whole: true }];
  if (suffix !== '') steps.push({ key: user + at, extension: suffix, whole: false });

  return after(tryKeys(maps, steps, 0), (found) => {
    if (found.kind !== 'absent' || domain === undefined) return found;
    return after(context.isLocal(domain), (isLocal) => {
      if (isLocal.kind === 'error') return { kind: 'retry', reason: isLocal.reason } as const;
      const rest: Step[] = [];
      if (isLocal.kind === 'yes') {
        rest.push({ key: local, extension: '', whole: false });
        if (suffix !== '') rest.push({ key: user, extension: suffix, whole: false });
      }
      rest.push({ key: at, extension: suffix, whole: false });
      return tryKeys(maps, rest, 0);
    });
  });
}

function tryKeys(maps: Finder, steps: readonly Step[], from: number): MaybePromise<AddressLookup> {
  const step = steps[from];
  if (!step) return ABSENT;
  const ask = step.whole ? maps.find : maps.findPartial;
  const external = step.key.startsWith('@') ? step.key : externalAddress(step.key);
  return after(ask(external), (first) =>
    after(first.kind === 'absent' && external !== step.key ? ask(step.key) : first, (found) => {
      if (found.kind === 'absent') return tryKeys(maps, steps, from + 1);
      return step.extension === '' ? found : { ...found, extension: step.extension };
    }),
  );
}
