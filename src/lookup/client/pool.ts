/**
 * Connections to the servers of one table: a bounded pool over a list of hosts.
 *
 * A lookup borrows one connection. Idle ones are taken first; a new one goes to a random host among
 * the best ranked that are not known to be down, so that equal hosts share the load. A host that
 * fails is left alone for `retryMs`; a host that stands alone is tried twice at once first (it may
 * be a load balancer, or a server that was just restarted). A connection that died while it was
 * idle says nothing about its host: a new one is opened.
 *
 * Every wait ends: for a free place after `waitMs`; connecting and asking bound themselves. Sockets
 * are unreferenced by those who make them, so that an idle pool keeps no process alive.
 */
import { err, ok, type Result } from '../../util/result.ts';

export type Failure =
  /** The connection is gone, or hung and was closed: another one may answer. */
  | { readonly kind: 'lost'; readonly reason: string; readonly timedOut: boolean }
  /** The server answered, with an error: the connection stays good. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface Connection {
  readonly isOpen: boolean;
  /** Ends it, whatever it is doing. */
  close(): void;
}

export type PoolOptions<Host, C extends Connection> = {
  /** For messages: `mysql`, `ldap`. */
  readonly server: string;
  readonly hosts: readonly Host[];
  readonly nameOf: (host: Host) => string;
  /** Lower ranks are tried first (Unix sockets before the network). */
  readonly rankOf: (host: Host) => number;
  /** Must end by itself. */
  readonly connect: (host: Host) => Promise<Result<C, string>>;
  /** Open connections at most. */
  readonly limit: number;
  readonly idleMs: number;
  /** 0: a failed host is only left out of the lookup that found it down. */
  readonly retryMs: number;
  /** When all hosts are known to be down: ask them again instead of failing at once. */
  readonly tryAllWhenDown?: boolean;
  readonly waitMs: number;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** From 0 up to 1; `() => 0` takes hosts in the order given. */
  readonly random: () => number;
};

/** Says what failed, in the words of the log. */
export type Report = (text: string) => void;

type Slot<Host, C> = { readonly host: Host; readonly connection: C; idle?: NodeJS.Timeout };
type Trouble = { strikes: number; untilMs: number; reason: string };

export class Pool<Host, C extends Connection> {
  readonly #options: PoolOptions<Host, C>;
  readonly #trouble = new Map<Host, Trouble>();
  readonly #waiting: (() => void)[] = [];
  #idle: Slot<Host, C>[] = [];
  #free: number;

  constructor(options: PoolOptions<Host, C>) {
    this.#options = options;
    this.#free = options.limit;
  }

  /** Do `work` on one connection, on another when that fails; each host at most once or twice. */
  async use<T>(
    work: (connection: C) => Promise<Result<T, Failure>>,
    report: Report,
  ): Promise<Result<T, string>> {
    if (!(await this.#enter())) {
      return err(`no free connection within ${this.#options.waitMs / 1000} s`);
    }
    try {
      return await this.#attempt(work, report);
    } finally {
      this.#leave();
    }
  }

  /** Close what is idle; what is in use ends with its lookup. */
  close(): void {
    for (const slot of this.#idle.splice(0)) this.#drop(slot);
  }

  async #attempt<T>(
    work: (connection: C) => Promise<Result<T, Failure>>,
    report: Report,
  ): Promise<Result<T, string>> {
    const { server, nameOf } = this.#options;
    const tried = new Set<Host>();
    let refused: string | undefined;
    for (;;) {
      const idle = this.#takeIdle(tried);
      const slot = idle ?? (await this.#open(tried, report));
      if (!slot) return err(refused ?? this.#whyNone());
      const answer = await work(slot.connection);
      if (answer.ok) {
        this.#trouble.delete(slot.host);
        this.#rest(slot);
        return answer;
      }
      const { error } = answer;
      if (error.kind === 'refused') {
        this.#rest(slot);
        tried.add(slot.host);
        refused = error.reason;
        report(`query failed: ${server} server ${nameOf(slot.host)}: ${error.reason}`);
        continue;
      }
      slot.connection.close();
      if (idle && !error.timedOut) {
        this.#forget(slot.host);
        continue;
      }
      report(`query failed: ${server} server ${nameOf(slot.host)}: ${error.reason}`);
      this.#strike(slot.host, error.reason, tried, error.timedOut);
    }
  }

  async #open(tried: Set<Host>, report: Report): Promise<Slot<Host, C> | undefined> {
    const { server, nameOf, connect, waitMs, now } = this.#options;
    for (;;) {
      const host = this.#choose(tried);
      if (host === undefined) return undefined;
      // Places are counted by lookups: an idle connection to another host makes room.
      if (this.#idle.length > this.#free) this.#drop(this.#idle.shift());
      const startMs = now();
      const made = await connect(host);
      if (made.ok) return { host, connection: made.value };
      report(`connect to ${server} server ${nameOf(host)}: ${made.error}`);
      // A host that only lets us wait is not asked a second time.
      this.#strike(host, made.error, tried, now() - startMs > waitMs / 2);
    }
  }

  #choose(tried: ReadonlySet<Host>): Host | undefined {
    const { hosts, rankOf, now, random, tryAllWhenDown } = this.#options;
    const nowMs = now();
    for (const [host, { untilMs }] of this.#trouble) {
      if (untilMs > 0 && untilMs <= nowMs) this.#trouble.delete(host);
    }
    const isDown = (host: Host): boolean => (this.#trouble.get(host)?.untilMs ?? 0) > nowMs;
    const left = hosts.filter((host) => !tried.has(host));
    const up = left.filter((host) => !isDown(host));
    const usable = up.length === 0 && tryAllWhenDown ? left : up;
    const best = Math.min(...usable.map(rankOf));
    const equal = usable.filter((host) => rankOf(host) === best);
    return equal[Math.floor(random() * equal.length)];
  }

  #strike(host: Host, reason: string, tried: Set<Host>, isFinal: boolean): void {
    const { hosts, retryMs, now } = this.#options;
    const trouble = this.#trouble.get(host) ?? { strikes: 0, untilMs: 0, reason };
    trouble.strikes += 1;
    trouble.reason = reason;
    this.#trouble.set(host, trouble);
    if (hosts.length === 1 && trouble.strikes < 2 && !isFinal) return;
    trouble.strikes = 0;
    trouble.untilMs = retryMs > 0 ? now() + retryMs : 0;
    tried.add(host);
    this.#forget(host);
  }

  #whyNone(): string {
    const { hosts, nameOf, server } = this.#options;
    const reasons = hosts.map((host) => {
      return `${nameOf(host)}: ${this.#trouble.get(host)?.reason ?? 'not tried'}`;
    });
    return `no ${server} server answers: ${reasons.join('; ')}`;
  }

  #takeIdle(tried: ReadonlySet<Host>): Slot<Host, C> | undefined {
    const dead = this.#idle.filter(({ connection }) => !connection.isOpen);
    for (const slot of dead) this.#drop(slot);
    this.#idle = this.#idle.filter(({ connection }) => connection.isOpen);
    const { rankOf } = this.#options;
    const usable = this.#idle.filter(({ host }) => !tried.has(host));
    const best = Math.min(...usable.map(({ host }) => rankOf(host)));
    const slot = usable.findLast(({ host }) => rankOf(host) === best);
    if (!slot) return undefined;
    this.#idle.splice(this.#idle.indexOf(slot), 1);
    clearTimeout(slot.idle);
    return slot;
  }

  #rest(slot: Slot<Host, C>): void {
    if (!slot.connection.isOpen) return;
    this.#idle.push(slot);
    slot.idle = setTimeout(() => {
      this.#idle = this.#idle.filter((each) => each !== slot);
      slot.connection.close();
    }, this.#options.idleMs);
    slot.idle.unref();
  }

  /** Close idle connections to a host. */
  #forget(host: Host): void {
    for (const slot of this.#idle) if (slot.host === host) this.#drop(slot);
    this.#idle = this.#idle.filter((slot) => slot.host !== host);
  }

  #drop(slot: Slot<Host, C> | undefined): void {
    clearTimeout(slot?.idle);
    slot?.connection.close();
  }

  #enter(): Promise<boolean> {
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const enter = (): void => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        resolve(false);
      }, this.#options.waitMs);
      this.#waiting.push(enter);
    });
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}

/** What `promise` gives, or `late()` after the time. The timer keeps the process alive meanwhile. */
export function withDeadline<T>(promise: Promise<T>, ms: number, late: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(late()), ms);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

export const reasonOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error instanceof Error && error.message !== '' ? error.message : String(error);
};

export const lost = (reason: string, timedOut = false): Result<never, Failure> =>
  err({ kind: 'lost', reason, timedOut });

export const refused = (reason: string): Result<never, Failure> => err({ kind: 'refused', reason });

export const answered = <T>(value: T): Result<T, Failure> => ok(value);
