/**
 * Password hashes: reading what is stored, checking a secret against it, making new ones.
 *
 * A stored hash is `{SCHEME}value`, or a crypt string whose prefix tells the scheme. New hashes are
 * argon2id with OWASP's parameters. Parameters of foreign hashes are capped: whoever can write a
 * hash must not be able to stop the auth process with it. Comparison takes the same time for
 * every wrong secret of the same length.
 *
 * @see RFC 9106 (argon2), https://doc.dovecot.org/main/core/config/auth/schemes.html
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import argon2 from 'argon2';
import { compare as compareBcrypt } from 'bcryptjs';
import { verify as verifyShaCrypt } from 'unixcrypt';
import { err, ok, type Result, unreachable } from '../util/result.ts';

export type Scheme = 'argon2' | 'bcrypt' | 'sha-crypt' | 'ssha' | 'plain';

export type StoredHash = {
  readonly scheme: Scheme;
  /** Without the `{SCHEME}` prefix. */
  readonly value: string;
};

/** Parameters of hashes made here: OWASP's smallest argon2id, about 40 ms. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

const MAX_ARGON2_KIB = 256 * 1024;
const MAX_ARGON2_PASSES = 20;
const MAX_ARGON2_LANES = 16;
const MAX_BCRYPT_COST = 15;
const MAX_SHA_ROUNDS = 1_000_000;
const SHA1_BYTES = 20;

const SCHEMES: ReadonlyMap<string, readonly Scheme[]> = new Map([
  ['ARGON2ID', ['argon2']],
  ['ARGON2I', ['argon2']],
  ['BLF-CRYPT', ['bcrypt']],
  ['SHA512-CRYPT', ['sha-crypt']],
  ['SHA256-CRYPT', ['sha-crypt']],
  ['CRYPT', ['argon2', 'bcrypt', 'sha-crypt']],
  ['SSHA', ['ssha']],
  ['PLAIN', ['plain']],
]);

/** Read a stored hash; the error says what is wrong with it and never repeats it. */
export function parseHash(text: string): Result<StoredHash, string> {
  const { name, value = '' } = /^\{(?<name>[\w.-]+)\}(?<value>.*)$/s.exec(text)?.groups ?? {};
  if (name === undefined) return parseCrypt(text, 'not {SCHEME}hash and not a crypt hash');
  const allowed = SCHEMES.get(name.toUpperCase());
  if (!allowed) return err(`scheme {${name}} is not supported; set a new password`);
  if (allowed.includes('plain')) {
    return value === '' ? err('empty password') : ok({ scheme: 'plain', value });
  }
  if (allowed.includes('ssha')) return parseSsha(value);
  const crypt = parseCrypt(value, `not a {${name}} hash`);
  if (crypt.ok && !allowed.includes(crypt.value.scheme)) return err(`not a {${name}} hash`);
  return crypt;
}

/** Whether a check costs so little that it need not wait for its turn. */
export const isCheap = ({ scheme }: StoredHash): boolean => scheme === 'plain' || scheme === 'ssha';

/** Whether the secret is the one that was hashed. */
export async function verifyHash(hash: StoredHash, secret: string): Promise<boolean> {
  switch (hash.scheme) {
    case 'argon2':
      return argon2.verify(hash.value, secret);
    case 'bcrypt':
      return compareBcrypt(secret, hash.value);
    case 'sha-crypt':
      return verifyShaCrypt(secret, hash.value);
    case 'ssha': {
      const stored = Buffer.from(hash.value, 'base64');
      const salt = stored.subarray(SHA1_BYTES);
      const made = createHash('sha1').update(secret, 'utf8').update(salt).digest();
      return timingSafeEqual(stored.subarray(0, SHA1_BYTES), made);
    }
    case 'plain':
      return timingSafeEqual(digest(hash.value), digest(secret));
    default:
      return unreachable(hash.scheme);
  }
}

/** A new hash of a secret, as it is written into a password file. */
export async function makeHash(secret: string): Promise<string> {
  const hash = await argon2.hash(secret, { type: argon2.argon2id, ...COST });
  // The order of the reference implementation, so that other programs read it too.
  return `{ARGON2ID}${hash.replace(/(m=\d+),(p=\d+),(t=\d+)/, '$1,$3,$2')}`;
}

/** What is checked for a user who does not exist, so that the answer takes as long. */
export const DUMMY_HASH: StoredHash = {
  scheme: 'argon2',
  value: `$argon2id$v=19$m=${COST.memoryCost},t=${COST.timeCost},p=${COST.parallelism}$cG9zdGVybi1kdW1teS1zYQ$Vl7QeA8sKqj0mC3hZr9dXo1uTn5bYw2pLg6iEfRk4Mc`,
};

function parseCrypt(value: string, otherwise: string): Result<StoredHash, string> {
  if (value.startsWith('$argon2')) return parseArgon2(value);
  if (/^\$2[aby]\$/.test(value)) return parseBcrypt(value);
  if (/^\$[56]\$/.test(value)) return parseShaCrypt(value);
  return err(otherwise);
}

function parseArgon2(value: string): Result<StoredHash, string> {
  // The argon2 package writes m,p,t; the reference implementation m,t,p.
  const form =
    /^\$argon2id?\$v=19\$(?<costs>[mtp]=\d{1,9},[mtp]=\d{1,9},[mtp]=\d{1,9})\$[\w+/-]{11,}\$[\w+/-]{22,}$/;
  const costs = form.exec(value)?.groups?.['costs']?.split(',') ?? [];
  const { m, t, p } = Object.fromEntries(costs.map((cost) => cost.split('=')));
  if (m === undefined || t === undefined || p === undefined) return err('damaged argon2 hash');
  if (Number(m) > MAX_ARGON2_KIB) return err(`argon2 memory above ${MAX_ARGON2_KIB} KiB`);
  if (Number(t) > MAX_ARGON2_PASSES) return err(`argon2 passes above ${MAX_ARGON2_PASSES}`);
  if (Number(p) > MAX_ARGON2_LANES) return err(`argon2 lanes above ${MAX_ARGON2_LANES}`);
  return ok({ scheme: 'argon2', value });
}

function parseBcrypt(value: string): Result<StoredHash, string> {
  const cost = /^\$2[aby]\$(?<cost>\d\d)\$[./A-Za-z\d]{53}$/.exec(value)?.groups?.['cost'];
  if (cost === undefined) return err('damaged bcrypt hash');
  if (Number(cost) > MAX_BCRYPT_COST) return err(`bcrypt cost above ${MAX_BCRYPT_COST}`);
  return ok({ scheme: 'bcrypt', value });
}

function parseShaCrypt(value: string): Result<StoredHash, string> {
  const form =
    /^\$(?<kind>[56])\$(?:rounds=(?<rounds>\d{1,9})\$)?[^$]{0,16}\$(?<hash>[./A-Za-z\d]+)$/;
  const { kind, rounds = '5000', hash = '' } = form.exec(value)?.groups ?? {};
  if (hash.length !== (kind === '6' ? 86 : 43)) return err('damaged SHA-crypt hash');
  if (Number(rounds) > MAX_SHA_ROUNDS) return err(`SHA-crypt rounds above ${MAX_SHA_ROUNDS}`);
  return ok({ scheme: 'sha-crypt', value });
}

function parseSsha(value: string): Result<StoredHash, string> {
  const bytes = Buffer.from(value, 'base64').length;
  const isBase64 = /^[A-Za-z\d+/]+={0,2}$/.test(value);
  return isBase64 && bytes > SHA1_BYTES ? ok({ scheme: 'ssha', value }) : err('damaged SSHA hash');
}

const digest = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();
