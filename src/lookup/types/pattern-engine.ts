/**
 * A backtracking matcher that counts its steps: for patterns that V8 cannot stop once they run away
 * (look-around, back-references, atomic groups) and for captures that JavaScript forgets (a group
 * within a repeat keeps its last value here, as in PCRE and in the C library).
 *
 * A spent budget is an answer of its own, never "no match".
 */
import { type Assertion, lengthOf, type Node, type Pattern } from './pattern-ast.ts';

/** Positions of group n at 2n and 2n + 1; -1 for a group that took no part. */
export type Captures = Int32Array;

export type Steps = { left: number };

type Run = {
  readonly subject: string;
  readonly captures: Captures;
  readonly steps: Steps;
};
type Next = (at: number) => boolean;
type Matcher = (run: Run, at: number, next: Next) => boolean;

/** `wantedEnd`: only a match that ends there counts. */
export type Engine = (
  subject: string,
  from: number,
  steps: Steps,
  wantedEnd?: number,
) => Captures | null | 'spent';

/**
 * Find the first match at or after `from`. In PCRE the last turn of a repeat may take nothing; in the
 * C library such a turn does not happen (`dropsEmpty`).
 */
export function engineOf({ root, groups }: Pattern, dropsEmpty: boolean): Engine {
  const matcher = compile(root, dropsEmpty);
  const isAnchored = startsAtStart(root);
  const search: Engine = (subject, from, steps, wantedEnd) => {
    const captures: Captures = new Int32Array(2 * (groups + 1)).fill(-1);
    const run: Run = { subject, captures, steps };
    for (let at = from; at <= subject.length; at += 1) {
      const isFound = matcher(run, at, (end) => {
        if (wantedEnd !== undefined && end !== wantedEnd) return false;
        captures[0] = at;
        captures[1] = end;
        return true;
      });
      if (steps.left <= 0) return 'spent';
      if (isFound) return captures;
      if (isAnchored) return null;
      captures.fill(-1);
    }
    return null;
  };
  return (...words) => {
    try {
      return search(...words);
    } catch (error) {
      // A match is as deep as it is long; one that fills the stack has used up what it may.
      if (error instanceof RangeError) return 'spent';
      throw error;
    }
  };
}

/** Whether a match can only be at the very beginning. */
export function startsAtStart(node: Node): boolean {
  switch (node.kind) {
    case 'assert':
      return node.what === 'start';
    case 'seq':
      return node.items[0] !== undefined && startsAtStart(node.items[0]);
    case 'alt':
      return node.options.every(startsAtStart);
    case 'group':
    case 'atomic':
      return startsAtStart(node.body);
    default:
      return false;
  }
}

/** False once the steps are used up: everything then fails, quickly. */
function step(run: Run): boolean {
  run.steps.left -= 1;
  return run.steps.left > 0;
}

function compile(node: Node, dropsEmpty: boolean): Matcher {
  const inner = (each: Node): Matcher => compile(each, dropsEmpty);
  switch (node.kind) {
    case 'set': {
      const { set } = node;
      return (run, at, next) => step(run) && set[run.subject.charCodeAt(at)] === 1 && next(at + 1);
    }
    case 'assert': {
      const { what } = node;
      return (run, at, next) => step(run) && holds(what, run.subject, at) && next(at);
    }
    case 'seq':
      return sequence(node.items.map(inner));
    case 'alt': {
      const options = node.options.map(inner);
      return (run, at, next) => step(run) && options.some((option) => option(run, at, next));
    }
    case 'group':
      return group(node.index, inner(node.body));
    case 'repeat':
      return repeat(node, dropsEmpty);
    case 'atomic':
      return atomic(inner(node.body));
    case 'look':
      return node.isBehind ? behind(node, inner) : ahead(inner(node.body), node.isNegative);
    case 'back':
      return back(node.index, node.ignoreCase);
  }
}

function sequence(items: readonly Matcher[]): Matcher {
  return items.reduceRight<Matcher>(
    (rest, item) => (run, at, next) => item(run, at, (middle) => rest(run, middle, next)),
    (_run, at, next) => next(at),
  );
}

function group(index: number, body: Matcher): Matcher {
  return (run, at, next) => {
    const { captures } = run;
    const start = captures[2 * index] ?? -1;
    const end = captures[2 * index + 1] ?? -1;
    const isFound = body(run, at, (stop) => {
      const [innerStart = -1, innerEnd = -1] = captures.subarray(2 * index, 2 * index + 2);
      captures[2 * index] = at;
      captures[2 * index + 1] = stop;
      if (next(stop)) return true;
      captures[2 * index] = innerStart;
      captures[2 * index + 1] = innerEnd;
      return false;
    });
    if (isFound) return true;
    captures[2 * index] = start;
    captures[2 * index + 1] = end;
    return false;
  };
}

function repeat(node: Extract<Node, { kind: 'repeat' }>, dropsEmpty: boolean): Matcher {
  const { body, min, max, mode } = node;
  if (mode === 'possessive') return atomic(repeat({ ...node, mode: 'greedy' }, dropsEmpty));
  if (body.kind === 'set') return repeatSet(body.set, min, max, mode);
  const one = compile(body, dropsEmpty);
  const again = (run: Run, at: number, count: number, next: Next): boolean => {
    if (!step(run)) return false;
    const more = (): boolean => {
      if (count >= max) return false;
      return one(run, at, (end) => {
        // A turn that took nothing is the last one.
        if (end === at && count >= min) return !dropsEmpty && next(end);
        return again(run, end, count + 1, next);
      });
    };
    if (count < min) return more();
    return mode === 'greedy' ? more() || next(at) : next(at) || more();
  };
  return (run, at, next) => again(run, at, 0, next);
}

function repeatSet(set: Uint8Array, min: number, max: number, mode: 'greedy' | 'lazy'): Matcher {
  const fits = (run: Run, at: number): boolean => set[run.subject.charCodeAt(at)] === 1;
  if (mode === 'greedy') {
    return (run, at, next) => {
      let end = at;
      while (end - at < max && fits(run, end) && step(run)) end += 1;
      for (; end - at >= min; end -= 1) {
        if (!step(run)) return false;
        if (next(end)) return true;
      }
      return false;
    };
  }
  return (run, at, next) => {
    for (let end = at; ; end += 1) {
      if (!step(run)) return false;
      if (end - at >= min && next(end)) return true;
      if (end - at >= max || !fits(run, end)) return false;
    }
  };
}

/** Matched once; what was found stays. */
function atomic(body: Matcher): Matcher {
  return (run, at, next) => {
    const before = run.captures.slice();
    let end = -1;
    const isFound = body(run, at, (stop) => {
      end = stop;
      return true;
    });
    if (isFound && next(end)) return true;
    run.captures.set(before);
    return false;
  };
}

function ahead(body: Matcher, isNegative: boolean): Matcher {
  return (run, at, next) => {
    const before = run.captures.slice();
    const isFound = body(run, at, () => true);
    if (run.steps.left <= 0) return false;
    if (isNegative) run.captures.set(before);
    if (isFound !== isNegative && next(at)) return true;
    run.captures.set(before);
    return false;
  };
}

/** Each alternative has one length: it is matched forward from that far back. */
function behind(node: Extract<Node, { kind: 'look' }>, inner: (each: Node) => Matcher): Matcher {
  const options = node.body.kind === 'alt' ? node.body.options : [node.body];
  const tries = options.map((option) => ({
    length: lengthOf(option).min,
    matcher: inner(option),
  }));
  return (run, at, next) => {
    const before = run.captures.slice();
    const isFound = tries.some(
      ({ length, matcher }) => at >= length && matcher(run, at - length, (end) => end === at),
    );
    if (run.steps.left <= 0) return false;
    if (node.isNegative) run.captures.set(before);
    if (isFound !== node.isNegative && next(at)) return true;
    run.captures.set(before);
    return false;
  };
}

function back(index: number, ignoreCase: boolean): Matcher {
  return (run, at, next) => {
    const [start = -1, end = -1] = run.captures.subarray(2 * index, 2 * index + 2);
    if (start < 0 || !step(run)) return false;
    run.steps.left -= end - start;
    const wanted = run.subject.slice(start, end);
    const found = run.subject.slice(at, at + wanted.length);
    const isSame = ignoreCase ? lower(found) === lower(wanted) : found === wanted;
    return isSame && next(at + wanted.length);
  };
}

const lower = (text: string): string => text.replaceAll(/[A-Z]/g, (char) => char.toLowerCase());

const isWord = (subject: string, at: number): boolean => /^\w/.test(subject.charAt(at));

export function holds(what: Assertion, subject: string, at: number): boolean {
  const { length } = subject;
  switch (what) {
    case 'start':
      return at === 0;
    case 'end':
      return at === length;
    case 'last-end':
      return at === length || (at === length - 1 && subject[at] === '\n');
    case 'line-start':
      return at === 0 || subject[at - 1] === '\n';
    case 'line-end':
      return at === length || subject[at] === '\n';
    case 'word-edge':
      return isWord(subject, at - 1) !== isWord(subject, at);
    case 'no-word-edge':
      return isWord(subject, at - 1) === isWord(subject, at);
    case 'word-start':
      return !isWord(subject, at - 1) && isWord(subject, at);
    case 'word-end':
      return isWord(subject, at - 1) && !isWord(subject, at);
  }
}
