/**
 * POSIX extended and basic patterns, as the C library reads them: `\n` is the letter n, a brace
 * that is no interval is an error, an unmatched `)` is itself, `*` repeats nothing at the start.
 *
 * @see regexp_table(5), regex(7), POSIX.1 chapter 9
 */
import { err, ok, type Result } from '../../util/result.ts';
import {
  ALL,
  addTo,
  CLASSES,
  complement,
  emptySet,
  foldSet,
  NEWLINE,
  oneByte,
  SPACE,
  WORD,
} from './byte-set.ts';
import { type Assertion, type ByteSet, EMPTY, type Node, type Pattern } from './pattern-ast.ts';

export type PosixFlags = {
  readonly ignoreCase: boolean;
  /** REG_NEWLINE: lines are apart. */
  readonly multiline: boolean;
  /** Basic instead of extended syntax. */
  readonly isBasic: boolean;
};

/** Longest repetition that the C library takes. */
const DUP_MAX = 32_767;

const ANCHORS: ReadonlyMap<string, Assertion> = new Map([
  ['b', 'word-edge'],
  ['B', 'no-word-edge'],
  ['<', 'word-start'],
  ['>', 'word-end'],
  ['`', 'start'],
  ["'", 'end'],
]);
const SETS: ReadonlyMap<string, ByteSet> = new Map([
  ['w', WORD],
  ['W', complement(WORD)],
  ['s', SPACE],
  ['S', complement(SPACE)],
]);

type Token =
  | { readonly kind: 'char'; readonly code: number }
  | { readonly kind: 'open' | 'close' | 'or' | 'any' | 'bracket' | 'brace' | 'caret' | 'dollar' }
  | { readonly kind: 'dup'; readonly min: number; readonly max: number }
  | { readonly kind: 'assert'; readonly what: Assertion }
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'back'; readonly index: number }
  | { readonly kind: 'end' };

/** `source` is latin1 text. The reason of a refusal is for the administrator. */
export function parsePosix(source: string, flags: PosixFlags): Result<Pattern, string> {
  const parser = new Parser(source, flags);
  const root = parser.alternatives(0);
  const { fault, groups } = parser;
  return fault === undefined ? ok({ root, groups }) : err(fault);
}

/** The first fault ends the walk: from then on every token is the end. */
class Parser {
  readonly #source: string;
  readonly #flags: PosixFlags;
  readonly #closed = new Set<number>();
  #at = 0;
  groups = 0;
  fault: string | undefined;

  constructor(source: string, flags: PosixFlags) {
    this.#source = source;
    this.#flags = flags;
  }

  alternatives(depth: number): Node {
    const options = [this.#branch(depth)];
    while (this.#peek().token.kind === 'or') {
      this.#next();
      options.push(this.#branch(depth));
    }
    return options.length === 1 ? (options[0] ?? EMPTY) : { kind: 'alt', options };
  }

  #branch(depth: number): Node {
    const items: Node[] = [];
    for (;;) {
      const { token } = this.#peek(items.length === 0);
      if (token.kind === 'end' || token.kind === 'or') break;
      // Basic syntax knows no literal `\)`.
      if (token.kind === 'close' && depth > 0) break;
      items.push(this.#expression(depth, items.length === 0));
    }
    return items.length === 1 ? (items[0] ?? EMPTY) : { kind: 'seq', items };
  }

  #expression(depth: number, isFirst: boolean): Node {
    const token = this.#next(isFirst);
    let node: Node;
    switch (token.kind) {
      case 'assert':
        return { kind: 'assert', what: token.what };
      case 'caret':
        return { kind: 'assert', what: this.#flags.multiline ? 'line-start' : 'start' };
      case 'dollar':
        return { kind: 'assert', what: this.#flags.multiline ? 'line-end' : 'end' };
      case 'dup':
      case 'brace':
        return this.#refuse('Invalid preceding regular expression');
      case 'open':
        node = this.#group(depth);
        break;
      case 'close':
        if (this.#flags.isBasic) return this.#refuse('Unmatched ) or \\)');
        node = this.#byte(0x29);
        break;
      case 'any':
        node = { kind: 'set', set: this.#flags.multiline ? complement(NEWLINE) : ALL };
        break;
      case 'bracket':
        node = this.#bracket();
        break;
      case 'set':
        node = { kind: 'set', set: token.set };
        break;
      case 'back':
        if (!this.#closed.has(token.index)) return this.#refuse('Invalid back reference');
        node = { kind: 'back', index: token.index, ignoreCase: this.#flags.ignoreCase };
        break;
      case 'char':
        node = this.#byte(token.code);
        break;
      default:
        return EMPTY;
    }
    return this.#repeated(node);
  }

  #repeated(atom: Node): Node {
    let node = atom;
    for (;;) {
      const { token } = this.#peek();
      if (token.kind === 'dup') {
        this.#next();
        node = { kind: 'repeat', body: node, min: token.min, max: token.max, mode: 'greedy' };
      } else if (token.kind === 'brace') {
        this.#next();
        const interval = this.#interval();
        if (!interval) return node;
        node = { kind: 'repeat', body: node, ...interval, mode: 'greedy' };
      } else return node;
    }
  }

  #interval(): { readonly min: number; readonly max: number } | undefined {
    const form = this.#flags.isBasic ? /(\d*)(,?)(\d*)\\\}/y : /(\d*)(,?)(\d*)\}/y;
    form.lastIndex = this.#at;
    const match = form.exec(this.#source);
    const [whole = '', from = '', comma = '', to = ''] = match ?? [];
    if (!match || (from === '' && comma === '')) {
      const isOpen = this.#source.indexOf('}', this.#at) < 0;
      this.#refuse(isOpen ? 'Unmatched { or \\{' : 'Invalid content of \\{\\}');
      return undefined;
    }
    this.#at += whole.length;
    const min = from === '' ? 0 : Number(from);
    const max = comma === '' ? min : to === '' ? Number.POSITIVE_INFINITY : Number(to);
    if (min <= max && min <= DUP_MAX && (max <= DUP_MAX || to === '')) return { min, max };
    this.#refuse(min > max ? 'Invalid content of \\{\\}' : 'Regular expression too big');
    return undefined;
  }

  #group(depth: number): Node {
    this.groups += 1;
    const index = this.groups;
    const body = this.alternatives(depth + 1);
    if (this.#next().kind !== 'close') return this.#refuse('Unmatched ( or \\(');
    this.#closed.add(index);
    return { kind: 'group', index, body };
  }

  #byte(code: number): Node {
    const set = oneByte(code);
    return { kind: 'set', set: this.#flags.ignoreCase ? foldSet(set) : set };
  }

  #refuse(reason: string): Node {
    this.fault ??= reason;
    return EMPTY;
  }

  #next(isFirst = false): Token {
    const { token, length } = this.#peek(isFirst);
    this.#at += length;
    return token;
  }

  /** `isFirst`: nothing stands before it in its branch (matters to basic syntax). */
  #peek(isFirst = false): { readonly token: Token; readonly length: number } {
    const one = (token: Token) => ({ token, length: 1 });
    const char = this.#source[this.#at];
    if (char === undefined || this.fault !== undefined)
      return { token: { kind: 'end' }, length: 0 };
    if (char === '\\') return this.#escape();
    if (char === '.') return one({ kind: 'any' });
    if (char === '[') return one({ kind: 'bracket' });
    const { isBasic } = this.#flags;
    if (char === '*' && !(isBasic && isFirst)) return one({ kind: 'dup', min: 0, max: INFINITE });
    if (char === '^' && (!isBasic || isFirst)) return one({ kind: 'caret' });
    if (char === '$' && (!isBasic || /^(?:$|\\\)|\\\|)/.test(this.#source.slice(this.#at + 1)))) {
      return one({ kind: 'dollar' });
    }
    const operator = isBasic ? undefined : OPERATORS.get(char);
    return one(operator ?? { kind: 'char', code: char.charCodeAt(0) });
  }

  #escape(): { readonly token: Token; readonly length: number } {
    const two = (token: Token) => ({ token, length: 2 });
    const char = this.#source[this.#at + 1];
    if (char === undefined) {
      this.#refuse('Trailing backslash');
      return { token: { kind: 'end' }, length: 0 };
    }
    const what = ANCHORS.get(char);
    if (what) return two({ kind: 'assert', what });
    const set = SETS.get(char);
    if (set) return two({ kind: 'set', set });
    if (char >= '1' && char <= '9') return two({ kind: 'back', index: Number(char) });
    const operator = this.#flags.isBasic ? OPERATORS.get(char) : undefined;
    return two(operator ?? { kind: 'char', code: char.charCodeAt(0) });
  }

  #bracket(): Node {
    const set = emptySet();
    const isNegated = this.#source[this.#at] === '^';
    if (isNegated) this.#at += 1;
    for (let isFirst = true; ; isFirst = false) {
      const char = this.#source[this.#at];
      if (char === undefined) return this.#refuse('Unmatched [, [^, [:, [., or [=');
      if (char === ']' && !isFirst) break;
      const from = this.#member();
      if (from === undefined) return EMPTY;
      const isRange = this.#source[this.#at] === '-' && this.#source[this.#at + 1] !== ']';
      if (!isRange) {
        addTo(set, typeof from === 'number' ? oneByte(from) : from);
        continue;
      }
      this.#at += 1;
      const to = this.#member();
      if (to === undefined) return EMPTY;
      if (typeof from !== 'number' || typeof to !== 'number' || from > to) {
        return this.#refuse('Invalid range end');
      }
      for (let code = from; code <= to; code += 1) set[code] = 1;
    }
    this.#at += 1;
    const folded = this.#flags.ignoreCase ? foldSet(set) : set;
    const whole = isNegated ? complement(folded) : folded;
    if (isNegated && this.#flags.multiline) whole[0x0a] = 0;
    return { kind: 'set', set: whole };
  }

  /** A byte, or a class. */
  #member(): number | ByteSet | undefined {
    const named = /\[([:.=])([\s\S]*?)\1\]/y;
    named.lastIndex = this.#at;
    const match = named.exec(this.#source);
    if (!match) {
      const code = this.#source.charCodeAt(this.#at);
      this.#at += 1;
      if (!Number.isNaN(code)) return code;
      this.#refuse('Unmatched [, [^, [:, [., or [=');
      return undefined;
    }
    const [whole, sort, name = ''] = match;
    this.#at += whole.length;
    const members = sort === ':' ? POSIX_CLASSES.get(name) : undefined;
    if (members) return members;
    if (sort !== ':' && name.length === 1) return name.charCodeAt(0);
    this.#refuse(sort === ':' ? 'Invalid character class name' : 'Invalid collation character');
    return undefined;
  }
}

const INFINITE = Number.POSITIVE_INFINITY;
const POSIX_CLASSES: ReadonlyMap<string, ByteSet> = new Map(
  [...CLASSES].filter(([name]) => name !== 'word' && name !== 'ascii'),
);
const OPERATORS: ReadonlyMap<string, Token> = new Map<string, Token>([
  ['(', { kind: 'open' }],
  [')', { kind: 'close' }],
  ['|', { kind: 'or' }],
  ['{', { kind: 'brace' }],
  ['+', { kind: 'dup', min: 1, max: INFINITE }],
  ['?', { kind: 'dup', min: 0, max: 1 }],
]);
