/** Sets of bytes: the classes of POSIX and PCRE in the C locale. */
import type { ByteSet } from './pattern-ast.ts';

export const emptySet = (): ByteSet => new Uint8Array(256);

export function setOf(test: (code: number) => boolean): ByteSet {
  const set = emptySet();
  for (let code = 0; code < 256; code += 1) set[code] = test(code) ? 1 : 0;
  return set;
}

export const oneByte = (code: number): ByteSet => setOf((each) => each === code);

export const complement = (set: ByteSet): ByteSet => setOf((code) => set[code] === 0);

export function addTo(set: ByteSet, more: ByteSet): void {
  for (let code = 0; code < 256; code += 1) if (more[code] === 1) set[code] = 1;
}

/** With the other case of each ASCII letter. */
export const foldSet = (set: ByteSet): ByteSet =>
  setOf((code) => set[code] === 1 || set[otherCase(code)] === 1);

export function otherCase(code: number): number {
  if (code >= 0x41 && code <= 0x5a) return code + 0x20;
  return code >= 0x61 && code <= 0x7a ? code - 0x20 : code;
}

const between = (from: string, to: string): ByteSet =>
  setOf((code) => code >= from.charCodeAt(0) && code <= to.charCodeAt(0));

const union = (...sets: readonly ByteSet[]): ByteSet =>
  setOf((code) => sets.some((set) => set[code] === 1));

const UPPER = between('A', 'Z');
const LOWER = between('a', 'z');
export const DIGIT = between('0', '9');
const ALPHA = union(UPPER, LOWER);
const ALNUM = union(ALPHA, DIGIT);
export const WORD = union(ALNUM, oneByte(0x5f));
export const SPACE = union(oneByte(0x20), between('\t', '\r'));
export const HORIZONTAL = union(oneByte(0x20), oneByte(0x09), oneByte(0xa0));
export const VERTICAL = union(between('\n', '\r'), oneByte(0x85));
const GRAPH = between('!', '~');
export const NEWLINE = oneByte(0x0a);
export const ALL = setOf(() => true);

export const CLASSES: ReadonlyMap<string, ByteSet> = new Map([
  ['alnum', ALNUM],
  ['alpha', ALPHA],
  ['ascii', setOf((code) => code < 0x80)],
  ['blank', union(oneByte(0x20), oneByte(0x09))],
  ['cntrl', setOf((code) => code < 0x20 || code === 0x7f)],
  ['digit', DIGIT],
  ['graph', GRAPH],
  ['lower', LOWER],
  ['print', union(GRAPH, oneByte(0x20))],
  ['punct', setOf((code) => GRAPH[code] === 1 && ALNUM[code] === 0)],
  ['space', SPACE],
  ['upper', UPPER],
  ['word', WORD],
  ['xdigit', union(DIGIT, between('a', 'f'), between('A', 'F'))],
]);
