/**
 * A bounded queue in front of expensive work: so many run, so many wait, the rest is turned away
 * at once. Without it, a flood of logins would fill memory with argon2 blocks.
 */
export type Limiter = {
  /** Run the work when its turn comes; undefined when the queue is full. */
  readonly run: <T>(work: () => Promise<T>) => Promise<T | undefined>;
};

export function openLimiter(maxRunning: number, maxWaiting: number): Limiter {
  let running = 0;
  const waiting: (() => void)[] = [];
  return {
    run: async (work) => {
      if (running >= maxRunning) {
        if (waiting.length >= maxWaiting) return undefined;
        await new Promise<void>((resolve) => waiting.push(resolve));
      } else running += 1;
      try {
        return await work();
      } finally {
        // The place passes on to the next one without becoming free in between.
        const next = waiting.shift();
        if (next) next();
        else running -= 1;
      }
    },
  };
}
