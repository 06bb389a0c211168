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
  readonly name: string;
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
};

export const USER = 'user@example.org';
export const PASSWORD = 'correct horse battery';

/** A self-signed RSA-2048 certificate for both. */
function makeCertificate(directory: string): { readonly cert: string; readonly key: string } {
  const cert = join(directory, 'cert.pem');
  const key = join(directory, 'key.pem');
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '30',
      '-subj',
      '/CN=localhost',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  );
  chmodSync(key, 0o644);
  return { cert, key };
}

const passwdLine = async (auth: AuthKind): Promise<string> =>
  `${USER}:${auth === 'cheap' ? `{PLAIN}${PASSWORD}` : await makeHash(PASSWORD)}`;

export async function startPosternServer(setup: Setup): Promise<Server> {
  const directory = makeDirectory('postern-bench-');
  const [relayPort = 0, submissionPort = 0] = await freePorts(2);
  const { cert, key } = makeCertificate(directory);
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
  const { cert, key } = makeCertificate(directory);
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
  const users = join(directory, 'users');
  writeFileSync(users, `${await passwdLine(setup.auth)}\n`);
  chmodSync(users, 0o644);
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
  driver = passwd-file
  args = ${users}
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
  return { socket: join(directory, 'auth'), pid, stop: () => void process.kill(pid, 'SIGTERM') };
}
