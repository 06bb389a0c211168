/**
 * Which delivery comes next: destination queues with a concurrency window each.
 *
 * A destination is one nexthop of one transport (one recipient of it where the transport takes one
 * recipient at a time). Destinations take turns, so that a large one cannot starve the others. The
 * window grows with each success and shrinks with each failure of the site as a whole; a site whose
 * whole cohort failed is dead for a while and its jobs are handed back.
 *
 * Pure: time comes as an argument, nothing waits. The preemptive scheduler will stand behind the
 * same type.
 *
 * @see Postfix SCHEDULER_README, qmgr(8)
 */
export type Limits = {
  /** 0: no limit. */
  readonly concurrency: number;
  readonly initialConcurrency: number;
  readonly failedCohorts: number;
  readonly deadMs: number;
};

export type Scheduler<Job> = {
  /** Queue a job; false when its destination is dead (see `reason`). */
  readonly add: (destination: string, job: Job, nowMs: number) => boolean;
  /** Put a job back in front: its agent went away. */
  readonly putBack: (destination: string, job: Job) => void;
  /** The next job that may start, already counted as running. */
  readonly next: () => { readonly destination: string; readonly job: Job } | undefined;
  /** A running job ended; a site failure may kill the destination: its waiting jobs come back. */
  readonly ended: (destination: string, siteFailed: boolean, nowMs: number) => readonly Job[];
  /** More jobs wait for this destination. */
  readonly hasMore: (destination: string) => boolean;
  readonly waiting: () => number;
  /** Take out the waiting jobs that pass a test. */
  readonly takeOut: (test: (job: Job) => boolean) => readonly Job[];
  /** A flush: dead destinations get another chance. */
  readonly reviveAll: () => void;
  /** Forget what is dead no more, and the oldest of too many dead: the names. */
  readonly forget: (nowMs: number) => readonly string[];
  /** Take out every waiting job: the transport is not there. */
  readonly drainAll: () => readonly Job[];
};

type Destination<Job> = {
  readonly name: string;
  readonly jobs: Job[];
  window: number;
  busy: number;
  success: number;
  failure: number;
  failedCohorts: number;
  deadUntilMs: number;
};

/** Idle destinations that are remembered because they are dead. */
const MAX_REMEMBERED = 10_000;

export function scheduler<Job>(limits: Limits): Scheduler<Job> {
  const destinations = new Map<string, Destination<Job>>();
  /** Names with waiting jobs, in turn. */
  let turn: string[] = [];
  let count = 0;

  const of = (name: string): Destination<Job> => {
    const known = destinations.get(name);
    if (known) return known;
    const made = {
      name,
      jobs: [],
      window: limits.initialConcurrency,
      busy: 0,
      success: 0,
      failure: 0,
      failedCohorts: 0,
      deadUntilMs: 0,
    };
    destinations.set(name, made);
    return made;
  };
  const enqueue = (destination: Destination<Job>, job: Job, front: boolean): void => {
    if (destination.jobs.length === 0) turn.push(destination.name);
    if (front) destination.jobs.unshift(job);
    else destination.jobs.push(job);
    count += 1;
  };

  return {
    add: (name, job, nowMs) => {
      const destination = of(name);
      if (destination.deadUntilMs > nowMs) return false;
      if (destination.deadUntilMs > 0) revive(destination, limits);
      enqueue(destination, job, false);
      return true;
    },
    putBack: (name, job) => {
      const destination = of(name);
      destination.busy -= 1;
      enqueue(destination, job, true);
    },
    next: () => {
      for (let tries = turn.length; tries > 0; tries -= 1) {
        const name = turn.shift() ?? '';
        const destination = of(name);
        if (destination.busy >= destination.window) {
          turn.push(name);
          continue;
        }
        const job = destination.jobs.shift();
        if (destination.jobs.length > 0) turn.push(name);
        if (job === undefined) continue;
        destination.busy += 1;
        count -= 1;
        return { destination: name, job };
      }
      return undefined;
    },
    ended: (name, siteFailed, nowMs) => {
      const destination = of(name);
      destination.busy -= 1;
      const killed = siteFailed
        ? failed(destination, limits, nowMs)
        : succeeded(destination, limits);
      const back = killed ? destination.jobs.splice(0) : [];
      count -= back.length;
      if (back.length > 0) turn = turn.filter((each) => each !== name);
      const isForgotten = destination.busy === 0 && destination.jobs.length === 0;
      if (isForgotten && destination.deadUntilMs <= nowMs) destinations.delete(name);
      return back;
    },
    hasMore: (name) => (destinations.get(name)?.jobs.length ?? 0) > 0,
    waiting: () => count,
    takeOut: (test) => {
      const taken: Job[] = [];
      for (const { jobs } of destinations.values()) {
        if (!jobs.some(test)) continue;
        taken.push(...jobs.filter(test));
        jobs.splice(0, jobs.length, ...jobs.filter((job) => !test(job)));
      }
      count -= taken.length;
      turn = turn.filter((name) => (destinations.get(name)?.jobs.length ?? 0) > 0);
      return taken;
    },
    reviveAll: () => {
      for (const destination of destinations.values()) {
        if (destination.deadUntilMs > 0) revive(destination, limits);
      }
    },
    forget: (nowMs) => {
      const idle = [...destinations.values()].filter(
        ({ busy, jobs }) => busy === 0 && jobs.length === 0,
      );
      const tooMany = idle.length - MAX_REMEMBERED;
      const gone = idle.filter((each, at) => at < tooMany || each.deadUntilMs <= nowMs);
      for (const { name } of gone) destinations.delete(name);
      return gone.map(({ name }) => name);
    },
    drainAll: () => {
      const all = [...destinations.values()].flatMap(({ jobs }) => jobs.splice(0));
      turn = [];
      count = 0;
      return all;
    },
  };
}

function revive(destination: Destination<unknown>, limits: Limits): void {
  destination.deadUntilMs = 0;
  destination.window = Math.max(destination.busy, limits.initialConcurrency);
  destination.success = 0;
  destination.failure = 0;
  destination.failedCohorts = 0;
}

/** Positive feedback 1, at the end of a cycle. Never kills. */
function succeeded(destination: Destination<unknown>, limits: Limits): boolean {
  destination.failedCohorts = 0;
  const isOpen = limits.concurrency === 0 || destination.window < limits.concurrency;
  if (!isOpen || destination.window >= destination.busy + 1 + limits.initialConcurrency)
    return false;
  destination.success += 1;
  while (destination.success + 0.5 >= 1) {
    destination.window += 1;
    destination.success -= 1;
    destination.failure = 0;
  }
  return false;
}

/** Negative feedback 1, at the start of a cycle; true when the destination is dead now. */
function failed(destination: Destination<unknown>, limits: Limits, nowMs: number): boolean {
  destination.failedCohorts += 1 / Math.max(1, destination.window);
  if (destination.failedCohorts >= limits.failedCohorts) {
    destination.deadUntilMs = nowMs + limits.deadMs;
    return true;
  }
  destination.failure -= 1;
  while (destination.failure - 0.5 < 0) {
    destination.window = Math.max(1, destination.window - 1);
    destination.failure += 1;
    destination.success = 0;
  }
  return false;
}
