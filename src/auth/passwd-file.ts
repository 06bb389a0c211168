/**
 * The password file: one user a line.
 *
 *   # comment
 *   alice@example.org:{ARGON2ID}$argon2id$v=19$...:staff,sales
 *   bob:$6$salt$hash
 *
 * The third field lists groups. A line with more fields is one of Dovecot's passwd-file or of
 * passwd(5): what follows the hash is ignored. A name without a domain means `name@$myorigin`.
 * Names are compared without regard to the case of ASCII letters. Of two lines for one user the
 * first counts. A line that cannot be used is left out and reported; the others stay in force.
 */
import { err, ok, type Result } from '../util/result.ts';
import { parseHash, type StoredHash } from './hash.ts';

export type UserRecord = {
  /** `user@domain`, ASCII lower case. */
  readonly username: string;
  readonly hash: StoredHash;
  readonly groups: readonly string[];
};

export type PasswdFault = { readonly line: number; readonly text: string };

export type PasswdFile = {
  readonly users: ReadonlyMap<string, UserRecord>;
  readonly faults: readonly PasswdFault[];
};

export function parsePasswd(source: string, origin: string): PasswdFile {
  const users = new Map<string, UserRecord>();
  const faults: PasswdFault[] = [];
  const firstLine = new Map<string, number>();
  for (const [index, raw] of source.split('\n').entries()) {
    const text = raw.trimEnd();
    if (text === '' || text.startsWith('#')) continue;
    const record = parseLine(text, origin);
    const before = record.ok ? firstLine.get(record.value.username) : undefined;
    if (!record.ok) faults.push({ line: index + 1, text: record.error });
    else if (before !== undefined) {
      const name = record.value.username;
      faults.push({ line: index + 1, text: `duplicate entry for ${name}, see line ${before}` });
    } else {
      firstLine.set(record.value.username, index + 1);
      users.set(record.value.username, record.value);
    }
  }
  return { users, faults };
}

function parseLine(text: string, origin: string): Result<UserRecord, string> {
  const [name = '', hashText = '', ...more] = text.split(':');
  if (!isUserName(name)) return err('not a user name before the first ":"');
  const username = canonicalName(name, origin);
  const hash = parseHash(hashText);
  if (!hash.ok) return err(`${username}: ${hash.error}`);
  return ok({ username, hash: hash.value, groups: groupsOf(more) });
}

/** The name by which a user is known everywhere: with a domain, ASCII letters in lower case. */
export function canonicalName(name: string, origin: string): string {
  const full = name.includes('@') ? name : `${name}@${origin}`;
  return full.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Names must survive in log lines, tables and this file. */
export const isUserName = (name: string): boolean =>
  name !== '' && name.length <= 255 && !/[\s:,\x00-\x1f\x7f-\x9f]|^[#@]|@$/.test(name);

const groupsOf = (fields: readonly string[]): readonly string[] =>
  fields.length === 1 ? (fields[0] ?? '').split(/[\s,]+/).filter((group) => group !== '') : [];
