/**
 * Time limits of many sessions with one timer: a session names when its stage must have ended,
 * and a tick looks for those that are late. Setting a limit costs an assignment.
 */
export type Timed = {
  /** Milliseconds since the epoch; Infinity: no limit. */
  readonly deadlineMs: number;
  /** Called once the deadline has passed, again at each tick until it is moved or removed. */
  readonly expire: () => void;
};

export type Deadlines = {
  readonly add: (timed: Timed) => void;
  readonly remove: (timed: Timed) => void;
  /** The time of the last tick or addition: a clock that costs nothing. */
  readonly nowMs: () => number;
};

export function openDeadlines(tickMs = 500, now: () => number = Date.now): Deadlines {
  const all = new Set<Timed>();
  let timer: NodeJS.Timeout | undefined;
  const tick = (): void => {
    const nowMs = now();
    for (const timed of all) if (timed.deadlineMs <= nowMs) timed.expire();
    if (all.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
  return {
    add: (timed) => {
      all.add(timed);
      timer ??= setInterval(tick, tickMs);
    },
    remove: (timed) => void all.delete(timed),
    nowMs: now,
  };
}
