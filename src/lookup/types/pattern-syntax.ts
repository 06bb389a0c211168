/**
 * POSIX extended and PCRE patterns as JavaScript ones.
 *
 * Every construct is translated or refused; none passes through to mean something else. Case is
 * folded by writing both letters, since V8's linear engine takes over a runaway match only
 * without the flags `i` and `u`. Known difference: alternatives are leftmost-first in both types,
 * where POSIX wants the longest match.
 *
 * @see regexp_table(5), pcre_table(5), reference of ECMAScript RegExp
 */
import { err, ok, type Result } from '../../util/result.ts';

export type Dialect = {
  readonly type: 'regexp' | 'pcre';
  readonly ignoreCase: boolean;
  /** `^` and `$` also match at line breaks. */
  readonly multiline: boolean;
  /** `.` matches a line break. */
  readonly dotAll: boolean;
  /** White space and comments are ignored (pcre x). */
  readonly extended: boolean;
};

export type Translated = {
  readonly regexp: RegExp;
  readonly groups: number;
  /** The linear engine cannot take over (look-around or back-reference around a repeated group). */
  readonly mayRunAway: boolean;
};

const CLASSES: ReadonlyMap<string, string> = new Map([
  ['alnum', 'A-Za-z0-9'],
  ['alpha', 'A-Za-z'],
  ['blank', ' \\t'],
  ['cntrl', '\\x00-\\x1f\\x7f'],
  ['digit', '0-9'],
  ['graph', '\\x21-\\x7e'],
  ['lower', 'a-z'],
  ['print', '\\x20-\\x7e'],
  ['punct', '!-\\/:-@\\[-`{-~'],
  ['space', ' \\t-\\r'],
  ['upper', 'A-Z'],
  ['word', '\\w'],
  ['xdigit', 'A-Fa-f0-9'],
]);

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['A', '(?<![\\s\\S])'],
  ['z', '(?![\\s\\S])'],
  ['Z', '(?=\\n?(?![\\s\\S]))'],
  ['h', '[ \\t\\xa0]'],
  ['a', '\\x07'],
  ['e', '\\x1b'],
  ['<', '\\b(?=\\w)'],
  ['>', '\\b(?<=\\w)'],
]);
const SAME_ESCAPES = 'dDwWsSbBnrtfv';

/** The state of one translation: a position and what has been seen. */
type Scan = {
  readonly source: string;
  readonly dialect: Dialect;
  at: number;
  groups: number;
  hasLookaround: boolean;
  hasBackReference: boolean;
};

/** The reason of a refusal is for the administrator. */
export function translate(source: string, dialect: Dialect): Result<Translated, string> {
  const start = /^\(\?([ims]+)\)/.exec(dialect.type === 'pcre' ? source : '');
  const flags = start?.[1] ?? '';
  const full: Dialect = {
    ...dialect,
    ignoreCase: dialect.ignoreCase || flags.includes('i'),
    multiline: dialect.multiline || flags.includes('m'),
    dotAll: dialect.dotAll || flags.includes('s'),
  };
  const rest = source.slice(start?.[0].length ?? 0);
  const scan: Scan = {
    source: rest,
    dialect: full,
    at: 0,
    groups: 0,
    hasLookaround: false,
    hasBackReference: false,
  };
  let out = '';
  while (scan.at < rest.length) {
    const piece = next(scan);
    if (!piece.ok) return piece;
    out += piece.value;
  }
  const { groups, hasLookaround, hasBackReference } = scan;
  const jsFlags =
    (full.multiline ? 'm' : '') +
    (full.dotAll ? 's' : '') +
    (hasBackReference && full.ignoreCase ? 'i' : '');
  const mayRunAway = (hasLookaround || hasBackReference) && /\)[*+{]/.test(out);
  try {
    return ok({ regexp: new RegExp(out, jsFlags), groups, mayRunAway });
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

function next(scan: Scan): Result<string, string> {
  const char = scan.source[scan.at] ?? '';
  if (char === '\\') return escapeOf(scan);
  if (char === '[') return bracket(scan);
  if (char === '(') return group(scan);
  if ('*+?}'.includes(char) && scan.source[scan.at + 1] === '+' && scan.dialect.type === 'pcre') {
    return err('possessive quantifiers are not supported');
  }
  if (char === '{') return ok(brace(scan));
  scan.at += 1;
  if (scan.dialect.extended && /\s/.test(char)) return ok('');
  if (scan.dialect.extended && char === '#') {
    const end = scan.source.indexOf('\n', scan.at);
    scan.at = end < 0 ? scan.source.length : end + 1;
    return ok('');
  }
  if ('^$.*+?|)}'.includes(char)) return ok(char);
  return ok(letter(char, scan.dialect));
}

/** `{n}`, `{n,}`, `{n,m}`, `{,m}`; any other brace is itself. */
function brace(scan: Scan): string {
  const match = /^\{(\d*)(,?)(\d*)\}/.exec(scan.source.slice(scan.at));
  const [whole = '', from = '', comma = '', to = ''] = match ?? [];
  if (whole === '' || (from === '' && to === '')) {
    scan.at += 1;
    return '\\{';
  }
  scan.at += whole.length;
  return `{${from === '' ? '0' : from}${comma}${to}}`;
}

function escapeOf(scan: Scan): Result<string, string> {
  const char = scan.source[scan.at + 1];
  if (char === undefined) return err('trailing backslash');
  scan.at += 2;
  if (char >= '1' && char <= '9') {
    scan.hasBackReference = true;
    return ok(`\\${char}`);
  }
  const known = ESCAPES.get(char);
  if (known !== undefined) {
    if (known.includes('(?')) scan.hasLookaround = true;
    return ok(known);
  }
  if (SAME_ESCAPES.includes(char)) return ok(`\\${char}`);
  if (char === 'x') return ok(hexEscape(scan));
  if (char === '0') return ok('\\x00');
  if (char === 'Q') return ok(quoted(scan));
  if (/[a-z]/i.test(char)) return err(`\\${char} is not supported`);
  return ok(literal(char));
}

function hexEscape(scan: Scan): string {
  const match = /^(?:\{([\da-f]{1,4})\}|([\da-f]{1,2}))/i.exec(scan.source.slice(scan.at));
  scan.at += match?.[0].length ?? 0;
  const code = Number.parseInt(match?.[1] ?? match?.[2] ?? '0', 16);
  return `\\u${code.toString(16).padStart(4, '0')}`;
}

function quoted(scan: Scan): string {
  const end = scan.source.indexOf('\\E', scan.at);
  const text = scan.source.slice(scan.at, end < 0 ? undefined : end);
  scan.at = end < 0 ? scan.source.length : end + 2;
  return [...text].map((char) => letter(char, scan.dialect)).join('');
}

function group(scan: Scan): Result<string, string> {
  const rest = scan.source.slice(scan.at);
  if (rest.startsWith('(*')) return err('(*VERB) is not supported');
  if (!rest.startsWith('(?') || scan.dialect.type === 'regexp') {
    scan.at += 1;
    scan.groups += 1;
    return ok('(');
  }
  const comment = /^\(\?#[^)]*\)/.exec(rest)?.[0];
  if (comment) {
    scan.at += comment.length;
    return ok('');
  }
  const named = /^\(\?P?<([A-Za-z_]\w*)>/.exec(rest);
  if (named) {
    scan.at += named[0].length;
    scan.groups += 1;
    return ok(`(?<${named[1]}>`);
  }
  const reference = /^\(\?P=(\w+)\)/.exec(rest);
  if (reference) {
    scan.at += reference[0].length;
    scan.hasBackReference = true;
    return ok(`\\k<${reference[1]}>`);
  }
  const opening = /^\(\?(?::|<?[=!])/.exec(rest)?.[0];
  if (!opening) return err(`${rest.slice(0, 4)} is not supported`);
  scan.at += opening.length;
  if (opening !== '(?:') scan.hasLookaround = true;
  return ok(opening);
}

/** `[...]` with POSIX classes. In POSIX a backslash within is itself, in PCRE it escapes. */
function bracket(scan: Scan): Result<string, string> {
  const { source, dialect } = scan;
  let at = scan.at + 1;
  let out = '[';
  if (source[at] === '^') {
    out += '^';
    at += 1;
  }
  for (let first = true; at < source.length; first = false) {
    const char = source[at] ?? '';
    if (char === ']' && !first) {
      scan.at = at + 1;
      return ok(`${out}]`);
    }
    const posix = /^\[:(\^?)(\w+):\]/.exec(source.slice(at));
    if (posix) {
      const members = CLASSES.get(posix[2] ?? '');
      if (!members || posix[1]) return err(`${posix[0]} is not supported`);
      const folds = dialect.ignoreCase && /upper|lower/.test(posix[0]);
      out += folds ? 'A-Za-z' : members;
      at += posix[0].length;
      continue;
    }
    if (/^\[[.=]/.test(source.slice(at))) return err('collating elements are not supported');
    const member = classMember(source, at, dialect);
    if (!member.ok) return member;
    out += member.value.text;
    at += member.value.length;
  }
  return err('missing ]');
}

type Member = { readonly text: string; readonly length: number };

/** One character, escape or range of a class. */
function classMember(source: string, at: number, dialect: Dialect): Result<Member, string> {
  const from = classChar(source, at, dialect);
  if (!from.ok) return from;
  const { length, char } = from.value;
  const isRange = source[at + length] === '-' && !/^(?:\]|$)/.test(source.slice(at + length + 1));
  if (!isRange || char === undefined) {
    const text = char === undefined ? from.value.text : both(char, dialect);
    return ok({ text, length });
  }
  const to = classChar(source, at + length + 1, dialect);
  if (!to.ok) return to;
  if (to.value.char === undefined) return err('bad range in [ ]');
  return ok({
    text: range(char, to.value.char, dialect),
    length: length + 1 + to.value.length,
  });
}

type ClassChar = { readonly text: string; readonly char?: string; readonly length: number };

function classChar(source: string, at: number, dialect: Dialect): Result<ClassChar, string> {
  const char = source[at] ?? '';
  if (char !== '\\' || dialect.type === 'regexp') return ok({ text: char, char, length: 1 });
  const escaped = source[at + 1] ?? '';
  if (escaped === 'h') return ok({ text: ' \\t', length: 2 });
  const hex = /^\\x(?:\{([\da-f]{1,4})\}|([\da-f]{1,2}))/i.exec(source.slice(at));
  if (hex) {
    const code = Number.parseInt(hex[1] ?? hex[2] ?? '0', 16);
    return ok({ text: '', char: String.fromCharCode(code), length: hex[0].length });
  }
  if ('dDwWsSbnrtf'.includes(escaped)) return ok({ text: `\\${escaped}`, length: 2 });
  if (/[a-z\d]/i.test(escaped)) return err(`\\${escaped} in [ ] is not supported`);
  return ok({ text: escaped, char: escaped, length: 2 });
}

const classLiteral = (char: string): string => (/[\\\]^[-]/.test(char) ? `\\${char}` : char);

function both(char: string, dialect: Dialect): string {
  const other = dialect.ignoreCase ? otherCase(char) : undefined;
  return classLiteral(char) + (other === undefined ? '' : classLiteral(other));
}

function range(from: string, to: string, dialect: Dialect): string {
  const plain = `${classLiteral(from)}-${classLiteral(to)}`;
  if (!dialect.ignoreCase) return plain;
  let out = plain;
  for (const letters of ['az', 'AZ']) {
    const low = from > (letters[0] ?? '') ? from : (letters[0] ?? '');
    const high = to < (letters[1] ?? '') ? to : (letters[1] ?? '');
    if (low <= high) out += `${otherCase(low) ?? low}-${otherCase(high) ?? high}`;
  }
  return out;
}

function letter(char: string, dialect: Dialect): string {
  const other = dialect.ignoreCase ? otherCase(char) : undefined;
  return other === undefined ? literal(char) : `[${char}${other}]`;
}

const literal = (char: string): string => char.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

function otherCase(char: string): string | undefined {
  const upper = char.toUpperCase();
  const lower = char.toLowerCase();
  const other = upper === char ? lower : upper;
  return other.length === 1 && other !== char ? other : undefined;
}
