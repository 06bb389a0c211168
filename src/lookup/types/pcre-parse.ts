/**
 * PCRE patterns. Every construct is read or refused by name; none passes for something else.
 *
 * Refused: recursion and subroutine calls, conditionals, branch reset, verbs, callouts, `\K`, `\X`,
 * `\C`, Unicode properties, look-behind of variable length.
 *
 * @see pcre_table(5), pcre2pattern(3)
 */
import { err, ok, type Result } from '../../util/result.ts';
import { ALL, complement, foldSet, NEWLINE, oneByte, VERTICAL } from './byte-set.ts';
import {
  type Assertion,
  EMPTY,
  lengthOf,
  type Node,
  type Pattern,
  someNode,
} from './pattern-ast.ts';
import { type Escape, readClass, readEscape } from './pcre-escape.ts';

export type PcreFlags = {
  readonly ignoreCase: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
  readonly extended: boolean;
  readonly anchored: boolean;
  readonly dollarEndOnly: boolean;
  readonly ungreedy: boolean;
};

const MAX_REPEAT = 65_535;
const MAX_DEPTH = 250;

/** `source` is latin1 text. The reason of a refusal is for the administrator. */
export function parsePcre(source: string, flags: PcreFlags): Result<Pattern, string> {
  const parser = new Parser(source, flags);
  const root = parser.whole();
  if (parser.fault !== undefined) return err(parser.fault);
  return ok({ root, groups: parser.groups });
}

class Parser {
  readonly #source: string;
  readonly #names = new Map<string, number>();
  readonly #references: (number | string)[] = [];
  #flags: PcreFlags;
  #at = 0;
  #depth = 0;
  groups = 0;
  fault: string | undefined;

  constructor(source: string, flags: PcreFlags) {
    this.#source = source;
    this.#flags = flags;
  }

  whole(): Node {
    const start: Node = { kind: 'assert', what: 'start' };
    const isAnchored = this.#flags.anchored;
    const root = this.#alternatives();
    if (this.fault === undefined && this.#at < this.#source.length) {
      this.#refuse('unmatched closing parenthesis');
    }
    const known = (each: number | string): boolean =>
      typeof each === 'number' ? each <= this.groups : this.#names.has(each);
    if (!this.#references.every(known)) this.#refuse('reference to non-existent subpattern');
    const named = this.#named(root);
    return isAnchored ? { kind: 'seq', items: [start, named] } : named;
  }

  /** Names of groups that come later are known only now. */
  #named(node: Node): Node {
    const isPending = (each: Node): boolean => each.kind === 'back' && each.index < 0;
    if (!someNode(node, isPending)) return node;
    switch (node.kind) {
      case 'back': {
        const reference = this.#references[-node.index - 1] ?? 0;
        const index = typeof reference === 'string' ? this.#names.get(reference) : reference;
        return { ...node, index: index ?? 0 };
      }
      case 'seq':
        return { ...node, items: node.items.map((each) => this.#named(each)) };
      case 'alt':
        return { ...node, options: node.options.map((each) => this.#named(each)) };
      case 'set':
      case 'assert':
        return node;
      default:
        return { ...node, body: this.#named(node.body) };
    }
  }

  #alternatives(): Node {
    const options = [this.#branch()];
    while (this.#source[this.#at] === '|' && this.fault === undefined) {
      this.#at += 1;
      options.push(this.#branch());
    }
    return options.length === 1 ? (options[0] ?? EMPTY) : { kind: 'alt', options };
  }

  #branch(): Node {
    const items: Node[] = [];
    while (this.fault === undefined) {
      this.#skipComments();
      const char = this.#source[this.#at];
      if (char === undefined || char === '|' || char === ')') break;
      const atom = this.#atom(char);
      if (atom === 'option') continue;
      // Of quoted text a quantifier repeats the last character only.
      const quoted = char === '\\' && atom.kind === 'seq' ? atom.items : undefined;
      const last = quoted ? quoted.at(-1) : atom;
      if (quoted) items.push(...quoted.slice(0, -1));
      if (last) items.push(this.#repeated(last));
    }
    return items.length === 1 ? (items[0] ?? EMPTY) : { kind: 'seq', items };
  }

  #skipComments(): void {
    while (this.#flags.extended) {
      const blank = /^(?:[ \t-\r]+|#[^\n]*\n?)/.exec(this.#source.slice(this.#at));
      if (!blank) return;
      this.#at += blank[0].length;
    }
  }

  #atom(char: string): Node | 'option' {
    const { multiline, dotAll, dollarEndOnly } = this.#flags;
    if (char === '(') return this.#group();
    if (char === '[') return this.#class();
    if (char === '\\') return this.#escape();
    this.#at += 1;
    if (char === '.') return { kind: 'set', set: dotAll ? ALL : complement(NEWLINE) };
    if (char === '^') return { kind: 'assert', what: multiline ? 'line-start' : 'start' };
    if (char === '$') {
      const what: Assertion = multiline ? 'line-end' : dollarEndOnly ? 'end' : 'last-end';
      return { kind: 'assert', what };
    }
    if ('*+?'.includes(char)) return this.#refuse('quantifier does not follow a repeatable item');
    return this.#byte(char.charCodeAt(0));
  }

  #byte(code: number): Node {
    const set = oneByte(code);
    return { kind: 'set', set: this.#flags.ignoreCase ? foldSet(set) : set };
  }

  #repeated(atom: Node): Node {
    let node = atom;
    for (;;) {
      this.#skipComments();
      const match = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(this.#source.slice(this.#at));
      if (!match) return node;
      const [text] = match;
      this.#at += text.length;
      const [, low = '', comma = '', high = ''] = /^\{(\d+)(,?)(\d*)\}$/.exec(text) ?? [];
      const min = low === '' ? (text === '+' ? 1 : 0) : Number(low);
      const open = text === '?' ? 1 : Number.POSITIVE_INFINITY;
      const max = low === '' ? open : comma === '' ? min : high === '' ? open : Number(high);
      if (min > max) return this.#refuse('numbers out of order in {} quantifier');
      if (min > MAX_REPEAT || (max > MAX_REPEAT && max !== open)) {
        return this.#refuse('number too big in {} quantifier');
      }
      node = { kind: 'repeat', body: node, min, max, mode: this.#mode() };
    }
  }

  #mode(): 'greedy' | 'lazy' | 'possessive' {
    const sign = this.#source[this.#at];
    if (sign === '+' || sign === '?') this.#at += 1;
    if (sign === '+') return 'possessive';
    return (sign === '?') === this.#flags.ungreedy ? 'greedy' : 'lazy';
  }

  #class(): Node {
    const read = readClass(this.#source, this.#at, this.#flags.ignoreCase);
    if (!read.ok) return this.#refuse(read.error);
    this.#at = read.value.next;
    return { kind: 'set', set: read.value.set };
  }

  #escape(): Node {
    const read = readEscape(this.#source, this.#at, this.groups);
    if (!read.ok) return this.#refuse(read.error);
    this.#at = read.value.next;
    return this.#meant(read.value);
  }

  #meant(read: Escape): Node {
    switch (read.kind) {
      case 'byte':
        return this.#byte(read.code);
      case 'set':
        return { kind: 'set', set: read.set };
      case 'assert':
        return { kind: 'assert', what: read.what };
      case 'back':
        return this.#reference(read.to);
      case 'text':
        return {
          kind: 'seq',
          items: [...read.text].map((char) => this.#byte(char.charCodeAt(0))),
        };
      case 'line-break': {
        const crlf: Node = { kind: 'seq', items: [this.#byte(0x0d), this.#byte(0x0a)] };
        const options: Node[] = [crlf, { kind: 'set', set: VERTICAL }];
        return { kind: 'atomic', body: { kind: 'alt', options } };
      }
    }
  }

  #reference(to: number | string): Node {
    this.#references.push(to);
    return { kind: 'back', index: -this.#references.length, ignoreCase: this.#flags.ignoreCase };
  }

  #group(): Node | 'option' {
    const rest = this.#source.slice(this.#at, this.#at + 80);
    const flags = this.#flags;
    if (rest.startsWith('(*')) return this.#refuse('(*VERB) is not supported');
    if (!rest.startsWith('(?')) return this.#capture(1, undefined);
    if (rest.startsWith('(?#')) {
      const end = this.#source.indexOf(')', this.#at);
      if (end < 0) return this.#refuse('missing ) after (?# comment');
      this.#at = end + 1;
      return 'option';
    }
    const named = /^\(\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')/.exec(rest);
    if (named) return this.#capture(named[0].length, named[1] ?? named[2]);
    const reference = /^\(\?P=(\w+)\)/.exec(rest);
    if (reference) {
      this.#at += reference[0].length;
      return this.#reference(reference[1] ?? '');
    }
    const look = /^\(\?(<?)([=!])/.exec(rest);
    if (look) return this.#look(look[0].length, look[1] === '<', look[2] === '!');
    const atomic = rest.startsWith('(?>');
    const option = /^\(\?([imsxU]*)(?:-([imsxU]+))?([:)])/.exec(rest);
    if (!atomic && !option) return this.#refuse(`${rest.slice(0, 4)} is not supported`);
    this.#at += atomic ? 3 : (option?.[0].length ?? 0);
    if (option) this.#flags = withOptions(flags, option[1] ?? '', option[2] ?? '');
    // Set for the rest of the group around it.
    if (option?.[3] === ')') return 'option';
    const body = this.#inner();
    this.#flags = flags;
    return atomic ? { kind: 'atomic', body } : body;
  }

  #capture(length: number, name: string | undefined): Node {
    this.#at += length;
    this.groups += 1;
    const index = this.groups;
    if (name !== undefined && this.#names.has(name)) {
      return this.#refuse('two named subpatterns have the same name');
    }
    if (name !== undefined) this.#names.set(name, index);
    const flags = this.#flags;
    const body = this.#inner();
    this.#flags = flags;
    return { kind: 'group', index, body };
  }

  #look(length: number, isBehind: boolean, isNegative: boolean): Node {
    this.#at += length;
    const flags = this.#flags;
    const body = this.#inner();
    this.#flags = flags;
    const options = body.kind === 'alt' ? body.options : [body];
    const isFixed = options.every((option) => {
      const { min, max } = lengthOf(option);
      return min === max;
    });
    if (isBehind && !isFixed) return this.#refuse('lookbehind assertion is not fixed length');
    return { kind: 'look', isBehind, isNegative, body };
  }

  /** What is in a group, and its end. */
  #inner(): Node {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) return this.#refuse('parentheses are too deeply nested');
    const body = this.#alternatives();
    this.#depth -= 1;
    if (this.#source[this.#at] !== ')') return this.#refuse('missing closing parenthesis');
    this.#at += 1;
    return body;
  }

  #refuse(reason: string): Node {
    this.fault ??= reason;
    this.#at = this.#source.length;
    return EMPTY;
  }
}

function withOptions(flags: PcreFlags, on: string, off: string): PcreFlags {
  const is = (letter: string, now: boolean): boolean =>
    off.includes(letter) ? false : on.includes(letter) || now;
  return {
    ...flags,
    ignoreCase: is('i', flags.ignoreCase),
    multiline: is('m', flags.multiline),
    dotAll: is('s', flags.dotAll),
    extended: is('x', flags.extended),
    ungreedy: is('U', flags.ungreedy),
  };
}
