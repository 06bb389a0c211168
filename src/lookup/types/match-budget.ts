/**
 * The time that patterns may take for one message. Whoever checks a message makes one and passes it
 * with each lookup; a table that finds it spent answers `retry`, so that mail made to be slow is
 * put off and never let through unchecked.
 */
import type { MatchBudget } from '../table.ts';

/** Milliseconds of matching for a message; also the most for a lookup without a budget. */
export const MESSAGE_BUDGET_MS = 50;

export function matchBudget(leftMs: number = MESSAGE_BUDGET_MS): MatchBudget {
  let left = leftMs;
  return {
    get leftMs() {
      return left;
    },
    spend: (ms) => {
      left -= ms;
    },
  };
}
