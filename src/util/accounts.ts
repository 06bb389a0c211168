/**
 * System accounts by name, from /etc/passwd and /etc/group as they stand.
 *
 * Only local files: name services beyond them are asked by the C library when a process takes an
 * identity (`initgroups`), never here.
 */
import { readFileSync } from 'node:fs';
import { err, ok, type Result } from './result.ts';

export type Account = {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
};

/** The account of that name, or undefined when there is none (or the file cannot be read). */
export function findAccount(name: string, passwdFile = '/etc/passwd'): Account | undefined {
  for (const line of readLines(passwdFile)) {
    const [user, , uid, gid, , home = '', shell = ''] = line.split(':');
    if (user !== name || !uid || !gid) continue;
    return { name, uid: Number(uid), gid: Number(gid), home, shell };
  }
  return undefined;
}

/** All groups of an account, its own first: what initgroups(3) would set. */
export function groupsOf(
  account: Pick<Account, 'name' | 'gid'>,
  groupFile = '/etc/group',
): number[] {
  const groups = new Set([account.gid]);
  for (const line of readLines(groupFile)) {
    const [, , gid, members = ''] = line.split(':');
    if (gid && members.split(',').includes(account.name)) groups.add(Number(gid));
  }
  return [...groups];
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return [];
    throw error;
  }
}

/** The account of a user id, read anew. */
export function accountOfUid(
  uid: number,
  file = '/etc/passwd',
): Result<Account | undefined, string> {
  try {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const [name, , id] = line.split(':');
      if (name && id === String(uid)) return ok(findAccount(name, file));
    }
    return ok(undefined);
  } catch (error) {
    if (error instanceof Error && 'code' in error) return err(error.message);
    throw error;
  }
}
