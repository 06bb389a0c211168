/**
 * Whose rights a delivery has: become the recipient, do one thing, come back.
 *
 * The effective identity belongs to the whole process (every thread of it), so deliveries that need
 * one wait for each other. Without root there is nothing to take and nothing to wait for. The real
 * and saved user id stay root: the user can neither signal nor trace the process meanwhile.
 */
import { groupsOf } from '../util/accounts.ts';

export type Identity = {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups; the list always holds `gid`. */
  readonly groups: readonly number[];
};

export const isRoot = (): boolean => process.getuid?.() === 0;

/** The identity of an account, with the groups of /etc/group. */
export const identityOf = (account: {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}): Identity => ({ uid: account.uid, gid: account.gid, groups: groupsOf(account) });

let last: Promise<unknown> = Promise.resolve();

/**
 * Do `work` with these rights. `undefined` and uid 0 mean: with the rights of the process.
 * `work` must have ended all that it started when its promise resolves.
 */
export function withIdentity<T>(
  identity: Identity | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (!isRoot()) return work();
  const turn = last.then(() => inTurn(identity, work));
  last = turn.catch(() => undefined);
  return turn;
}

async function inTurn<T>(identity: Identity | undefined, work: () => Promise<T>): Promise<T> {
  if (!identity || identity.uid === 0) return work();
  const mask = process.umask(0o077);
  const groups = process.getgroups?.() ?? [];
  const gid = process.getegid?.() ?? 0;
  process.setgroups?.([...identity.groups]);
  process.setegid?.(identity.gid);
  process.seteuid?.(identity.uid);
  try {
    return await work();
  } finally {
    // A failure here is a broken invariant and ends the process.
    process.seteuid?.(0);
    process.setegid?.(gid);
    process.setgroups?.(groups);
    process.umask(mask);
  }
}
