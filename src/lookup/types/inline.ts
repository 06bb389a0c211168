/**
 * Table contents written into main.cf: `inline:{ k=v, { k = v w } }`, `cidr:{ {rule}, {rule} }`,
 * `unionmap:{ type:name, type:name }`.
 *
 * @see DATABASE_README "inline", pcre_table(5) "INLINE SPECIFICATION"
 */
import type { LogicalLine } from '../../util/logical-lines.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { splitList } from '../../util/text.ts';

type Fault = { readonly reason: string };

/** The elements within one pair of braces, their own braces kept. */
export function braceElements(text: string): Result<string[], Fault> {
  const inner = /^\{([\s\S]*)\}$/.exec(text.trim())?.[1];
  if (inner === undefined) return err({ reason: `"${text}": need elements between { and }` });
  return ok(splitList(inner));
}

/** Keys in lower case. The first of two equal keys wins; an empty table is a mistake. */
export function inlineEntries(text: string): Result<Map<string, string>, Fault> {
  const elements = braceElements(text);
  if (!elements.ok) return elements;
  const entries = new Map<string, string>();
  for (const element of elements.value) {
    const pair = stripBraces(element);
    const equals = pair.indexOf('=');
    const key = pair.slice(0, Math.max(0, equals)).trim().toLowerCase();
    if (key === '') return err({ reason: `"${element}": need name=value` });
    if (!entries.has(key)) entries.set(key, pair.slice(equals + 1).trim());
  }
  if (entries.size === 0) return err({ reason: 'empty inline table' });
  return ok(entries);
}

/** Each element is one rule, numbered from 1. */
export function inlineLines(text: string): Result<Generator<LogicalLine, void, void>, Fault> {
  const elements = braceElements(text);
  if (!elements.ok) return elements;
  const rules = elements.value;
  function* lines(): Generator<LogicalLine, void, void> {
    for (const [at, element] of rules.entries()) {
      yield { text: stripBraces(element), line: at + 1 };
    }
  }
  return ok(lines());
}

const stripBraces = (text: string): string => /^\{\s*([\s\S]*?)\s*\}$/.exec(text)?.[1] ?? text;
