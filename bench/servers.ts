/**
 * The two servers of the benchmark, configured alike: relay on one port, submission with STARTTLS
 * and AUTH on another, everything off-site goes to one sink. Both sync each message before 250.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeHash } from '../src/auth/hash.ts';
import {
  freePorts,
  makeDirectory,
  removeDirectory,
  startPostern,
  startPostfix,
  until,
} from '../test/support/instance.ts';

export type AuthKind = 'cheap' | 'argon2id';

export type Server = {
  readonly name: 'Postfix' | 'Postern';
  readonly relayPort: number;
  readonly submissionPort: number;
  /** Roots of the process trees whose CPU counts. */
  readonly roots: readonly number[];
  readonly stop: () => Promise<void>;
};

export type Setup = {
  readonly sinkPort: number;
  readonly auth: AuthKind;
  readonly dovecotCache: boolean;
  readonly certificate: 'rsa' | 'ecdsa';
};

export const USER = 'user@example.org';
export const PASSWORD = 'correct horse battery';

const KEYS = {
  rsa: ['-newkey', 'rsa:2048'],
  ecdsa: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
} as const;

/** A self-signed certificate, RSA-2048 or P-256; both servers get the same kind. */
function makeCertificate(
  directory: string,
  kind: Setup['certificate'],
): { readonly cert: string; readonly key: string } {
  const cert = join(directory, 'cert.pem');
  const key = join(directory, 'key.pem');
  const common = ['-nodes', '-days', '30', '-subj', '/CN=localhost', '-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', '-x509', ...KEYS[kind], ...common], { stdio: 'ignore' });
  chmodSync(key, 0o644);
  return { cert, key };
}

const passwdLine = async (auth: AuthKind): Promise<string> =>
  `${USER}:${auth === 'cheap' ? `{PLAIN}${PASSWORD}` : await makeHash(PASSWORD)}`;

export async function startPosternServer(setup: Setup): Promise<Server> {
  const directory = makeDirectory('postern-bench-');
  const [relayPort = 0, submissionPort = 0] = await freePorts(2);
  const { cert, key } = makeCertificate(directory, setup.certificate);
  const instance = await startPostern({
    directory,
    main: {
      mynetworks: '127.0.0.0/8',
      mydestination: '',
      relayhost: `[127.0.0.1]:${setup.sinkPort}`,
      smtpd_tls_chain_files: `${key}, ${cert}`,
      smtpd_tls_security_level: 'may',
      smtpd_sasl_type: 'postern',
    },
    master: `127.0.0.1:${relayPort} inet n - n - - smtpd
127.0.0.1:${submissionPort} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_connection_count_limit=0
  -o mynetworks=
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
`,
    files: { passwd: `${await passwdLine(setup.auth)}\n` },
  });
  return {
    name: 'Postern',
    relayPort,
    submissionPort,
    roots: [instance.masterPid()],
    stop: async () => {
      await instance.stop();
      removeDirectory(directory);
    },
  };
}

export async function startPostfixServer(setup: Setup): Promise<Server> {
  const directory = makeDirectory('postfix-bench-');
  const [relayPort = 0, submissionPort = 0] = await freePorts(2);
  const { cert, key } = makeCertificate(directory, setup.certificate);
  const dovecot = await startDovecot(directory, setup);
  const instance = await startPostfix({
    main: {
      mynetworks: '127.0.0.0/8',
      mydestination: '',
      relayhost: `[127.0.0.1]:${setup.sinkPort}`,
      smtpd_tls_cert_file: cert,
      smtpd_tls_key_file: key,
      smtpd_tls_security_level: 'may',
      smtpd_sasl_type: 'dovecot',
      smtpd_sasl_path: dovecot.socket,
      default_process_limit: '600',
    },
    master: `127.0.0.1:${relayPort} inet n - n - - smtpd
127.0.0.1:${submissionPort} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_connection_count_limit=0
  -o mynetworks=
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
`,
  });
  const pid = Number(readFileSync(join(instance.directory, 'spool/pid/master.pid'), 'utf8'));
  return {
    name: 'Postfix',
    relayPort,
    submissionPort,
    roots: [pid, dovecot.pid],
    stop: async () => {
      await instance.stop();
      dovecot.stop();
      removeDirectory(directory);
    },
  };
}

/** Dovecot as password checker only. */
async function startDovecot(directory: string, setup: Setup) {
  for (const name of ['base', 'state']) mkdirSync(join(directory, name));
  const passdb = setup.dovecotCache
    ? await writeDict(directory, setup.auth)
    : await writePasswdFile(directory, setup.auth);
  const config = join(directory, 'dovecot.conf');
  writeFileSync(
    config,
    `base_dir = ${directory}/base
state_dir = ${directory}/state
log_path = ${directory}/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_cache_size = ${setup.dovecotCache ? '10M' : '0'}
auth_cache_verify_password_with_worker = no
passdb {
  ${passdb}
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
service auth {
  unix_listener ${directory}/auth {
    mode = 0666
  }
}
`,
  );
  execFileSync('dovecot', ['-c', config], { stdio: 'ignore' });
  const pidFile = join(directory, 'base/master.pid');
  await until('Dovecot runs', () => existsSync(pidFile));
  const pid = Number(readFileSync(pidFile, 'utf8'));
  const stop = (): void => {
    if (setup.dovecotCache) requireCacheUse(config);
    process.kill(pid, 'SIGTERM');
  };
  return { socket: join(directory, 'auth'), pid, stop };
}

async function writePasswdFile(directory: string, auth: AuthKind): Promise<string> {
  const users = join(directory, 'users');
  writeFileSync(users, `${await passwdLine(auth)}\n`);
  chmodSync(users, 0o644);
  return `driver = passwd-file\n  args = ${users}`;
}

/** Dovecot's auth cache takes no entries of a passwd-file, which is in memory already: a dict. */
async function writeDict(directory: string, auth: AuthKind): Promise<string> {
  const hash = (await passwdLine(auth)).slice(USER.length + 1);
  const data = join(directory, 'dict.db');
  const dict = join(directory, 'dict.conf');
  writeFileSync(data, `shared/passdb/${USER}\n${JSON.stringify({ password: hash })}\n`);
  writeFileSync(
    dict,
    `uri = file:${data}
key passdb {
  key = passdb/%u
  format = json
}
passdb_objects = passdb
`,
  );
  for (const file of [data, dict]) chmodSync(file, 0o644);
  return `driver = dict\n  args = ${dict}`;
}

/** A row that claims a cache must have used it. */
function requireCacheUse(config: string): void {
  const said = execFileSync('doveadm', ['-c', config, 'auth', 'cache', 'flush'], {
    encoding: 'utf8',
  });
  if (!/^[1-9]\d* cache entries/m.test(said)) throw new Error(`Dovecot's cache is empty: ${said}`);
}
