/**
 * The directories that a server writes to, with their owners and modes.
 *
 *   $queue_directory/postern/   0755 root        the working directory of every process
 *     queue/                    0700 mail_owner  LMDB environment and large bodies
 *     private/                  0710 root        sockets between our processes; mail_owner's group
 *     public/                   0711 root        sockets for local commands
 *     maildrop/                 3733 mail_owner  submissions of sendmail(1), group inherited
 *     maildrop-corrupt/         0700 mail_owner  what pickup could not read
 *     pid/                      0755 root
 *   $data_directory/            0700 mail_owner  maps/, caches, policy records
 *
 * Without root everything belongs to the caller and maildrop/ is private too.
 */
import { chmodSync, chownSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../conf/params.ts';
import { type Account, findAccount } from '../util/accounts.ts';
import { err, ok, type Result } from '../util/result.ts';

export const queueRoot = (config: Config): string => join(config.queue_directory, 'postern');

/** Create what is missing and mend owners and modes. Fails with a text that names the remedy. */
export function makeDirectories(config: Config): Result<Account | undefined, string> {
  const isRoot = process.getuid?.() === 0;
  const owner = isRoot ? findAccount(config.mail_owner) : undefined;
  if (isRoot && !owner) {
    return err(
      `mail_owner = ${config.mail_owner}: no such account; create it (useradd --system ${config.mail_owner}) or name another one in main.cf`,
    );
  }
  const root = queueRoot(config);
  const [uid, gid] = [owner?.uid ?? 0, owner?.gid ?? 0];
  const plan: readonly [path: string, mode: number, uid: number, gid: number][] = [
    [root, 0o755, 0, 0],
    [join(root, 'queue'), 0o700, uid, gid],
    [join(root, 'private'), 0o710, 0, gid],
    [join(root, 'public'), 0o711, 0, gid],
    [join(root, 'maildrop'), isRoot ? 0o3733 : 0o700, uid, gid],
    [join(root, 'maildrop-corrupt'), 0o700, uid, gid],
    [join(root, 'pid'), 0o755, 0, 0],
    [config.data_directory, 0o700, uid, gid],
  ];
  try {
    for (const [path, mode, ...ids] of plan) {
      mkdirSync(path, { recursive: true, mode });
      if (!lstatSync(path).isDirectory()) return err(`${path} is not a directory`);
      if (isRoot) chownSync(path, ...ids);
      chmodSync(path, mode);
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error) return err(`${error.message}`);
    throw error;
  }
  return ok(owner);
}
