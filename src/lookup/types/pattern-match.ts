/**
 * One pattern, ready to be matched by the cheapest means that gives the right answer in bounded time.
 *
 * - V8, where its linear engine takes over a match that backtracks too much, or nothing can run
 *   away;
 * - our own matcher, which counts its steps, for the rest;
 * - for captures of POSIX patterns that could be ambiguous: the longest match.
 *
 * Work is counted in steps, not in time, so that a busy host changes no answer.
 */
import v8 from 'node:v8';
import { err, ok, type Result } from '../../util/result.ts';
import type { MatchBudget } from '../table.ts';
import { type Node, type Pattern, someNode } from './pattern-ast.ts';
import { type Emitted, emit } from './pattern-emit.ts';
import {
  type Captures,
  type Engine,
  engineOf,
  type Steps,
  startsAtStart,
} from './pattern-engine.ts';
import { type PcreFlags, parsePcre } from './pcre-parse.ts';
import { isAmbiguous, longestEnd } from './posix-longest.ts';
import { type PosixFlags, parsePosix } from './posix-parse.ts';

export type Dialect =
  | ({ readonly type: 'regexp' } & PosixFlags)
  | ({ readonly type: 'pcre' } & PcreFlags);

export interface CompiledPattern {
  readonly groups: number;
  /** `needsGroups` false: only whether it matches is asked. */
  match(subject: string, budget: MatchBudget, needsGroups: boolean): Match;
}

/** The whole match and the groups, empty where they took no part; or none; or the budget is spent. */
export type Match = readonly string[] | null | 'spent';

/** What one matcher step costs, generously. */
const STEPS_PER_MS = 20_000;
/** A match by V8: what it costs at most is taken from the budget, less than that from the clock. */
const BYTES_PER_MS = 1000;

v8.setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
// The flag `l` of a RegExp, which refuses at once what the linear engine cannot do.
v8.setFlagsFromString('--enable-experimental-regexp-engine');

/** `source` is latin1 text. The reason of a refusal is for the administrator. */
export function compilePattern(source: string, dialect: Dialect): Result<CompiledPattern, string> {
  const parsed =
    dialect.type === 'regexp' ? parsePosix(source, dialect) : parsePcre(source, dialect);
  if (!parsed.ok) return parsed;
  const pattern = parsed.value;
  const emitted = emit(pattern);
  const native = emitted && isBounded(emitted.regexp, pattern) ? emitted : undefined;
  if (!native && isTooLarge(pattern)) return err('Regular expression too big');
  return ok(new Compiled(pattern, native, dialect.type));
}

class Compiled implements CompiledPattern {
  readonly groups: number;
  readonly #pattern: Pattern;
  readonly #native: Emitted | undefined;
  readonly #isPosix: boolean;
  /** Where POSIX decides otherwise than JavaScript. */
  readonly #isLongest: boolean;
  /** Where JavaScript forgets what a group matched in an earlier turn. */
  readonly #forgets: boolean;
  #engine: Engine | undefined;

  constructor(pattern: Pattern, native: Emitted | undefined, type: Dialect['type']) {
    this.groups = pattern.groups;
    this.#pattern = pattern;
    this.#native = native;
    this.#isPosix = type === 'regexp';
    const hasBack = someNode(pattern.root, ({ kind }) => kind === 'back');
    this.#isLongest = this.#isPosix && isAmbiguous(pattern) && !hasBack;
    this.#forgets = hasGroupInRepeat(pattern.root);
  }

  match(subject: string, budget: MatchBudget, needsGroups: boolean): Match {
    if (budget.leftMs <= 0) return 'spent';
    const native = this.#native;
    if (!native || !isRight(native, subject)) {
      const found = this.#run(subject, 0, budget);
      if (found === null || found === 'spent') return found;
      return this.#isLongest
        ? this.#longest(subject, found[0] ?? 0, budget)
        : textsOf(found, subject);
    }
    const start = performance.now();
    const found = native.regexp.exec(subject);
    const tookMs = performance.now() - start;
    if (tookMs > 1) budget.spend(Math.min(tookMs, 1 + subject.length / BYTES_PER_MS));
    if (!found || !needsGroups) return found && NO_GROUPS;
    if (this.#isLongest) return this.#longest(subject, found.index, budget);
    if (this.#forgets) return textsOf(this.#run(subject, found.index, budget), subject);
    return found.map((text) => text ?? '');
  }

  #longest(subject: string, start: number, budget: MatchBudget): Match {
    const end = withSteps(budget, (steps) => longestEnd(this.#pattern, subject, start, steps));
    return end === 'spent' ? end : textsOf(this.#run(subject, start, budget, end), subject);
  }

  #run(
    subject: string,
    from: number,
    budget: MatchBudget,
    end?: number,
  ): Captures | null | 'spent' {
    this.#engine ??= engineOf(this.#pattern, this.#isPosix);
    const engine = this.#engine;
    return withSteps(budget, (steps) => engine(subject, from, steps, end));
  }
}

function isRight({ not }: Emitted, subject: string): boolean {
  if (not === 'final line break') return !subject.endsWith('\n');
  return not === 'nothing' || !subject.includes('\r');
}

const NO_GROUPS: readonly string[] = [];

function withSteps<T>(budget: MatchBudget, work: (steps: Steps) => T): T {
  const given = Math.ceil(budget.leftMs * STEPS_PER_MS);
  const steps = { left: given };
  const result = work(steps);
  budget.spend((given - steps.left) / STEPS_PER_MS);
  return result;
}

function textsOf(captures: Captures | null | 'spent', subject: string): Match {
  if (captures === null || captures === 'spent') return captures;
  const texts: string[] = [];
  for (let at = 0; at < captures.length; at += 2) {
    const [start = -1, end = -1] = captures.subarray(at, at + 2);
    texts.push(start < 0 ? '' : subject.slice(start, end));
  }
  return texts;
}

/** Nothing in it can run away, or the linear engine takes over when it does. */
function isBounded(regexp: RegExp, { root }: Pattern): boolean {
  try {
    new RegExp(regexp.source, `l${regexp.flags}`);
    return true;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const unbounded = countRepeats(root);
  return unbounded === 0 || (unbounded === 1 && startsAtStart(root));
}

/** Repeats that can go far; one within another counts as many. */
function countRepeats(node: Node): number {
  switch (node.kind) {
    case 'repeat': {
      const inner = countRepeats(node.body);
      if (node.max <= 10) return inner * node.max;
      return inner > 0 || node.body.kind !== 'set' ? Number.POSITIVE_INFINITY : 1;
    }
    case 'seq':
      return node.items.reduce((sum, item) => sum + countRepeats(item), 0);
    case 'alt':
      return node.options.reduce((sum, option) => sum + countRepeats(option), 0);
    case 'group':
    case 'atomic':
    case 'look':
      return countRepeats(node.body);
    default:
      return 0;
  }
}

const hasGroupInRepeat = (root: Node): boolean =>
  someNode(
    root,
    (node) =>
      node.kind === 'repeat' && node.max > 1 && someNode(node.body, ({ kind }) => kind === 'group'),
  );

/** Matchers are nested functions: a pattern may not be deeper than the stack. */
function isTooLarge({ root }: Pattern): boolean {
  let count = 0;
  return someNode(root, () => {
    count += 1;
    return count > 20_000;
  });
}
