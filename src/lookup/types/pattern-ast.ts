/**
 * What regexp: and pcre: patterns are once they are read. A character is a byte, as in Postfix:
 * pattern and subject are UTF-8 taken as latin1 text, and only ASCII letters have two cases.
 */

/** Which of the 256 bytes. */
export type ByteSet = Uint8Array;

export type Assertion =
  | 'start'
  | 'end'
  /** The end, or before a line break that is the last byte (`$` of PCRE). */
  | 'last-end'
  | 'line-start'
  | 'line-end'
  | 'word-edge'
  | 'no-word-edge'
  | 'word-start'
  | 'word-end';

export type Node =
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'assert'; readonly what: Assertion }
  | { readonly kind: 'seq'; readonly items: readonly Node[] }
  | { readonly kind: 'alt'; readonly options: readonly Node[] }
  /** A capturing group, numbered from 1. */
  | { readonly kind: 'group'; readonly index: number; readonly body: Node }
  | {
      readonly kind: 'repeat';
      readonly body: Node;
      readonly min: number;
      readonly max: number;
      readonly mode: 'greedy' | 'lazy' | 'possessive';
    }
  | { readonly kind: 'atomic'; readonly body: Node }
  | {
      readonly kind: 'look';
      readonly isBehind: boolean;
      readonly isNegative: boolean;
      readonly body: Node;
    }
  | { readonly kind: 'back'; readonly index: number; readonly ignoreCase: boolean };

export type Pattern = { readonly root: Node; readonly groups: number };

export const EMPTY: Node = { kind: 'seq', items: [] };

/** Nodes one level below. */
export function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case 'seq':
      return node.items;
    case 'alt':
      return node.options;
    case 'group':
    case 'repeat':
    case 'atomic':
    case 'look':
      return [node.body];
    default:
      return [];
  }
}

/** Whether any node of the tree, the root included, is as asked. */
export const someNode = (node: Node, test: (node: Node) => boolean): boolean =>
  test(node) || childrenOf(node).some((child) => someNode(child, test));

/** One byte after the other, the fewest and the most; `max` may be infinite. */
export function lengthOf(node: Node): { readonly min: number; readonly max: number } {
  switch (node.kind) {
    case 'set':
      return { min: 1, max: 1 };
    case 'assert':
    case 'look':
      return { min: 0, max: 0 };
    case 'back':
      return { min: 0, max: Number.POSITIVE_INFINITY };
    case 'group':
    case 'atomic':
      return lengthOf(node.body);
    case 'repeat': {
      const { min, max } = lengthOf(node.body);
      const most = max === 0 || node.max === 0 ? 0 : max * node.max;
      return { min: min * node.min, max: most };
    }
    case 'seq': {
      const parts = node.items.map(lengthOf);
      return {
        min: parts.reduce((sum, part) => sum + part.min, 0),
        max: parts.reduce((sum, part) => sum + part.max, 0),
      };
    }
    case 'alt': {
      const parts = node.options.map(lengthOf);
      return {
        min: Math.min(...parts.map(({ min }) => min)),
        max: Math.max(...parts.map(({ max }) => max)),
      };
    }
  }
}
