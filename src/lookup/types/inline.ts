/**
 * Table contents written into main.cf: `inline:{ k=v, { k = v w } }`, `cidr:{ {rule}, {rule} }`,
 * `unionmap:{ type:name, type:name }`.
 *
 * @see DATABASE_README "inline", pcre_table(5) "INLINE SPECIFICATION"
 */
import type { LogicalLine } from '../../util/logical-lines.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { splitList } from '../../util/text.ts';
import { fileValue } from './file-value.ts';
import { storedKey, type TextFormat } from './text.ts';

type Fault = { readonly reason: string };

/** The elements within one pair of braces, their own braces kept. */
export function braceElements(text: string): Result<string[], Fault> {
  const inner = /^\{([\s\S]*)\}$/.exec(text.trim())?.[1];
  if (inner === undefined) return err({ reason: `"${text}": need elements between { and }` });
  return ok(splitList(inner));
}

/** Keys in their stored form. The last of two equal keys wins; an empty table is a mistake. */
export function inlineEntries(
  text: string,
  format: TextFormat = {},
): Result<Map<string, string>, Fault> {
  const refuse = (what: string): Result<never, Fault> =>
    err({ reason: `${what}: "inline:${text}"; need "inline:{name=value...}"` });
  const elements = braceElements(text);
  if (!elements.ok) return refuse('bad syntax');
  const entries = new Map<string, string>();
  for (const element of elements.value) {
    const pair = element.startsWith('{') ? stripBraces(element) : element;
    if (pair === undefined) return refuse(`missing '}' in "${element}"`);
    const equals = keyLength(pair);
    const key = pair.slice(0, Math.max(0, equals)).trim();
    if (equals < 0 || hasBlank(key)) return refuse("missing '=' after attribute name");
    if (key === '') return refuse('missing attribute name');
    const value = pair.slice(equals + 1).trim();
    const stored = format.hasFileValues ? fileValue(value) : ok(value);
    if (!stored.ok) return refuse(stored.error);
    entries.set(storedKey(key, format), stored.value);
  }
  return entries.size === 0 ? refuse('empty table') : ok(entries);
}

/** White space outside quotes. */
const hasBlank = (key: string): boolean => /\s/.test(key.replaceAll(/"(?:[^"\\]|\\.)*"|\\./g, ''));

/** Where `=` stands outside quotes; -1 for nowhere. */
function keyLength(pair: string): number {
  let inQuote = false;
  for (let at = 0; at < pair.length; at += 1) {
    const char = pair[at];
    if (char === '\\') at += 1;
    else if (char === '"') inQuote = !inQuote;
    else if (char === '=' && !inQuote) return at;
  }
  return -1;
}

/** Each element is one rule, numbered from 1. */
export function inlineLines(type: string, text: string): Result<LogicalLine[], Fault> {
  const elements = braceElements(text);
  if (!elements.ok) return elements;
  const lines: LogicalLine[] = [];
  for (const [at, element] of elements.value.entries()) {
    const rule = element.startsWith('{') ? stripBraces(element) : undefined;
    if (rule === undefined) {
      return err({ reason: `${type} map: each rule must be in its own { }: "${element}"` });
    }
    if (rule !== '') lines.push({ text: rule, line: at + 1 });
  }
  return ok(lines);
}

/** What stands between one outer pair of braces; undefined when the second is missing. */
export const stripBraces = (text: string): string | undefined =>
  /^\{\s*([\s\S]*?)\s*\}$/.exec(text)?.[1];
