/**
 * Programs of other projects that tests use: found, or the reason to skip.
 *
 * In a plain `npm test` a missing program skips its tests with the reason printed; with CI=true it
 * is a failure, because .ci/run installs all of them.
 */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const PATH = [
  ...(process.env['PATH'] ?? '').split(':'),
  '/usr/sbin',
  '/usr/local/sbin',
  '/usr/lib/dovecot',
];

/** Absolute path of a program, or undefined. */
export function findProgram(name: string): string | undefined {
  return PATH.map((directory) => join(directory, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** `{}` to run the test, `{skip: reason}` to leave it out; for node:test's options. */
export function needs(...names: string[]): { skip?: string } {
  const missing = names.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return {};
  if (process.env['CI'] === 'true')
    throw new Error(`CI=true but not installed: ${missing.join(' ')}`);
  return { skip: `not installed: ${missing.join(' ')}` };
}

/** Tests that change identities or mount need root. */
export const needsRoot = (): { skip?: string } =>
  process.getuid?.() === 0 ? {} : { skip: 'needs root' };
