/**
 * What tables on servers share: one pool for all tables of a process with the same server and
 * login, and the parameters that bound it.
 *
 * New parameters, beside Postfix's retry_interval and idle_interval: `timeout` (10 s) bounds
 * connecting, each query, and the wait for a free connection; `connection_limit` (5) bounds the
 * connections of one process.
 */
import type { Logger } from '../../log/maillog.ts';
import { err, type Result } from '../../util/result.ts';
import type { OpenTable } from './remote-domain.ts';
import type { Settings, SettingsFault } from './remote-settings.ts';

/** The pools of one kind of server, shared by the tables of a context. */
export class SharedPools<P> {
  readonly #known = new WeakMap<object, Map<string, P>>();

  /** `owner` is the table cache of the context; `key` all that tells one pool from another. */
  get(owner: object, key: unknown, make: () => P): P {
    const pools = this.#known.get(owner) ?? new Map<string, P>();
    this.#known.set(owner, pools);
    const id = JSON.stringify(key);
    const pool = pools.get(id) ?? make();
    pools.set(id, pool);
    return pool;
  }
}

/** What a table type gets from the one that opens tables. */
export type RemoteContext = {
  readonly logger: Logger;
  /** The table cache of the context: pools live as long. */
  readonly owner: object;
  readonly openTable: OpenTable;
};

export type PoolSettings = {
  readonly limit: number;
  readonly idleMs: number;
  readonly retryMs: number;
  readonly waitMs: number;
  readonly now: () => number;
  readonly random: () => number;
};

export function poolSettings(
  settings: Settings,
  defaults: { readonly retrySeconds: number; readonly idleSeconds: number },
): PoolSettings {
  return {
    limit: settings.number('connection_limit', 5, 1),
    idleMs: settings.number('idle_interval', defaults.idleSeconds, 1) * 1000,
    retryMs: settings.number('retry_interval', defaults.retrySeconds, 1) * 1000,
    waitMs: settings.number('timeout', 10, 1) * 1000,
    now: () => performance.now(),
    random: Math.random,
  };
}

/** The first fault becomes the table's; the others are logged. */
export function tableFault(settings: Settings, logger: Logger): Result<never, SettingsFault> {
  const [first = `${settings.name}: bad settings`, ...rest] = settings.faults;
  for (const text of rest) logger.warning(text);
  return err({ reason: first });
}
