/**
 * regexp: and pcre: tables: an ordered list of patterns, the first that matches decides.
 *
 * Flags toggle; matching ignores case unless told otherwise. `$1`, `${1}`, `$(1)` in a result stand
 * for groups, `$0` for the whole match, `$$` for a dollar. A rule that does not parse is left out
 * and reported. `if` blocks nest; one without `endif` reaches to the end.
 *
 * A match that would take too long makes the lookup fail (retry): mail is put off, never let through
 * unchecked. Without a budget from the caller each lookup has one of its own.
 *
 * @see regexp_table(5), pcre_table(5)
 */
import { isUtf8 } from 'node:buffer';
import type { LogicalLine } from '../../util/logical-lines.ts';
import { ABSENT, type Lookup, type LookupOptions, type MatchBudget, type Table } from '../table.ts';
import { matchBudget } from './match-budget.ts';
import type { Match } from './pattern-match.ts';
import { type Condition, type PatternType, parseLine, type Replacement } from './pattern-rule.ts';

/** `isLeftOut` false: a warning only. */
export type PatternFault = {
  readonly line: number;
  readonly reason: string;
  readonly isLeftOut: boolean;
};

export interface PatternTable extends Table {
  lookup(key: string, options?: LookupOptions): Lookup;
}

type Rule = {
  readonly line: number;
  readonly conditions: readonly Condition[];
  /** Absent: an `if`, which ends just before rule number `next`. */
  readonly result?: Replacement;
  next: number;
};

/** Longest key that is matched; longer ones fail, they are no address and no sane header. */
const MAX_SUBJECT = 102_400;

/** Build a table; the faults are for the caller to log. */
export function patternTable(
  type: PatternType,
  name: string,
  lines: Iterable<LogicalLine>,
): { readonly table: PatternTable; readonly faults: readonly PatternFault[] } {
  const rules: Rule[] = [];
  const open: Rule[] = [];
  const faults: PatternFault[] = [];
  for (const { text, line } of lines) {
    const warn = (reason: string): void => void faults.push({ line, reason, isLeftOut: false });
    const parsed = parseLine(type, toBytes(text.trimEnd()), open.length, warn);
    if (!parsed.ok) {
      faults.push({ line, ...parsed.error });
      continue;
    }
    if (parsed.value.kind === 'endif') {
      const opener = open.pop();
      if (opener) opener.next = rules.length;
      continue;
    }
    const { kind, ...rest } = parsed.value;
    const next = kind === 'if' ? Number.POSITIVE_INFINITY : rules.length + 1;
    const rule: Rule = { line, ...rest, next };
    rules.push(rule);
    if (kind === 'if') open.push(rule);
  }
  for (const { line } of open.reverse()) {
    faults.push({ line, reason: 'IF has no matching ENDIF', isLeftOut: false });
  }
  const id = `${type} map ${name}`;
  const lookup = (key: string, options: LookupOptions = {}): Lookup =>
    search(id, rules, key, options);
  return { table: { type, name, keys: 'pattern', lookup }, faults };
}

function search(id: string, rules: readonly Rule[], key: string, options: LookupOptions): Lookup {
  const subject = options.isBytes ? key : toBytes(key);
  if (subject.length > MAX_SUBJECT) return { kind: 'retry', reason: `${id}: key is too long` };
  const budget = options.budget ?? matchBudget();
  for (let at = 0, rule = rules[at]; rule; rule = rules[at]) {
    const found = judge(rule, subject, budget);
    if (found === 'spent') {
      const reason = `${id}, line ${rule.line}: matching takes too long`;
      return { kind: 'retry', reason };
    }
    if (found !== null && rule.result) {
      return answer(id, fill(rule.result, found), options);
    }
    at = found !== null ? at + 1 : rule.next;
  }
  return ABSENT;
}

/** The match of the first pattern when all conditions hold, null when one does not. */
function judge({ conditions, result }: Rule, subject: string, budget: MatchBudget): Match {
  const needsGroups = result?.some((part) => typeof part === 'number') ?? false;
  let first: readonly string[] | undefined;
  for (const { pattern, negated } of conditions) {
    const match = pattern.match(subject, budget, needsGroups && first === undefined);
    if (match === 'spent') return match;
    if ((match !== null) === negated) return null;
    first ??= match ?? [];
  }
  return first ?? null;
}

function fill(result: Replacement, groups: readonly string[]): string {
  let text = '';
  for (const part of result) text += typeof part === 'number' ? (groups[part] ?? '') : part;
  return text;
}

/** UTF-8 as latin1 text: a character is a byte. */
const toBytes = (text: string): string =>
  /[^\0-\x7f]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;

/** A result that cuts a character in two is an error, as in Postfix. */
function answer(id: string, value: string, { isBytes }: LookupOptions): Lookup {
  if (isBytes || !/[^\0-\x7f]/.test(value)) return { kind: 'found', value };
  const bytes = Buffer.from(value, 'latin1');
  if (isUtf8(bytes)) return { kind: 'found', value: bytes.toString('utf8') };
  return { kind: 'misconfigured', reason: `${id}: non-UTF-8 value` };
}
