/**
 * Remembers that a secret matched a stored hash, so that a phone that reconnects every minute does
 * not cost an argon2 each time.
 *
 * Only the hashing is saved, never the lookup: the key covers the stored hash, so a changed or
 * deleted record misses at once. Only matches are kept. The key is an HMAC under a random key of
 * this process, so that memory holds nothing that could be tried offline.
 */
import { createHmac, randomBytes } from 'node:crypto';

export type CredentialCache = {
  /** The name of this pair in the cache; also tells equal checks under way apart. */
  readonly keyFor: (storedHash: string, secret: string) => string;
  readonly has: (key: string) => boolean;
  readonly add: (key: string) => void;
};

export type CacheLimits = {
  /** Entries; 0 turns the cache off. */
  readonly size: number;
  /** Since the last real check, not since the last use. */
  readonly ageMs: number;
};

export function openCache(limits: CacheLimits, nowMs: () => number): CredentialCache {
  const bootKey = randomBytes(32);
  /** In order of their check, oldest first. */
  const checkedMs = new Map<string, number>();
  return {
    keyFor: (storedHash, secret) =>
      createHmac('sha256', bootKey)
        .update(`${storedHash.length}:${storedHash}`, 'utf8')
        .update(secret, 'utf8')
        .digest('base64'),
    has: (key) => {
      const checked = checkedMs.get(key);
      if (checked === undefined) return false;
      if (nowMs() - checked <= limits.ageMs) return true;
      checkedMs.delete(key);
      return false;
    },
    add: (key) => {
      if (limits.size === 0) return;
      checkedMs.delete(key);
      checkedMs.set(key, nowMs());
      for (const oldest of checkedMs.keys()) {
        if (checkedMs.size <= limits.size) break;
        checkedMs.delete(oldest);
      }
    },
  };
}
