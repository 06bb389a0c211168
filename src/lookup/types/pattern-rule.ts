/**
 * One line of a regexp: or pcre: table.
 *
 *   /pattern/flags result      !/pattern/flags result      /pattern/!/pattern/ result (regexp)
 *   if /pattern/flags          if !/pattern/flags          endif
 *
 * @see regexp_table(5), pcre_table(5)
 */
import { err, ok, type Result } from '../../util/result.ts';
import { type CompiledPattern, compilePattern, type Dialect } from './pattern-match.ts';

export type PatternType = 'regexp' | 'pcre';

/** Texts, and numbers of groups. */
export type Replacement = readonly (string | number)[];

export type Condition = { readonly pattern: CompiledPattern; readonly negated: boolean };

export type ParsedLine =
  | { readonly kind: 'endif' }
  | { readonly kind: 'if'; readonly conditions: readonly Condition[] }
  | {
      readonly kind: 'rule';
      readonly conditions: readonly Condition[];
      readonly result: Replacement;
    };

/** `reason` is for the log; `isLeftOut` false: the line counts nevertheless. */
export type LineFault = { readonly reason: string; readonly isLeftOut: boolean };

/** Faults that leave the line in force are handed to `warn`. `text` is latin1. */
export function parseLine(
  type: PatternType,
  text: string,
  nesting: number,
  warn: (reason: string) => void,
): Result<ParsedLine, LineFault> {
  const leave = (reason: string): Result<never, LineFault> => err({ reason, isLeftOut: true });
  const keyword = /^(endif|if)(?![a-z\d])/i.exec(text)?.[0].toLowerCase();
  if (keyword === 'endif') {
    if (nesting === 0)
      return err({ reason: 'ignoring ENDIF without matching IF', isLeftOut: false });
    if (text.slice(5).trim() !== '') warn('ignoring extra text after ENDIF');
    return ok({ kind: 'endif' });
  }
  if (keyword === 'if') {
    const read = readPattern(type, text.slice(2).trimStart());
    if (!read.ok) return leave(read.error);
    if (read.value.rest.trim() !== '') {
      warn(`ignoring extra text after IF statement: "${read.value.rest.trim()}"`);
      warn('do not prepend whitespace to statements between IF and ENDIF');
    }
    return ok({ kind: 'if', conditions: [read.value.condition] });
  }
  if (/^[a-z\d]/i.test(text))
    return err({ reason: 'ignoring unrecognized request', isLeftOut: false });
  return readRule(type, text, warn);
}

function readRule(
  type: PatternType,
  text: string,
  warn: (reason: string) => void,
): Result<ParsedLine, LineFault> {
  const leave = (reason: string): Result<never, LineFault> => err({ reason, isLeftOut: true });
  const first = readPattern(type, text);
  if (!first.ok) return leave(first.error);
  const conditions = [first.value.condition];
  let { rest } = first.value;
  if (type === 'regexp' && rest.startsWith('!')) {
    const second = readPattern(type, rest);
    if (!second.ok) return leave(second.error);
    conditions.push(second.value.condition);
    rest = second.value.rest;
  }
  const written = rest.replaceAll(/^[ \t\r\v\f\n]+|[ \t\r\v\f\n]+$/g, '');
  if (written === '') warn('no replacement text: using empty string');
  const result = readReplacement(written);
  if (!result.ok) return leave(result.error);
  const numbers = result.value.filter((part) => typeof part === 'number');
  const { pattern, negated } = first.value.condition;
  if (negated && numbers.length > 0) {
    return leave('$number found in negative match replacement text');
  }
  const largest = Math.max(0, ...numbers);
  if (largest > pattern.groups) return leave(`out of range replacement index "${largest}"`);
  return ok({ kind: 'rule', conditions, result: result.value });
}

type Read = { readonly condition: Condition; readonly rest: string };

function readPattern(type: PatternType, text: string): Result<Read, string> {
  const bangs = /^[!\s]*/.exec(text)?.[0] ?? '';
  const body = text.slice(bangs.length);
  const delimiter = body[0];
  if (delimiter === undefined) return err('no regexp');
  const end = closing(body, delimiter);
  if (end < 0) return err(`no closing regexp delimiter "${delimiter}"`);
  const stop = type === 'regexp' ? /[\s!]/ : /\s/;
  const flags = body.slice(end + 1).split(stop, 1)[0] ?? '';
  const dialect = readFlags(type, flags);
  if (!dialect.ok) return dialect;
  const pattern = compilePattern(body.slice(1, end), dialect.value);
  if (!pattern.ok) return pattern;
  const negated = bangs.replaceAll(/\s/g, '').length % 2 === 1;
  const rest = body.slice(end + 1 + flags.length);
  return ok({ condition: { pattern: pattern.value, negated }, rest });
}

function closing(text: string, delimiter: string): number {
  for (let at = 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === delimiter) return at;
  }
  return -1;
}

function readFlags(type: PatternType, flags: string): Result<Dialect, string> {
  const known = type === 'regexp' ? 'imx' : 'imsxAEUX';
  const toggled = new Set<string>();
  for (const flag of flags) {
    if (!known.includes(flag)) return err(`unknown regexp option "${flag}"`);
    if (!toggled.delete(flag)) toggled.add(flag);
  }
  const ignoreCase = !toggled.has('i');
  const multiline = toggled.has('m');
  if (type === 'regexp') return ok({ type, ignoreCase, multiline, isBasic: toggled.has('x') });
  return ok({
    type,
    ignoreCase,
    multiline,
    dotAll: !toggled.has('s'),
    extended: toggled.has('x'),
    anchored: toggled.has('A'),
    dollarEndOnly: toggled.has('E'),
    ungreedy: toggled.has('U'),
  });
}

/** `$1`, `${1}`, `$(1)` for groups, `$0` for the whole match, `$$` for a dollar. */
function readReplacement(text: string): Result<Replacement, string> {
  const parts: (string | number)[] = [];
  let at = 0;
  for (const match of text.matchAll(/\$(?:\$|(\w+)|\{([^}]*)\}|\(([^)]*)\))|\$/g)) {
    if (match.index > at) parts.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    const name = match[1] ?? match[2] ?? match[3];
    if (match[0] === '$$') parts.push('$');
    else if (name === undefined || name === '') return err('bad replacement syntax: empty $ name');
    else if (!/^\d+$/.test(name)) return err(`non-numeric replacement index "${name}"`);
    else if (Number(name) > 99) return err(`out of range replacement index "${name}"`);
    else parts.push(Number(name));
  }
  if (at < text.length) parts.push(text.slice(at));
  return ok(parts);
}
