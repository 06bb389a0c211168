/**
 * Accounts of /etc/passwd for deliveries: kept until the file changes.
 *
 * A file that cannot be read is "try again", never "no such user".
 */
import { readFileSync, statSync } from 'node:fs';
import { type Account, findAccount } from '../util/accounts.ts';
import { err, ok, type Result } from '../util/result.ts';

export type AccountLookup = (name: string) => Result<Account | undefined, string>;

const MAX_KEPT = 10_000;

/** Entries of one file; names are asked as they stand. */
export function openAccounts(file = '/etc/passwd'): AccountLookup {
  let version = '';
  let known = new Map<string, Account | undefined>();
  return (name) => {
    if (!/^[^:/\x00-\x20]+$/.test(name)) return ok(undefined);
    try {
      const { mtimeMs, size, ino } = statSync(file);
      const current = `${mtimeMs} ${size} ${ino}`;
      if (current !== version) {
        known = new Map();
        version = current;
      }
    } catch (error) {
      if (error instanceof Error && 'code' in error) return err(error.message);
      throw error;
    }
    if (!known.has(name)) {
      if (known.size > MAX_KEPT) known = new Map();
      known.set(name, findAccount(name, file));
    }
    return ok(known.get(name));
  };
}

/** The id of a group by name; undefined when there is none. */
export function findGroup(name: string, file = '/etc/group'): number | undefined {
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [group, , gid] = line.split(':');
    if (group === name && gid) return Number(gid);
  }
  return undefined;
}
