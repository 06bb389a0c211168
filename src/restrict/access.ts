/**
 * Access tables: which keys are tried for a client, a name or an address, and what the right-hand
 * side means.
 *
 * @see access(5)
 */
import type { Maps } from '../lookup/maps.ts';
import { ABSENT, type Lookup } from '../lookup/table.ts';
import type { EnhancedStatus } from '../mail/reply.ts';
import { splitList } from '../util/text.ts';
import type { Effect } from './facts.ts';

export type AccessAction =
  | { readonly kind: 'ok' }
  | { readonly kind: 'dunno' }
  | {
      readonly kind: 'refuse';
      readonly code: number;
      readonly status: EnhancedStatus;
      readonly text: string;
    }
  | {
      readonly kind: 'defer_if_permit' | 'defer_if_reject';
      readonly status: EnhancedStatus;
      readonly text: string;
    }
  | { readonly kind: 'effect'; readonly effect: Effect }
  /** Further restrictions, to be evaluated in place. */
  | { readonly kind: 'list'; readonly words: readonly string[] }
  | { readonly kind: 'bad'; readonly reason: string };

export type AccessCodes = { readonly reject: number; readonly defer: number };

/** Read a right-hand side. */
export function parseAction(value: string, codes: AccessCodes): AccessAction {
  const text = value.trim();
  const word = (/^[^\s,]+/.exec(text)?.[0] ?? '').toUpperCase();
  const rest = text.slice(word.length).trim();
  if (text === '' || /^\d+$/.test(text) ? !/^[45]\d\d$/.test(text) : false) return { kind: 'ok' };
  if (/^[45]\d\d$/.test(word)) return refuse(Number(word), rest);
  switch (word) {
    case 'OK':
    case 'RELAY':
      return { kind: 'ok' };
    case 'DUNNO':
      return { kind: 'dunno' };
    case 'REJECT':
      return refuse(codes.reject, rest);
    case 'DEFER':
      return refuse(codes.defer, rest);
    case 'DEFER_IF_PERMIT':
      return { kind: 'defer_if_permit', ...statusText(450, rest) };
    case 'DEFER_IF_REJECT':
      return { kind: 'defer_if_reject', ...statusText(450, rest) };
    case 'HOLD':
      return { kind: 'effect', effect: { kind: 'hold', text: rest || 'triggers HOLD action' } };
    case 'DISCARD':
      return {
        kind: 'effect',
        effect: { kind: 'discard', text: rest || 'triggers DISCARD action' },
      };
    case 'PREPEND':
      return argument(word, rest, /^[!-9;-~]+:/, { kind: 'prepend', header: rest });
    case 'FILTER':
      return argument(word, rest, /:/, { kind: 'filter', destination: rest });
    case 'REDIRECT':
      return argument(word, rest, /@/, { kind: 'redirect', address: rest });
    case 'BCC':
      return argument(word, rest, /@/, { kind: 'bcc', address: rest });
    case 'WARN':
      return { kind: 'effect', effect: { kind: 'log', action: 'warn', text: rest } };
    case 'INFO':
      return { kind: 'effect', effect: { kind: 'log', action: 'info', text: rest } };
    default:
      return { kind: 'list', words: splitList(text) };
  }
}

function argument(word: string, rest: string, shape: RegExp, effect: Effect): AccessAction {
  if (!shape.test(rest)) return { kind: 'bad', reason: `bad ${word} argument: "${rest}"` };
  return { kind: 'effect', effect };
}

function refuse(code: number, rest: string): AccessAction {
  return { kind: 'refuse', code, ...statusText(code, rest) };
}

/** An enhanced status in front of the text, its class forced to the code's. */
function statusText(code: number, rest: string): { status: EnhancedStatus; text: string } {
  const found = /^[245]\.(\d{1,3})\.(\d{1,3})(?:\s+|$)(.*)$/s.exec(rest);
  const cls = code >= 500 ? 5 : 4;
  if (!found) return { status: `${cls}.7.1`, text: rest };
  return { status: `${cls}.${Number(found[1])}.${Number(found[2])}`, text: found[3] ?? '' };
}

/** Host names: itself, then its parents (`.parent` unless `matchParents`). */
export function nameKeys(name: string, matchParents: boolean): string[] {
  const keys = [name];
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const parent = matchParents ? name.slice(dot + 1) : name.slice(dot);
    if (parent !== '' && parent !== '.') keys.push(parent);
  }
  return keys;
}

/** Addresses: itself, then with octets (or IPv6 groups) cut off from the right. */
export function addressKeys(address: string): string[] {
  const separator = address.includes(':') ? ':' : '.';
  const keys = [address];
  let rest = address;
  for (;;) {
    const at = rest.lastIndexOf(separator);
    if (at <= 0) return keys;
    rest = rest.slice(0, at);
    if (!rest.endsWith(':')) keys.push(rest);
  }
}

/** Mail addresses: user+ext@domain, user@domain, domain and parents, user+ext@, user@. */
export function mailKeys(address: string, delimiters: string, matchParents: boolean): string[] {
  const at = address.lastIndexOf('@');
  const local = at < 0 ? address : address.slice(0, at);
  const domain = at < 0 ? '' : address.slice(at + 1);
  const cut = [...local].findIndex((c, i) => i > 0 && delimiters.includes(c));
  const user = cut > 0 ? local.slice(0, cut) : undefined;
  const keys = [address];
  if (user !== undefined && domain !== '') keys.push(`${user}@${domain}`);
  if (domain !== '') keys.push(...nameKeys(domain, matchParents));
  keys.push(`${local}@`);
  if (user !== undefined) keys.push(`${user}@`);
  return keys;
}

/**
 * The first key that a table knows. Pattern tables see whole keys only; `whole` counts those at
 * the front of `keys`.
 */
export async function findAccess(
  maps: Maps,
  keys: readonly string[],
  whole: ReadonlySet<string>,
): Promise<Lookup> {
  for (const key of keys) {
    const answer = whole.has(key) ? maps.find(key) : maps.findPartial(key);
    const found = answer instanceof Promise ? await answer : answer;
    if (found.kind !== 'absent') return found;
  }
  return ABSENT;
}
