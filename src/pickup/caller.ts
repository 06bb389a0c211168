/**
 * Who asks: the proof of a local user's identity, without setgid programs.
 *
 * The command makes a file with a name that nobody can guess in maildrop/ and writes that name into
 * it; the server looks who owns the file, and removes it. Nobody can make a file that belongs to
 * another; one that was moved in from elsewhere does not hold its new name.
 *
 * @see postconf(5) authorized_flush_users, authorized_mailq_users, authorized_submit_users
 */
import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { openDomainList } from '../lookup/match-list.ts';
import type { LookupContext, TableFault } from '../lookup/open.ts';
import { accountOfUid } from '../util/accounts.ts';
import { err, ok, type Result } from '../util/result.ts';

export const PROOF_SUFFIX = '.ask';
const NAME = /^[0-9a-f]{32}\.ask$/;
export const ANYONE = 'static:anyone';

/** The owner of a proof, which is then spent; undefined when it proves nothing. */
export async function spendProof(directory: string, name: string): Promise<number | undefined> {
  if (!NAME.test(name)) return undefined;
  const path = join(directory, name);
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      await unlink(path);
      if (!facts.isFile() || facts.nlink !== 1 || facts.size !== name.length) return undefined;
      return (await file.readFile('latin1')) === name ? facts.uid : undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

/** `null`: allowed; else the name to refuse. root and `owner` may always. */
export type UserCheck = (uid: number | undefined) => Promise<string | null>;

export function openUserCheck(
  parameter: string,
  value: string,
  context: LookupContext,
  owner?: number,
): Result<UserCheck, readonly TableFault[]> {
  if (value === ANYONE) return ok(async () => null);
  const list = openDomainList(parameter, value, { matchParents: false }, context);
  if (!list.ok) return err(list.error);
  return ok(async (uid) => {
    if (uid === undefined) return 'unknown';
    if (uid === 0 || uid === owner) return null;
    const account = accountOfUid(uid);
    const name = (account.ok && account.value?.name) || 'unknown';
    const matched = await list.value.match(name);
    return matched.kind === 'yes' ? null : `${name}(${uid})`;
  });
}
