/**
 * From directory entries to values: which attributes count, and what special ones refer to.
 *
 *   terminal   where an entry has one, only these count
 *   special    DNs and LDAP URLs: the entries they name are read in the same way
 *   leaf       count in entries that have no special attribute
 *   plain      count always
 *
 * Unlike Postfix: whether an entry is a leaf or terminal is decided for each entry by itself; there
 * it also holds for the entries after it.
 *
 * @see ldap_table(5), Postfix dict_ldap(3)
 */
import { printable } from '../../log/maillog.ts';
import { ok, type Result } from '../../util/result.ts';
import type { LdapAnswer, LdapEntry, LdapSearch } from '../client/ldap.ts';
import { isLdapUrl, parseLdapUrl } from '../client/ldap-url.ts';
import type { Failure } from '../client/pool.ts';
import { refused } from '../client/pool.ts';
import type { LdapConfig } from './ldap-config.ts';
import { expandResult } from './remote-template.ts';

export interface Searcher {
  search(request: LdapSearch): Promise<Result<LdapAnswer, Failure>>;
}

type Walk = {
  readonly config: LdapConfig;
  readonly searcher: Searcher;
  readonly key: string;
  readonly warn: (text: string) => void;
  readonly values: string[];
};

export async function ldapValues(
  config: LdapConfig,
  searcher: Searcher,
  entries: readonly LdapEntry[],
  key: string,
  warn: (text: string) => void,
): Promise<Result<readonly string[], Failure>> {
  const walk: Walk = { config, searcher, key, warn, values: [] };
  const fault = await addEntries(walk, entries, 1);
  return fault === undefined ? ok(walk.values) : fault;
}

type Fault = Result<never, Failure> | undefined;

async function addEntries(
  walk: Walk,
  entries: readonly LdapEntry[],
  depth: number,
): Promise<Fault> {
  const { sizeLimit, name } = walk.config;
  if (sizeLimit > 0 && entries.length > sizeLimit) {
    return refused(`${name}: Query size limit (${sizeLimit}) exceeded`);
  }
  for (const entry of entries) {
    const fault = await addEntry(walk, entry, depth);
    if (fault) return fault;
  }
  return undefined;
}

async function addEntry(walk: Walk, { attributes }: LdapEntry, depth: number): Promise<Fault> {
  const { terminal, leaf, plain, special } = walk.config;
  const has = (names: readonly string[]) => attributes.some(([name]) => listed(names, name));
  const isTerminal = has(terminal);
  const isLeaf = !has(special);
  // Nothing asked for: the server sent everything, and nothing of it counts.
  for (const [name, values] of attributes) {
    if (listed(terminal, name)) {
      const fault = addValues(walk, values);
      if (fault) return fault;
    } else if (isTerminal) continue;
    else if (listed(leaf, name) ? isLeaf : listed(plain, name)) {
      const fault = addValues(walk, values);
      if (fault) return fault;
    } else if (listed(special, name) && !listed(leaf, name)) {
      const fault = await follow(walk, name, values, depth);
      if (fault) return fault;
    }
  }
  return undefined;
}

/** `mail` also stands for `mail;lang-en`. Names are case-insensitive. */
function listed(names: readonly string[], name: string): boolean {
  return names.some((each) => isSubtype(each, name));
}

const isSubtype = (general: string, special: string): boolean => {
  const [a, b] = [general.toLowerCase(), special.toLowerCase()];
  return a === b || b.startsWith(`${a};`);
};

function addValues({ config, key, values, warn }: Walk, added: readonly string[]): Fault {
  const { resultFormat, needs, expansionLimit, name } = config;
  for (const value of added) {
    if (value === '') {
      warn(`empty lookup result for: "${printable(key)}" -- ignored`);
      continue;
    }
    const formatted = expandResult(resultFormat, needs, value, key);
    if (formatted === undefined) continue;
    values.push(formatted);
    if (expansionLimit > 0 && values.length > expansionLimit) {
      return refused(`${name}: Expansion limit exceeded for key: '${printable(key)}'`);
    }
  }
  return undefined;
}

async function follow(
  walk: Walk,
  attribute: string,
  references: readonly string[],
  depth: number,
): Promise<Fault> {
  const { config, searcher, warn } = walk;
  if (depth >= config.recursionLimit) {
    const where = `${attribute}=${references[0] ?? ''}`;
    return refused(`${config.name}: Recursion limit exceeded for special attribute ${where}`);
  }
  for (const reference of references) {
    const request = requestFor(config, reference);
    if (!request.ok) return request;
    if (request.value === undefined) continue;
    const answer = await searcher.search(request.value);
    if (!answer.ok) return answer;
    if (!answer.value.hasBase) {
      warn(`DN ${printable(reference)} not found, skipping`);
      continue;
    }
    const fault = await addEntries(walk, answer.value.entries, depth + 1);
    if (fault) return fault;
  }
  return undefined;
}

/** Undefined: the URL selects none of the attributes that count. */
function requestFor(
  config: LdapConfig,
  reference: string,
): Result<LdapSearch | undefined, Failure> {
  const wanted = [...config.terminal, ...config.leaf, ...config.plain, ...config.special];
  const { sizeLimit } = config;
  if (!isLdapUrl(reference)) {
    const filter = '(objectclass=*)';
    return ok({ base: reference, scope: 'base', filter, attributes: wanted, sizeLimit });
  }
  const url = parseLdapUrl(reference);
  if (!url.ok) return refused(url.error);
  const { base, scope = 'base', filter = '(objectclass=*)' } = url.value;
  const attributes = selected(url.value.attributes, wanted);
  if (attributes.length === 0) return ok(undefined);
  return ok({ base, scope, filter, attributes, sizeLimit });
}

/** Where one of two names has an option more, it is the one asked for. */
function selected(ofUrl: readonly string[], wanted: readonly string[]): readonly string[] {
  if (ofUrl.length === 0) return wanted;
  return ofUrl.flatMap((a) =>
    wanted.flatMap((b) => (isSubtype(a, b) ? [b] : isSubtype(b, a) ? [a] : [])),
  );
}
