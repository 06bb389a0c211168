/**
 * Sessions kept for the next message to the same place, on demand.
 *
 * A session lies under one or more keys (next hop, end point) and is taken out by the first that
 * asks. It is closed after `idleMs` unused, and not kept beyond `reuseMs` of age or `reuseCount`
 * messages.
 */

import type { MailHost } from '../dns/mx.ts';
import type { SmtpClient } from './client.ts';

export type Kept = {
  readonly client: SmtpClient;
  readonly host: MailHost;
  readonly relay: string;
  readonly keys: readonly string[];
};

export type CacheLimits = {
  readonly idleMs: number;
  readonly reuseMs: number;
  /** 0: no limit. */
  readonly reuseCount: number;
};

export type SessionCache = {
  readonly take: (key: string) => Kept | undefined;
  /** Keep it, or close it when it is too old or no longer usable. */
  readonly put: (kept: Kept) => void;
  /** Say QUIT on all of them. */
  readonly closeAll: () => void;
  readonly size: () => number;
};

type Entry = { readonly kept: Kept; readonly untilMs: number };

/** Idle sessions of one process at most. */
const MAX_IDLE = 200;

export function openSessionCache(limits: CacheLimits, now: () => number = Date.now): SessionCache {
  const byKey = new Map<string, Entry[]>();
  const all = new Set<Entry>();
  let timer: NodeJS.Timeout | undefined;

  const drop = (entry: Entry): void => {
    all.delete(entry);
    for (const key of entry.kept.keys) {
      const left = (byKey.get(key) ?? []).filter((each) => each !== entry);
      if (left.length > 0) byKey.set(key, left);
      else byKey.delete(key);
    }
  };
  const sweep = (): void => {
    const nowMs = now();
    for (const entry of all) {
      if (entry.untilMs > nowMs && entry.kept.client.isIdle) continue;
      drop(entry);
      entry.kept.client.close();
    }
    if (all.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };

  return {
    take: (key) => {
      for (let entry = byKey.get(key)?.at(-1); entry; entry = byKey.get(key)?.at(-1)) {
        drop(entry);
        if (entry.kept.client.isIdle && entry.untilMs > now()) return entry.kept;
        entry.kept.client.close();
      }
      return undefined;
    },
    put: (kept) => {
      const { client } = kept;
      const isOld =
        now() - client.openedMs >= limits.reuseMs ||
        (limits.reuseCount > 0 && client.transactions >= limits.reuseCount);
      if (isOld || !client.isIdle || limits.idleMs <= 0 || all.size >= MAX_IDLE) {
        return client.close();
      }
      const entry = { kept, untilMs: now() + limits.idleMs };
      all.add(entry);
      for (const key of kept.keys) byKey.set(key, [...(byKey.get(key) ?? []), entry]);
      timer ??= setInterval(sweep, Math.max(50, Math.min(1_000, limits.idleMs / 2)));
    },
    closeAll: () => {
      for (const entry of all) {
        drop(entry);
        entry.kept.client.close();
      }
      sweep();
    },
    size: () => all.size,
  };
}
