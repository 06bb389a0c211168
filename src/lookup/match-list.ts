/**
 * Match lists: the values of mynetworks, mydestination, relay_domains and their like.
 *
 * Patterns are compared in order and the first that fits decides; `!pattern` decides "no". A
 * pattern is a name, `.name` for subdomains, an address or network, `/file` (its lines are further
 * patterns) or `type:table` (only existence of the key matters). Whether a plain name also stands
 * for its subdomains is parent_domain_matches_subdomains' business.
 *
 * A table that cannot answer makes the whole answer `error`, never "no".
 *
 * @see postconf(5), Postfix match_list(3), match_ops(3)
 */
import { readFileSync } from 'node:fs';
import { type IpBytes, parseIp, samePrefix } from '../util/ip-prefix.ts';
import { logicalLines } from '../util/logical-lines.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { type LookupContext, openTable, type TableFault } from './open.ts';
import type { Lookup, Table } from './table.ts';

export type Match =
  | { readonly kind: 'yes' }
  | { readonly kind: 'no' }
  | { readonly kind: 'error'; readonly reason: string };

export const YES: Match = { kind: 'yes' };
export const NO: Match = { kind: 'no' };

/** Names and domains, in any letter case. */
export interface DomainList {
  match(name: string): Match | Promise<Match>;
}

/** Client addresses, and client names where the caller knows one (`''` or `unknown`: it does not). */
export interface ClientList {
  match(name: string, address: string): Match | Promise<Match>;
}

export type ListOptions = {
  /** From `parentMatches(config, parameter)`: `example.com` also covers `a.example.com`. */
  readonly matchParents: boolean;
};

type Pattern = { readonly negated: boolean } & (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'network'; readonly net: IpBytes; readonly bits: number }
  | { readonly kind: 'table'; readonly table: Table }
);

const MAX_FILE_DEPTH = 10;

/** Whether parent_domain_matches_subdomains names this parameter. */
export function parentMatches(
  config: { readonly parent_domain_matches_subdomains: string },
  parameter: string,
): boolean {
  return splitList(config.parent_domain_matches_subdomains).includes(parameter);
}

/** A list of domains or other names. */
export function openDomainList(
  parameter: string,
  value: string,
  options: ListOptions,
  context: LookupContext,
): Result<DomainList, readonly TableFault[]> {
  const patterns = compile(parameter, value, context, 0);
  if (!patterns.ok) return patterns;
  const names = plainNames(patterns.value, options);
  if (names) return ok({ match: (name) => (names.has(name.toLowerCase()) ? YES : NO) });
  return ok({
    match: (name) => walk(patterns.value, 0, { name: name.toLowerCase(), options }),
  });
}

/** A list of client addresses, networks and names. */
export function openClientList(
  parameter: string,
  value: string,
  options: ListOptions,
  context: LookupContext,
): Result<ClientList, readonly TableFault[]> {
  const patterns = compile(parameter, value, context, 0);
  if (!patterns.ok) return patterns;
  return ok({
    match(name, address) {
      const known = name === 'unknown' ? '' : name.toLowerCase();
      const bytes = parseIp(address);
      const subject = { name: known, address: address.toLowerCase(), options };
      return walk(patterns.value, 0, bytes ? { ...subject, bytes } : subject);
    },
  });
}

function compile(
  parameter: string,
  value: string,
  context: LookupContext,
  depth: number,
): Result<readonly Pattern[], readonly TableFault[]> {
  const patterns: Pattern[] = [];
  const faults: TableFault[] = [];
  for (const element of splitList(value)) {
    const bangs = /^!*/.exec(element)?.[0].length ?? 0;
    const parsed = parsePattern(parameter, element.slice(bangs), bangs % 2 === 1, context, depth);
    if (parsed.ok) patterns.push(...parsed.value);
    else faults.push(...parsed.error);
  }
  return faults.length > 0 ? err(faults) : ok(patterns);
}

function parsePattern(
  parameter: string,
  text: string,
  negated: boolean,
  context: LookupContext,
  depth: number,
): Result<readonly Pattern[], readonly TableFault[]> {
  if (text.startsWith('/')) {
    const file = readPatternFile(text);
    if (!file.ok || depth >= MAX_FILE_DEPTH) {
      const reason = file.ok ? `${text}: files nest too deep` : file.error;
      return err([{ reason: `${parameter}: ${reason}` }]);
    }
    const inner = compile(parameter, file.value, context, depth + 1);
    if (!inner.ok) return inner;
    return ok(inner.value.map((p) => ({ ...p, negated: p.negated !== negated })));
  }
  const network = parseNetwork(text);
  if (network === 'bad') return err([{ reason: `${parameter}: bad network pattern "${text}"` }]);
  if (network) return ok([{ kind: 'network', negated, ...network }]);
  if (/^[a-z][\w.-]*:/i.test(text)) {
    const table = openTable(text, context);
    if (!table.ok) return err([{ ...table.error, reason: `${parameter}: ${table.error.reason}` }]);
    return ok([{ kind: 'table', negated, table: table.value }]);
  }
  return ok([{ kind: 'text', negated, text: text.toLowerCase() }]);
}

function readPatternFile(path: string): Result<string, string> {
  try {
    const lines = [...logicalLines(readFileSync(path, 'utf8'))];
    return ok(lines.map(({ text }) => text).join(' '));
  } catch (error) {
    return err(`open file ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** `a.b.c.d`, `net/bits`, `[v6]`, `[v6]/bits`, `[v6/bits]`; IPv6 only in brackets, as in Postfix. */
function parseNetwork(
  text: string,
): { readonly net: IpBytes; readonly bits: number } | 'bad' | undefined {
  const [, inner = '', outer = ''] = /^\[([^\]]*)\]((?:\/.*)?)$/.exec(text) ?? [];
  const bare = inner === '' ? text : inner + outer;
  if (inner === '' && !/^[\d./]+$/.test(text)) return undefined;
  const [address = '', length] = bare.replace(/^ipv6:/i, '').split('/');
  const net = parseIp(address);
  if (!net) return inner === '' ? undefined : 'bad';
  const bits = length === undefined ? net.length * 8 : Number(length);
  if (!/^\d*$/.test(length ?? '') || bits > net.length * 8) return 'bad';
  return { net, bits };
}

/** A set for the common case: names only, no negation, no parents. */
function plainNames(patterns: readonly Pattern[], options: ListOptions): Set<string> | undefined {
  if (options.matchParents) return undefined;
  const names = new Set<string>();
  for (const pattern of patterns) {
    const isPlain = pattern.kind === 'text' && !pattern.negated && !pattern.text.startsWith('.');
    if (!isPlain) return undefined;
    names.add(pattern.text);
  }
  return names;
}

type Subject = {
  readonly name: string;
  readonly address?: string;
  readonly bytes?: IpBytes;
  readonly options: ListOptions;
};

function walk(
  patterns: readonly Pattern[],
  from: number,
  subject: Subject,
): Match | Promise<Match> {
  for (let at = from; at < patterns.length; at += 1) {
    const pattern = patterns[at];
    if (!pattern) break;
    const hit = fits(pattern, subject);
    if (hit instanceof Promise) {
      return hit.then((match) => decide(match, pattern) ?? walk(patterns, at + 1, subject));
    }
    const decided = decide(hit, pattern);
    if (decided) return decided;
  }
  return NO;
}

function decide(hit: Match, pattern: Pattern): Match | undefined {
  if (hit.kind === 'error') return hit;
  if (hit.kind === 'no') return undefined;
  return pattern.negated ? NO : YES;
}

function fits(pattern: Pattern, subject: Subject): Match | Promise<Match> {
  switch (pattern.kind) {
    case 'network': {
      const { bytes } = subject;
      const same = bytes?.length === pattern.net.length;
      return same && bytes && samePrefix(pattern.net, bytes, pattern.bits) ? YES : NO;
    }
    case 'text':
      return fitsText(pattern.text, subject) ? YES : NO;
    case 'table':
      return exists(pattern.table, keysOf(pattern.table, subject), 0);
  }
}

function fitsText(text: string, { name, address, options }: Subject): boolean {
  if (text === name && name !== '') return true;
  if (address !== undefined && text === address) return true;
  if (options.matchParents) return !text.startsWith('.') && name.endsWith(`.${text}`);
  return text.startsWith('.') && name.endsWith(text) && name !== text;
}

/** Keys a table is asked: the name, its parents where the table has fixed keys, the address. */
function keysOf(table: Table, { name, address, options }: Subject): string[] {
  const keys = name === '' ? [] : [name];
  if (table.keys === 'fixed' && name !== '' && !name.startsWith('[')) {
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      if (options.matchParents) keys.push(name.slice(dot + 1));
      else keys.push(name.slice(dot));
    }
  }
  if (address) keys.push(address);
  return keys.filter((key) => key !== '' && key !== '.');
}

function exists(table: Table, keys: readonly string[], from: number): Match | Promise<Match> {
  for (let at = from; at < keys.length; at += 1) {
    const answer = table.lookup(keys[at] ?? '');
    if (answer instanceof Promise) {
      return answer.then((found) => outcome(found) ?? exists(table, keys, at + 1));
    }
    const decided = outcome(answer);
    if (decided) return decided;
  }
  return NO;
}

function outcome(found: Lookup): Match | undefined {
  if (found.kind === 'absent') return undefined;
  return found.kind === 'found' ? YES : { kind: 'error', reason: found.reason };
}
