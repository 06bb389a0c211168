/**
 * Node's cache of compiled code, filled for sendmail(1), which starts for every message.
 *
 * Node keeps one directory for each uid and lets nobody but its owner write there. What root has
 * compiled serves all accounts of this machine: each gets a link to root's directory.
 */
import { readFileSync, symlinkSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';

/** Compile what sendmail(1) needs and write the cache out. Without a cache directory: nothing. */
export async function fillCompileCache(passwdFile = '/etc/passwd'): Promise<void> {
  await import('./sendmail.ts');
  flushCompileCache();
  const directory = getCompileCacheDir();
  if (process.getuid?.() !== 0 || !directory?.endsWith('-0')) return;
  for (const line of readFileSync(passwdFile, 'utf8').split('\n')) {
    const uid = /^[^:]+:[^:]*:(\d+):/.exec(line)?.[1];
    if (uid !== undefined && uid !== '0') link(directory, directory.replace(/0$/, uid));
  }
}

function link(target: string, path: string): void {
  try {
    symlinkSync(target, path);
  } catch (error) {
    // It is there already, or the account has a cache of its own.
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}
