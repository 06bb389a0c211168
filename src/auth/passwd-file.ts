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
import { type StoredHash, parseHash } from './hash.ts';

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
  source.split('\n').forEach((raw, index) => {
    const line = index + 1;
    const text = raw.trimEnd();
    if (text === '' || text.startsWith('#')) return;
    const [name = '', hashText = '', ...more] = text.split(':');
    const fault = (what: string): void => void faults.push({ line, text: what });
    if (!isUserName(name)) return fault('not a user name before the first ":"');
    const username = canonicalName(name, origin);
    const before = firstLine.get(username);
    if (before !== undefined) return fault(`duplicate entry for ${username}, see line ${before}`);
    const hash = parseHash(hashText);
    if (!hash.ok) return fault(`${username}: ${hash.error}`);
    firstLine.set(username, line);
    users.set(username, { username, hash: hash.value, groups: groupsOf(more) });
  });
  return { users, faults };
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
