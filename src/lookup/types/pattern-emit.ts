/**
 * A pattern as a JavaScript RegExp, as plain as can be: V8's linear engine can take over when a match
 * backtracks too much. Undefined for what means something else there: back-references (unset groups
 * match nothing here), atomic groups, possessive repeats.
 */
import { type Assertion, type ByteSet, type Node, type Pattern, someNode } from './pattern-ast.ts';

export type Emitted = {
  readonly regexp: RegExp;
  /** It is right for subjects that do not hold this: what JavaScript takes for a line end too. */
  readonly not: 'final line break' | 'carriage return' | 'nothing';
};

export function emit({ root }: Pattern): Emitted | undefined {
  const has = (...kinds: readonly Assertion[]): boolean =>
    someNode(root, (node) => node.kind === 'assert' && kinds.includes(node.what));
  const hasLines = has('line-start', 'line-end') && !has('start', 'end', 'last-end');
  const source = sourceOf(root, hasLines);
  if (source === undefined) return undefined;
  const not = hasLines ? 'carriage return' : has('last-end') ? 'final line break' : 'nothing';
  try {
    return { regexp: new RegExp(source, hasLines ? 'm' : ''), not };
  } catch (error) {
    // Too large a repetition, or too many groups: the engine in pattern-engine.ts has no such limit.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const ASSERTIONS: Readonly<Record<Assertion, string>> = {
  start: '^',
  end: '$',
  'last-end': '$',
  'line-start': '(?<![^\\n])',
  'line-end': '(?![^\\n])',
  'word-edge': '\\b',
  'no-word-edge': '\\B',
  'word-start': '\\b(?=\\w)',
  'word-end': '\\b(?<=\\w)',
};

/** `hasLines`: `^` and `$` are those of lines. */
function sourceOf(node: Node, hasLines: boolean): string | undefined {
  switch (node.kind) {
    case 'set':
      return setSource(node.set);
    case 'assert':
      if (hasLines && node.what === 'line-start') return '^';
      return hasLines && node.what === 'line-end' ? '$' : ASSERTIONS[node.what];
    case 'seq':
      return joined(node.items, '', hasLines);
    case 'alt': {
      const options = joined(node.options, '|', hasLines);
      return options === undefined ? undefined : `(?:${options})`;
    }
    case 'group': {
      const body = sourceOf(node.body, hasLines);
      return body === undefined ? undefined : `(${body})`;
    }
    case 'repeat': {
      const body = node.mode === 'possessive' ? undefined : sourceOf(node.body, hasLines);
      if (body === undefined) return undefined;
      return (node.body.kind === 'set' ? body : `(?:${body})`) + quantifier(node);
    }
    case 'look': {
      const body = sourceOf(node.body, hasLines);
      if (body === undefined) return undefined;
      return `(?${node.isBehind ? '<' : ''}${node.isNegative ? '!' : '='}${body})`;
    }
    case 'atomic':
    case 'back':
      return undefined;
  }
}

function joined(nodes: readonly Node[], separator: string, hasLines: boolean): string | undefined {
  const parts: string[] = [];
  for (const node of nodes) {
    const part = sourceOf(node, hasLines);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  return parts.join(separator);
}

function quantifier({ min, max, mode }: Extract<Node, { kind: 'repeat' }>): string {
  const lazy = mode === 'lazy' ? '?' : '';
  if (max === Number.POSITIVE_INFINITY) {
    return (min === 0 ? '*' : min === 1 ? '+' : `{${min},}`) + lazy;
  }
  return (min === 0 && max === 1 ? '?' : `{${min},${max}}`) + lazy;
}

/** A class of byte ranges; one byte as itself. */
function setSource(set: ByteSet): string {
  const ranges: string[] = [];
  let count = 0;
  for (let from = 0; from < 256; from += 1) {
    if (set[from] !== 1) continue;
    let to = from;
    while (to < 255 && set[to + 1] === 1) to += 1;
    ranges.push(from === to ? hex(from) : `${hex(from)}-${hex(to)}`);
    count += to - from + 1;
    from = to;
  }
  if (count === 0) return '[]';
  if (count === 256) return '[^]';
  return count === 1 ? (ranges[0] ?? '') : `[${ranges.join('')}]`;
}

const hex = (code: number): string => `\\x${code.toString(16).padStart(2, '0')}`;
