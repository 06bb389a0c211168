/**
 * Where a POSIX match ends: of all matches at the leftmost place the longest counts.
 *
 * JavaScript takes the first alternative that leads to a match instead. That a match exists and
 * where it starts is the same, so that only the end is found here: all ends of each part, from left
 * to right, in time that grows with the square of the subject at most. With the end known the
 * groups are filled as the C library does it, by the first alternatives that lead there.
 *
 * @see POSIX.1 9.1 "matched"
 */
import { type Node, type Pattern, someNode } from './pattern-ast.ts';
import { holds, type Steps } from './pattern-engine.ts';

/** Whether leftmost-first could end elsewhere, or fill groups otherwise. */
export const isAmbiguous = ({ root }: Pattern): boolean =>
  someNode(
    root,
    (node) => node.kind === 'alt' || (node.kind === 'repeat' && node.body.kind !== 'set'),
  );

/** The farthest end of a match that starts at `start`; -1 when there is none. */
export function longestEnd(
  { root }: Pattern,
  subject: string,
  start: number,
  steps: Steps,
): number | 'spent' {
  const ends = new Walk(subject, steps).ends(root, start);
  return steps.left <= 0 ? 'spent' : ends.size === 0 ? -1 : Math.max(...ends);
}

type Repeat = Extract<Node, { kind: 'repeat' }>;

class Walk {
  readonly #subject: string;
  readonly #steps: Steps;
  /** Ends of a node by the place where it starts. */
  readonly #known = new Map<Node, Map<number, ReadonlySet<number>>>();

  constructor(subject: string, steps: Steps) {
    this.#subject = subject;
    this.#steps = steps;
  }

  /** Where matches of the node that start at `at` can end. */
  ends(node: Node, at: number): ReadonlySet<number> {
    const known = this.#known.get(node) ?? new Map<number, ReadonlySet<number>>();
    this.#known.set(node, known);
    const before = known.get(at);
    if (before) return before;
    this.#steps.left -= 1;
    const found = this.#steps.left > 0 ? this.#find(node, at) : NOWHERE;
    this.#steps.left -= found.size;
    known.set(at, found);
    return found;
  }

  #find(node: Node, at: number): ReadonlySet<number> {
    switch (node.kind) {
      case 'set':
        return node.set[this.#subject.charCodeAt(at)] === 1 ? new Set([at + 1]) : NOWHERE;
      case 'assert':
        return holds(node.what, this.#subject, at) ? new Set([at]) : NOWHERE;
      case 'group':
        return this.ends(node.body, at);
      case 'seq':
        return node.items.reduce<ReadonlySet<number>>(
          (places, item) => this.#after(item, places),
          new Set([at]),
        );
      case 'alt': {
        const all = new Set<number>();
        for (const option of node.options) for (const end of this.ends(option, at)) all.add(end);
        return all;
      }
      case 'repeat':
        return this.#turns(node, at, node.min, node.max);
      default:
        return NOWHERE;
    }
  }

  #after(node: Node, places: ReadonlySet<number>): ReadonlySet<number> {
    const all = new Set<number>();
    for (const place of places) for (const end of this.ends(node, place)) all.add(end);
    return all;
  }

  /** Ends of `min` to `max` turns of the body. */
  #turns({ body }: Repeat, at: number, min: number, max: number): ReadonlySet<number> {
    let places: ReadonlySet<number> = new Set([at]);
    for (let turn = 0; turn < min && places.size > 0; turn += 1) places = this.#after(body, places);
    const all = new Set(places);
    for (let turn = min; turn < max && places.size > 0 && this.#steps.left > 0; turn += 1) {
      places = new Set([...this.#after(body, places)].filter((place) => !all.has(place)));
      for (const place of places) all.add(place);
    }
    return all;
  }
}

const NOWHERE: ReadonlySet<number> = new Set();
