/**
 * regexp: and pcre: tables: an ordered list of patterns, the first that matches decides.
 *
 * Lines: `/pattern/flags result`, `!/pattern/flags result`, `if [!]/pattern/flags`, `endif`. Flags
 * toggle; matching ignores case unless told otherwise. `$1`, `${1}`, `$(1)` in a result stand for
 * groups, `$$` for a dollar. A rule that does not parse is left out and reported.
 *
 * A match that runs away is handed to V8's linear engine; where that cannot help, the match runs
 * under a time limit and the lookup fails (retry) when it is exceeded. Long keys are not matched.
 *
 * @see regexp_table(5), pcre_table(5)
 */
import v8 from 'node:v8';
import vm from 'node:vm';
import type { LogicalLine } from '../../util/logical-lines.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';
import { type Dialect, type Translated, translate } from './pattern-syntax.ts';

export type PatternFault = { readonly line: number; readonly reason: string };

type Replacement = readonly (string | number)[];

type Rule = {
  readonly pattern: Translated;
  readonly negated: boolean;
  /** Absent: an `if`, which ends just before rule number `next`. */
  readonly result?: Replacement;
  next: number;
};

/** Longest key that is matched; longer ones fail, they are no address and no sane header. */
const MAX_SUBJECT = 102_400;
const TIMEOUT_MS = 50;

v8.setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');

/** Build a table; the faults are for the caller to log. */
export function patternTable(
  type: 'regexp' | 'pcre',
  name: string,
  lines: Iterable<LogicalLine>,
): { readonly table: Table; readonly faults: readonly PatternFault[] } {
  const rules: Rule[] = [];
  const open: { readonly rule: Rule; readonly line: number }[] = [];
  const faults: PatternFault[] = [];
  for (const { text, line } of lines) {
    if (/^endif(?![a-z\d])/i.test(text)) {
      const opener = open.pop();
      if (opener) opener.rule.next = rules.length;
      else faults.push({ line, reason: 'ignoring ENDIF without matching IF' });
      continue;
    }
    const isIf = /^if(?![a-z\d])/i.test(text);
    const parsed = parseRule(type, isIf ? text.slice(2).trimStart() : text, isIf);
    if (!parsed.ok) {
      faults.push({ line, reason: parsed.error });
      continue;
    }
    const rule: Rule = {
      ...parsed.value,
      next: isIf ? Number.POSITIVE_INFINITY : rules.length + 1,
    };
    rules.push(rule);
    if (isIf) open.push({ rule, line });
  }
  for (const { line } of open) faults.push({ line, reason: 'IF has no matching ENDIF' });
  const id = `${type}:${name}`;
  const lookup = (key: string): Lookup => search(id, rules, key);
  return { table: { type, name, keys: 'pattern', lookup }, faults };
}

function search(id: string, rules: readonly Rule[], key: string): Lookup {
  if (key.length > MAX_SUBJECT) return { kind: 'retry', reason: `${id}: key is too long` };
  for (let at = 0, rule = rules[at]; rule; rule = rules[at]) {
    const match = execute(rule.pattern, key);
    if (match === 'timeout') {
      return { kind: 'retry', reason: `${id}: ${rule.pattern.regexp} takes too long` };
    }
    const holds = (match !== null) !== rule.negated;
    if (holds && rule.result) return { kind: 'found', value: fill(rule.result, match) };
    at = holds ? at + 1 : rule.next;
  }
  return ABSENT;
}

const sandbox: { regexp: RegExp; key: string; match: RegExpExecArray | null } = {
  regexp: /^/,
  key: '',
  match: null,
};
let limited: (() => void) | undefined;

function execute(
  { regexp, mayRunAway }: Translated,
  key: string,
): RegExpExecArray | null | 'timeout' {
  if (!mayRunAway) return regexp.exec(key);
  if (!limited) {
    const context = vm.createContext(sandbox);
    const script = new vm.Script('match = regexp.exec(key)');
    limited = () => void script.runInContext(context, { timeout: TIMEOUT_MS });
  }
  sandbox.regexp = regexp;
  sandbox.key = key;
  sandbox.match = null;
  try {
    limited();
  } catch (error) {
    // The error was made in the other context: it is no instance of our Error.
    if (typeof error === 'object' && error !== null && 'code' in error) return 'timeout';
    throw error;
  }
  return sandbox.match;
}

function fill(replacement: Replacement, match: RegExpExecArray | null): string {
  let text = '';
  for (const part of replacement) text += typeof part === 'string' ? part : (match?.[part] ?? '');
  return text;
}

type Parsed = Omit<Rule, 'next'>;

function parseRule(type: 'regexp' | 'pcre', text: string, isIf: boolean): Result<Parsed, string> {
  const bangs = /^[!\s]*/.exec(text)?.[0] ?? '';
  const negated = bangs.replaceAll(/\s/g, '').length % 2 === 1;
  const body = text.slice(bangs.length);
  const delimiter = body[0] ?? '';
  if (delimiter === '' || /[\w\s\\]/.test(delimiter)) {
    return err('delimiter must not be alphanumeric');
  }
  const end = closing(body, delimiter);
  if (end < 0) return err('no closing regexp delimiter');
  const [, flags = '', rest = ''] = /^(\S*)\s*([\s\S]*?)\s*$/.exec(body.slice(end + 1)) ?? [];
  const dialect = readFlags(type, flags);
  if (!dialect.ok) return dialect;
  const source = unescapeDelimiter(body.slice(1, end), delimiter);
  const pattern = translate(dialect.value.anchored ? `^(?:${source})` : source, dialect.value);
  if (!pattern.ok) return err(`error in pattern: ${pattern.error}`);
  if (isIf) {
    return rest === '' ? ok({ pattern: pattern.value, negated }) : err('extra text after IF');
  }
  if (rest === '') return err('no replacement text');
  const result = parseReplacement(rest, negated ? 0 : pattern.value.groups, negated);
  return result.ok ? ok({ pattern: pattern.value, negated, result: result.value }) : result;
}

function closing(text: string, delimiter: string): number {
  for (let at = 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === delimiter) return at;
  }
  return -1;
}

const unescapeDelimiter = (text: string, delimiter: string): string =>
  delimiter === '/' ? text.replaceAll('\\/', '/') : text;

function readFlags(
  type: 'regexp' | 'pcre',
  flags: string,
): Result<Dialect & { readonly anchored: boolean }, string> {
  const on = { i: true, m: false, s: type === 'pcre', x: false, A: false };
  for (const flag of flags) {
    if (flag === 'i') on.i = !on.i;
    else if (flag === 'm') on.m = !on.m;
    else if (type === 'pcre' && flag === 's') on.s = !on.s;
    else if (type === 'pcre' && flag === 'x') on.x = !on.x;
    else if (type === 'pcre' && flag === 'A') on.A = !on.A;
    else if (type === 'pcre' && (flag === 'E' || flag === 'X')) continue;
    else return err(`unknown or unsupported regexp option "${flag}"`);
  }
  return ok({
    type,
    ignoreCase: on.i,
    multiline: on.m,
    dotAll: type === 'pcre' ? on.s : !on.m,
    extended: on.x,
    anchored: on.A,
  });
}

function parseReplacement(
  text: string,
  groups: number,
  negated: boolean,
): Result<Replacement, string> {
  const parts: (string | number)[] = [];
  let at = 0;
  for (const match of text.matchAll(/\$(?:\$|(\d+)|\{(\d+)\}|\((\d+)\))|\$/g)) {
    parts.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    const digits = match[1] ?? match[2] ?? match[3];
    if (match[0] === '$$') parts.push('$');
    else if (digits === undefined) return err('bad replacement text: "$" without number');
    else if (negated) return err('$number found in negative match replacement text');
    else if (Number(digits) > groups) return err(`out of range replacement index "${digits}"`);
    else parts.push(Number(digits));
  }
  parts.push(text.slice(at));
  return ok(parts.filter((part) => part !== ''));
}
