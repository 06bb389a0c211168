/**
 * The password database: may this user log in with this secret?
 *
 * Back ends are asked in the order of `smtpd_sasl_backends`; the first that knows the user decides.
 * One that is down makes the answer `unavailable`, unless one before it knows the user: an outage
 * must never look like a wrong password, since clients forget a password on 535.
 *
 * Each attempt that names a user costs exactly one hash check, the user existing or not, and a
 * failed one is answered no sooner than `failureDelayMs` after it began: neither work nor time
 * tells a stranger which names exist. Equal attempts at the same time share one check.
 */
import type { CredentialCache } from './cache.ts';
import { DUMMY_HASH, isCheap, type StoredHash } from './hash.ts';
import type { Limiter } from './limiter.ts';
import { canonicalName, isUserName, type UserRecord } from './passwd-file.ts';

export type PassdbVerdict =
  | { readonly kind: 'accepted'; readonly username: string; readonly groups: readonly string[] }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'unavailable'; readonly reason: string };

export type BackendAnswer =
  | { readonly kind: 'known'; readonly record: UserRecord }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** One place where users are kept. `find` never rejects. */
export type Backend = {
  /** As in smtpd_sasl_backends, for messages. */
  readonly name: string;
  /** By canonical name. */
  readonly find: (username: string) => Promise<BackendAnswer>;
};

export type PassdbParts = {
  readonly backends: readonly Backend[];
  /** $myorigin: the domain of a login without one. */
  readonly origin: string;
  readonly verifyHash: (hash: StoredHash, secret: string) => Promise<boolean>;
  readonly cache: CredentialCache;
  readonly limiter: Limiter;
  readonly failureDelayMs: number;
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
};

export type Passdb = {
  readonly verify: (
    username: string,
    secret: string,
    clientAddress: string,
  ) => Promise<PassdbVerdict>;
};

/** A longer secret is no password of ours; hashing it would only cost. */
const MAX_SECRET_BYTES = 1024;

const REJECTED: PassdbVerdict = { kind: 'rejected' };
const BUSY: PassdbVerdict = { kind: 'unavailable', reason: 'too many password checks at once' };

export function openPassdb(parts: PassdbParts): Passdb {
  const { backends, cache, limiter } = parts;
  const underWay = new Map<string, Promise<boolean | undefined>>();

  /** One check; undefined when the queue is full. */
  const check = (hash: StoredHash, username: string, secret: string) => {
    if (isCheap(hash)) return parts.verifyHash(hash, secret);
    const key = cache.keyFor(`${username} ${hash.value}`, secret);
    const same = underWay.get(key);
    if (same) return same;
    const started = limiter
      .run(() => parts.verifyHash(hash, secret))
      .finally(() => underWay.delete(key));
    underWay.set(key, started);
    return started;
  };

  const decide = async (username: string, secret: string): Promise<PassdbVerdict> => {
    if (secret === '' || Buffer.byteLength(secret) > MAX_SECRET_BYTES) return REJECTED;
    if (!isUserName(username)) return REJECTED;
    const canonical = canonicalName(username, parts.origin);
    const answer = await findUser(backends, canonical);
    if (answer.kind === 'unavailable') return answer;
    if (answer.kind === 'unknown') {
      const checked = await check(DUMMY_HASH, canonical, secret);
      return checked === undefined ? BUSY : REJECTED;
    }
    const { username: name, hash, groups } = answer.record;
    const key = cache.keyFor(hash.value, secret);
    const accepted: PassdbVerdict = { kind: 'accepted', username: name, groups };
    if (cache.has(key)) return accepted;
    const isRight = await check(hash, canonical, secret);
    if (isRight === undefined) return BUSY;
    if (!isRight) return REJECTED;
    if (!isCheap(hash)) cache.add(key);
    return accepted;
  };

  return {
    verify: async (username, secret) => {
      const startedMs = parts.nowMs();
      const verdict = await decide(username, secret);
      if (verdict.kind !== 'rejected') return verdict;
      const leftMs = startedMs + parts.failureDelayMs - parts.nowMs();
      if (leftMs > 0) await parts.sleep(leftMs);
      return verdict;
    },
  };
}

async function findUser(backends: readonly Backend[], username: string): Promise<BackendAnswer> {
  for (const backend of backends) {
    const answer = await backend.find(username);
    if (answer.kind !== 'unknown') return answer;
  }
  return { kind: 'unknown' };
}
