/**
 * Editing a password file: one line replaced, added or taken out, everything else byte for byte.
 *
 * The new text goes into a file beside the old one, is synced and renamed over it, so that readers
 * see the old or the new file and a crash leaves one of them. Owner and mode are kept.
 */
import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { type Rights, replaceFile } from '../util/replace-file.ts';
import { err, ok, type Result } from '../util/result.ts';
import { canonicalName } from './passwd-file.ts';

const NEW_FILE_MODE = 0o640;

/** The text with the user's lines replaced by `line`; undefined takes them out. */
export function editLines(
  source: string,
  username: string,
  origin: string,
  line: string | undefined,
): string {
  const lines = source === '' ? [] : source.replace(/\n$/, '').split('\n');
  const isTheirs = (text: string): boolean => {
    const name = text.split(':', 1)[0] ?? '';
    return !text.startsWith('#') && text.includes(':') && canonicalName(name, origin) === username;
  };
  const at = lines.findIndex(isTheirs);
  const kept = lines.map((text, i) => (i === at ? line : isTheirs(text) ? undefined : text));
  if (at < 0) kept.push(line);
  const left = kept.filter((text) => text !== undefined);
  return left.length === 0 ? '' : `${left.join('\n')}\n`;
}

/** The text, or undefined when there is no such file yet. */
export function readPasswdFile(file: string): Result<string | undefined, string> {
  try {
    return ok(readFileSync(file, 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return ok(undefined);
    return err(`cannot read ${file}: ${messageOf(error)}`);
  }
}

/**
 * Replace the file, given the text it was made from: another edit in between is refused. `gid` is
 * the group of a new file.
 */
export function writePasswdFile(
  file: string,
  text: string,
  before: string | undefined,
  gid: number | undefined,
): Result<void, string> {
  let fresh = '';
  try {
    const target = before === undefined ? file : realpathSync(file);
    const lock = `${target}.lock`;
    const descriptor = openSync(
      lock,
      constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW,
      0o600,
    );
    fresh = lock;
    try {
      const now = readPasswdFile(target);
      if (now.ok && now.value !== before) {
        rmSync(lock, { force: true });
        return err(`${file} was changed by someone else meanwhile; try again`);
      }
      replaceFile(descriptor, lock, target, text, rightsOf(target, before, gid));
    } finally {
      closeSync(descriptor);
    }
    return ok(undefined);
  } catch (error) {
    if (fresh !== '') rmSync(fresh, { force: true });
    if (codeOf(error) === 'EEXIST') {
      return err(`${file}.lock exists: another edit is under way, or remove that file`);
    }
    return err(`cannot write ${file}: ${messageOf(error)}`);
  }
}

function rightsOf(target: string, before: string | undefined, gid: number | undefined): Rights {
  if (before === undefined) {
    return { mode: NEW_FILE_MODE, ...(gid === undefined ? {} : { owner: { uid: 0, gid } }) };
  }
  const { uid, gid: group, mode } = statSync(target);
  return { mode: mode & 0o777, owner: { uid, gid: group } };
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;
const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
