/** Backslash sequences and classes of PCRE patterns. @see pcre2pattern(3) */
import { err, ok, type Result } from '../../util/result.ts';
import {
  addTo,
  CLASSES,
  complement,
  DIGIT,
  emptySet,
  foldSet,
  HORIZONTAL,
  NEWLINE,
  oneByte,
  SPACE,
  VERTICAL,
  WORD,
} from './byte-set.ts';
import type { Assertion, ByteSet } from './pattern-ast.ts';

type Meaning =
  | { readonly kind: 'byte'; readonly code: number }
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'assert'; readonly what: Assertion }
  /** Number or name of a group. */
  | { readonly kind: 'back'; readonly to: number | string }
  /** `\Q...\E`. */
  | { readonly kind: 'text'; readonly text: string }
  /** `\R`. */
  | { readonly kind: 'line-break' };

/** `next`: position behind it. */
export type Escape = Meaning & { readonly next: number };

const SETS: ReadonlyMap<string, ByteSet> = new Map([
  ['d', DIGIT],
  ['D', complement(DIGIT)],
  ['w', WORD],
  ['W', complement(WORD)],
  ['s', SPACE],
  ['S', complement(SPACE)],
  ['h', HORIZONTAL],
  ['H', complement(HORIZONTAL)],
  ['v', VERTICAL],
  ['V', complement(VERTICAL)],
  ['N', complement(NEWLINE)],
]);
const ASSERTIONS: ReadonlyMap<string, Assertion> = new Map([
  ['A', 'start'],
  ['G', 'start'],
  ['z', 'end'],
  ['Z', 'last-end'],
  ['b', 'word-edge'],
  ['B', 'no-word-edge'],
]);
const BYTES: ReadonlyMap<string, number> = new Map([
  ['a', 0x07],
  ['e', 0x1b],
  ['f', 0x0c],
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
]);

/** At a backslash outside classes. `groups`: how many have been opened so far. */
export function readEscape(source: string, at: number, groups: number): Result<Escape, string> {
  const char = source[at + 1];
  if (char === undefined) return err('\\ at end of pattern');
  const next = at + 2;
  const set = SETS.get(char);
  if (set) return ok({ kind: 'set', set, next });
  const what = ASSERTIONS.get(char);
  if (what) return ok({ kind: 'assert', what, next });
  if (char === 'R') return ok({ kind: 'line-break', next });
  if (char === 'Q') {
    const end = source.indexOf('\\E', next);
    const text = source.slice(next, end < 0 ? undefined : end);
    return ok({ kind: 'text', text, next: end < 0 ? source.length : end + 2 });
  }
  if (char === 'E') return ok({ kind: 'text', text: '', next });
  const rest = source.slice(at, at + 80);
  const numbered = /^\\g(?:(-?\d+)|\{(-?\d+)\})/.exec(rest);
  if (numbered) {
    const number = Number(numbered[1] ?? numbered[2]);
    const to = number < 0 ? groups + 1 + number : number;
    if (to < 1) return err('reference to non-existent subpattern');
    return ok({ kind: 'back', to, next: at + numbered[0].length });
  }
  const named = /^\\(?:g\{([A-Za-z_]\w*)\}|k(?:\{(\w+)\}|<(\w+)>|'(\w+)'))/.exec(rest);
  if (named) {
    const [whole, ...names] = named;
    return ok({ kind: 'back', to: names.find(Boolean) ?? '', next: at + whole.length });
  }
  const decimal = /^\\([1-9]\d*)/.exec(rest);
  // PCRE: a number below 10, or of a group that is open or closed, is a reference; else octal.
  if (decimal && (Number(decimal[1]) < 10 || Number(decimal[1]) <= groups)) {
    return ok({ kind: 'back', to: Number(decimal[1]), next: at + decimal[0].length });
  }
  return byteEscape(source, at);
}

/** A backslash that stands for one byte, in classes too. */
function byteEscape(source: string, at: number): Result<Escape, string> {
  const char = source[at + 1] ?? '';
  const known = BYTES.get(char);
  if (known !== undefined) return ok({ kind: 'byte', code: known, next: at + 2 });
  const rest = source.slice(at, at + 20);
  const forms: readonly [form: RegExp, base: number][] = [
    [/^\\x\{([\da-fA-F]+)\}/, 16],
    [/^\\x([\da-fA-F]{0,2})/, 16],
    [/^\\o\{([0-7]+)\}/, 8],
    [/^\\(0[0-7]{0,2}|[1-7][0-7]{0,2})/, 8],
  ];
  for (const [form, base] of forms) {
    const match = form.exec(rest);
    if (!match) continue;
    const code = Number.parseInt(match[1] === '' ? '0' : (match[1] ?? '0'), base);
    if (code > 0xff) return err(`character code point value in ${match[0]} is too large`);
    return ok({ kind: 'byte', code, next: at + match[0].length });
  }
  const control = /^\\c([ -~])/.exec(rest);
  if (control) {
    const code = (control[1] ?? '').toUpperCase().charCodeAt(0) ^ 0x40;
    return ok({ kind: 'byte', code, next: at + control[0].length });
  }
  if (/[a-zA-Z\d]/.test(char)) return err(`\\${char} is not supported`);
  return ok({ kind: 'byte', code: char.charCodeAt(0), next: at + 2 });
}

/** At a `[`. */
export function readClass(
  source: string,
  start: number,
  ignoreCase: boolean,
): Result<{ readonly set: ByteSet; readonly next: number }, string> {
  const set = emptySet();
  let at = start + 1;
  const isNegated = source[at] === '^';
  if (isNegated) at += 1;
  let isQuoted = false;
  for (let isFirst = true; ; isFirst = false) {
    if (source[at] === undefined) return err('missing terminating ] for character class');
    if (source.startsWith(isQuoted ? '\\E' : '\\Q', at)) {
      isQuoted = !isQuoted;
      at += 2;
      continue;
    }
    if (source[at] === ']' && !isFirst && !isQuoted) break;
    const from = readMember(source, at, isQuoted);
    if (!from.ok) return from;
    at = from.value.next;
    const isRange =
      !isQuoted && source[at] === '-' && !/^(?:\]|$)/.test(source.slice(at + 1, at + 2));
    if (!isRange || typeof from.value.is !== 'number') {
      addTo(set, typeof from.value.is === 'number' ? oneByte(from.value.is) : from.value.is);
      continue;
    }
    const to = readMember(source, at + 1, false);
    if (!to.ok) return to;
    if (typeof to.value.is !== 'number') return err('invalid range in character class');
    if (from.value.is > to.value.is) return err('range out of order in character class');
    for (let code = from.value.is; code <= to.value.is; code += 1) set[code] = 1;
    at = to.value.next;
  }
  const folded = ignoreCase ? foldSet(set) : set;
  return ok({ set: isNegated ? complement(folded) : folded, next: at + 1 });
}

type Member = { readonly is: number | ByteSet; readonly next: number };

function readMember(source: string, at: number, isQuoted: boolean): Result<Member, string> {
  const char = source[at] ?? '';
  const plain = ok({ is: char.charCodeAt(0), next: at + 1 });
  if (isQuoted) return plain;
  const posix = /^\[:(\^?)(\w+):\]/.exec(source.slice(at, at + 20));
  if (posix) {
    const members = CLASSES.get(posix[2] ?? '');
    if (!members) return err('unknown POSIX class name');
    return ok({ is: posix[1] ? complement(members) : members, next: at + posix[0].length });
  }
  if (/^\[[.=].*[.=]\]/.test(source.slice(at, at + 20))) {
    return err('POSIX collating elements are not supported');
  }
  if (char !== '\\') return plain;
  const escaped = source[at + 1] ?? '';
  if (escaped === 'b') return ok({ is: 0x08, next: at + 2 });
  const set = escaped === 'N' ? undefined : SETS.get(escaped);
  if (set) return ok({ is: set, next: at + 2 });
  const byte = byteEscape(source, at);
  if (!byte.ok) return byte;
  if (byte.value.kind !== 'byte') return err(`\\${escaped} is not supported in [ ]`);
  return ok({ is: byte.value.code, next: byte.value.next });
}
