/**
 * The arguments of MAIL, RCPT and VRFY, as tolerant as Postfix with strict_rfc821_envelopes = no.
 *
 * `MAIL FROM:a@b` and blanks after the colon are taken; a source route is stripped. The result is in internal form (see stages.ts): the local part loses
 * its quotes, so `"a@b"@here` becomes `a@b@here`, split at the LAST `@`.
 *
 * Input is UTF-8 that has been checked; nothing here decodes bytes.
 *
 * @see RFC 5321 section 4.1.2, RFC 3461 section 4
 */
import { isIPv4, isIPv6 } from 'node:net';
import { err, ok, type Result } from '../util/result.ts';

export type PathCommand = {
  /** Internal form; `''` is `<>`. */
  readonly address: string;
  /** As written between the brackets: for log lines and the `<x>:` of refusals. */
  readonly given: string;
  /** The local part needs or had quotes, or holds a routing character. */
  readonly quoted: boolean;
  readonly options: readonly string[];
};

export type PathFault = 'syntax' | 'address';

const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

/** What follows `MAIL` or `RCPT`; `keyword` is `FROM` or `TO`. */
export function parsePathCommand(
  rest: string,
  keyword: 'FROM' | 'TO',
  strict: boolean,
): Result<PathCommand, PathFault> {
  const head = /^\s*([A-Za-z]+)\s*:\s*/.exec(rest);
  if (head?.[1]?.toUpperCase() !== keyword) return err('syntax');
  const at = head[0].length;
  if (at >= rest.length) return err('syntax');
  const span = pathSpan(rest, at, strict);
  if (!span) return err('address');
  const path = parsePath(span.text, strict);
  if (!path.ok) return path;
  const tail = rest.slice(span.end).trim();
  return ok({ ...path.value, options: tail === '' ? [] : tail.split(/\s+/) });
}

/** A path without its brackets, in internal form. */
export function parsePath(
  text: string,
  strict = false,
): Result<Pick<PathCommand, 'address' | 'given' | 'quoted'>, PathFault> {
  const given = text.trim();
  if (given === '') return ok({ address: '', given: '', quoted: false });
  if (CONTROL.test(given) || given.length > 1024) return err('address');
  const bare = stripRoute(given);
  if (bare === undefined) return err('address');
  const split = lastAt(bare);
  const localText = split < 0 ? bare : bare.slice(0, split);
  const domain = split < 0 ? '' : bare.slice(split + 1).trim();
  const local = unquote(localText);
  if (local === undefined) return err('address');
  if (split >= 0 && !isDomainText(domain)) return err('address');
  if (strict && split < 0 && given.toLowerCase() !== 'postmaster') return err('address');
  if (local === '' && split < 0) return err('address');
  return ok({
    address: split < 0 ? local : `${local}@${domain}`,
    given,
    quoted: localText.includes('"') || localText.includes('\\'),
  });
}

/** Where the path starts and ends. Quotes and escapes hide brackets and blanks. */
function pathSpan(
  rest: string,
  from: number,
  strict: boolean,
): { readonly text: string; readonly end: number } | undefined {
  const bracketed = rest[from] === '<';
  if (strict && !bracketed) return undefined;
  const start = bracketed ? from + 1 : from;
  let inQuotes = false;
  for (let i = start; i < rest.length; i += 1) {
    const c = rest[i];
    if (c === '\\') i += 1;
    else if (c === '"') inQuotes = !inQuotes;
    else if (!inQuotes && bracketed && c === '<') return undefined;
    else if (!inQuotes && c === '>') return { text: rest.slice(start, i), end: i + 1 };
    else if (!inQuotes && !bracketed && (c === ' ' || c === '\t')) {
      return { text: rest.slice(start, i), end: i };
    }
  }
  return inQuotes || bracketed ? undefined : { text: rest.slice(start), end: rest.length };
}

/** `@a,@b:user@c` becomes `user@c`. */
function stripRoute(text: string): string | undefined {
  if (!text.startsWith('@')) return text;
  const colon = text.indexOf(':');
  const route = colon < 0 ? '' : text.slice(0, colon);
  if (!/^@[^\s"\\@,]+(,@[^\s"\\@,]+)*$/.test(route)) return undefined;
  const rest = text.slice(colon + 1);
  return rest === '' ? undefined : rest;
}

/** The last `@` outside quotes. */
function lastAt(text: string): number {
  if (!text.includes('"') && !text.includes('\\')) return text.lastIndexOf('@');
  let found = -1;
  let inQuotes = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i];
    if (c === '\\') i += 1;
    else if (c === '"') inQuotes = !inQuotes;
    else if (c === '@' && !inQuotes) found = i;
  }
  return found;
}

function unquote(text: string): string | undefined {
  if (!text.includes('"') && !text.includes('\\')) {
    return /[\s<>()[\],;:]/.test(text) ? undefined : text;
  }
  let out = '';
  let inQuotes = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i] ?? '';
    if (c === '\\') {
      i += 1;
      if (i >= text.length) return undefined;
      out += text[i] ?? '';
    } else if (c === '"') inQuotes = !inQuotes;
    else if (!inQuotes && /[\s<>()[\],;:]/.test(c)) return undefined;
    else out += c;
  }
  return inQuotes ? undefined : out;
}

function isDomainText(domain: string): boolean {
  const literal = /^\[(?:(IPv6:)?([\dA-Fa-f:.]+))\]$/i.exec(domain);
  if (literal)
    return literal[1] === undefined ? isIPv4(literal[2] ?? '') : isIPv6(literal[2] ?? '');
  if (domain.length > 255 || /[\s"\\@<>()[\],;:]/.test(domain)) return false;
  return domain
    .replace(/\.$/, '')
    .split('.')
    .every((label) => label !== '');
}

/** Undo xtext (RFC 3461 section 4); undefined when it is not well formed. */
export function decodeXtext(text: string): string | undefined {
  if (!/^(?:[!-*,-<>-~]|\+[0-9A-F]{2})*$/.test(text)) return undefined;
  if (!text.includes('+')) return text;
  const decoded = text.replaceAll(/\+([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return CONTROL.test(decoded) ? undefined : decoded;
}
