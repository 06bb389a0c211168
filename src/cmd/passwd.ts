/**
 * postern passwd: the users who may log in.
 *
 *   postern passwd add USER [--groups a,b] [--password-stdin]   a new user
 *   postern passwd set USER [--groups a,b] [--password-stdin]   a new password
 *   postern passwd del USER
 *   postern passwd list
 *   postern passwd verify USER [--password-stdin]               exit 1 when it is wrong
 *
 * It edits the first `passwd:` file of smtpd_sasl_backends in one step (new file, synced, renamed),
 * keeping comments, owner and mode; a new file gets mode 0640 and the group of auth_owner. A change
 * counts from the next login on. Exit 0, 1 for a refusal, 64 for wrong usage.
 */
import { firstPasswdFile } from '../auth/backends.ts';
import { makeHash, verifyHash } from '../auth/hash.ts';
import { editLines, readPasswdFile, writePasswdFile } from '../auth/passwd-edit.ts';
import { canonicalName, isUserName, parsePasswd } from '../auth/passwd-file.ts';
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import { findAccount } from '../util/accounts.ts';
import type { Io } from './main.ts';
import { readSecret } from './prompt.ts';

const USAGE =
  'usage: postern passwd add|set|del|list|verify [USER] [--groups a,b] [--password-stdin]\n';
const MAX_SECRET_BYTES = 1024;

type Arguments = {
  readonly verb: string;
  readonly user: string;
  readonly groups: string | undefined;
  readonly fromStdin: boolean;
};

/** `config` is read from io.configDirectory unless given. */
export async function passwd(argv: readonly string[], io: Io, config?: Config): Promise<number> {
  const wanted = readArguments(argv);
  if (!wanted) {
    io.stderr(USAGE);
    return 64;
  }
  const loaded = config ? { ok: true as const, value: config } : loadConfig(io.configDirectory);
  if (!loaded.ok) return fail(io, loaded.error.map(({ text }) => text).join('; '));
  const file = firstPasswdFile(loaded.value);
  if (!file) return fail(io, 'smtpd_sasl_backends names no password file (passwd:/path)');
  const source = readPasswdFile(file);
  if (!source.ok) return fail(io, source.error);
  const known = parsePasswd(source.value ?? '', loaded.value.myorigin);
  for (const { line, text } of known.faults)
    io.stderr(`postern: warning: ${file}:${line}: ${text}\n`);
  if (wanted.verb === 'list') {
    for (const { username, groups } of known.users.values()) {
      io.stdout(groups.length > 0 ? `${username}\t${groups.join(',')}\n` : `${username}\n`);
    }
    return 0;
  }

  const name = canonicalName(wanted.user, loaded.value.myorigin);
  const record = known.users.get(name);
  if (wanted.verb !== 'add' && !record) return fail(io, `${name}: no such user in ${file}`);
  if (wanted.verb === 'add' && record) {
    return fail(io, `${name} exists in ${file}; "postern passwd set" changes the password`);
  }
  if (wanted.verb === 'del') return save(io, file, loaded.value, name, source.value, undefined);

  const secret = await readSecret(io, wanted.fromStdin, wanted.verb !== 'verify');
  if (!secret.ok) return fail(io, secret.error);
  const fault = secretFault(secret.value);
  if (fault) return fail(io, fault);
  if (wanted.verb === 'verify') {
    const isRight = record !== undefined && (await verifyHash(record.hash, secret.value));
    io.stdout(`${name}: ${isRight ? 'the password is right' : 'wrong password'}\n`);
    return isRight ? 0 : 1;
  }
  const groups = wanted.groups ?? record?.groups.join(',') ?? '';
  const line = `${name}:${await makeHash(secret.value)}${groups === '' ? '' : `:${groups}`}`;
  return save(io, file, loaded.value, name, source.value, line);
}

function save(
  io: Io,
  file: string,
  config: Config,
  name: string,
  source: string | undefined,
  line: string | undefined,
): number {
  const text = editLines(source ?? '', name, config.myorigin, line);
  const reader = findAccount(config.auth_owner) ?? findAccount(config.mail_owner);
  const written = writePasswdFile(file, text, source, reader?.gid);
  return written.ok ? 0 : fail(io, written.error);
}

function readArguments(argv: readonly string[]): Arguments | undefined {
  const words = [...argv];
  const fromStdin = words.includes('--password-stdin');
  let groups: string | undefined;
  const at = words.indexOf('--groups');
  if (at >= 0) {
    groups = words[at + 1];
    if (groups === undefined || !/^[\w.,@-]*$/.test(groups)) return undefined;
    words.splice(at, 2);
  }
  const [verb = '', user = '', ...more] = words.filter((word) => word !== '--password-stdin');
  if (more.length > 0 || !/^(add|set|del|list|verify)$/.test(verb)) return undefined;
  if (verb === 'list' ? user !== '' : !isUserName(user)) return undefined;
  return { verb, user, groups, fromStdin };
}

function secretFault(secret: string): string | undefined {
  if (secret === '') return 'the password is empty';
  if (Buffer.byteLength(secret) > MAX_SECRET_BYTES) return 'the password is above 1024 bytes';
  if (/[\x00-\x1f\x7f]/.test(secret)) return 'the password has control characters';
  return undefined;
}

function fail(io: Io, text: string): number {
  io.stderr(`postern: fatal: ${text}\n`);
  return 1;
}
