/**
 * `postern set-permissions`: directories, password files and the compile cache as a server that is
 * started by root needs them.
 */
import { chmodSync, chownSync, existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Config } from '../conf/params.ts';
import { makeDirectories } from '../daemon/directories.ts';
import { findAccount } from '../util/accounts.ts';
import { fillCompileCache } from './compile-cache.ts';
import type { Io } from './main.ts';

export async function setPermissions(config: Config, io: Pick<Io, 'stderr'>): Promise<number> {
  const made = makeDirectories(config);
  if (!made.ok) {
    io.stderr(`postern: fatal: ${made.error}\n`);
    return 1;
  }
  if (process.getuid?.() === 0)
    for (const file of passwordFiles(config)) givePasswords(file, config);
  await fillCompileCache();
  return 0;
}

const passwordFiles = (config: Config): string[] =>
  config.smtpd_sasl_backends
    .split(/[\s,]+/)
    .filter((entry) => entry.startsWith('passwd:'))
    .map((entry) => resolve(config.config_directory, entry.slice('passwd:'.length)))
    .filter((file) => existsSync(file));

/** Read by the auth process alone: its group, and nobody else's. */
function givePasswords(file: string, config: Config): void {
  const account = findAccount(config.auth_owner) ?? findAccount(config.mail_owner);
  if (!account || statSync(file).uid === account.uid) return;
  chownSync(file, 0, account.gid);
  chmodSync(file, 0o640);
}
