/**
 * `npm start`: a complete server on loopback, from nothing, without questions.
 *
 * The first start makes DIR (default var/): configuration, queue, mailboxes, log; a certificate
 * authority and a server certificate in certs/; and three users whose sending policies differ. A
 * later start uses all of it again. Nothing outside DIR and certs/ is written.
 *
 *   --dir DIR         where to live
 *   --port-base N     mail exchange N+525, submission N+587, submissions N+465 (default 2000)
 *   --relayhost HOST  next hop of off-site mail, such as [127.0.0.1]:1025 (default: by MX)
 */
import { spawn } from 'node:child_process';
import { accessSync, chownSync, constants, globSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Account, findAccount } from '../util/accounts.ts';
import { fillCompileCache } from './compile-cache.ts';
import type { Io } from './main.ts';
import { type Ports, type Profile, writeProfile } from './quickstart-profile.ts';

const ROOT = join(import.meta.dirname, '../..');
const DEFAULT_BASE = 2000;

export async function quickstart(argv: readonly string[], io: Io): Promise<number> {
  const options = readOptions(argv);
  if (typeof options === 'string') {
    io.stderr(`postern: fatal: ${options}\n`);
    return 64;
  }
  const busy = await busyPort(Object.values(options.ports));
  if (busy !== undefined) {
    io.stderr(
      `postern: fatal: port ${busy} on 127.0.0.1 is in use: end the program that holds it, or choose other ports, for example: npm start -- --port-base ${options.base + 10_000}\n`,
    );
    return 1;
  }
  const account = identity(io);
  mkdirSync(options.directory, { recursive: true });
  const profile = await writeProfile({
    ...options,
    certsDirectory: join(ROOT, 'certs'),
    owner: account?.name ?? '',
    progress: (text) => io.stdout(`${text}\n`),
  });
  if (!profile.ok) {
    io.stderr(`postern: fatal: ${profile.error}\n`);
    return 1;
  }
  if (account && account.uid !== 0) giveTo(account, [options.directory, join(ROOT, 'certs')]);
  return runMaster(profile.value, account, io);
}

type Options = {
  readonly directory: string;
  readonly base: number;
  readonly ports: Ports;
  readonly relayhost: string;
};

function readOptions(argv: readonly string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        dir: { type: 'string', default: join(ROOT, 'var') },
        'port-base': { type: 'string', default: String(DEFAULT_BASE) },
        relayhost: { type: 'string', default: '' },
      },
    });
    const base = Number(values['port-base']);
    if (!Number.isInteger(base) || base < 500 || base > 64_900) {
      return `--port-base ${values['port-base']}: a number from 500 to 64900 is needed`;
    }
    return {
      directory: resolve(values.dir),
      base,
      ports: { exchange: base + 525, submission: base + 587, submissions: base + 465 },
      relayhost: values.relayhost,
    };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)} (known: --dir, --port-base, --relayhost)`;
  }
}

async function busyPort(ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) {
    const isFree = await new Promise<boolean>((done) => {
      const server = createServer();
      server.once('error', () => done(false));
      server.listen({ port, host: '127.0.0.1', exclusive: true }, () =>
        server.close(() => done(true)),
      );
    });
    if (!isFree) return port;
  }
  return undefined;
}

/** As root: the mail account when it can read this checkout, else root itself. */
function identity(io: Io): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const account = findAccount('postern');
  if (account && canRead(account)) return account;
  const why = account ? 'cannot read this checkout' : 'does not exist';
  io.stdout(`Running as root on loopback: the account postern ${why}.\n`);
  return findAccount('root');
}

function canRead(account: Account): boolean {
  process.setegid?.(account.gid);
  process.seteuid?.(account.uid);
  try {
    accessSync(join(ROOT, 'src/master/main.ts'), constants.R_OK);
    accessSync(process.execPath, constants.X_OK);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

function giveTo(account: Account, directories: readonly string[]): void {
  for (const directory of directories) {
    chownSync(directory, account.uid, account.gid);
    for (const path of globSync('**', { cwd: directory })) {
      chownSync(join(directory, path), account.uid, account.gid);
    }
  }
}

function runMaster(profile: Profile, account: Account | undefined, io: Io): Promise<number> {
  const master = spawn(
    process.execPath,
    [join(import.meta.dirname, '../master/main.ts'), profile.configDirectory],
    {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      ...(account && account.uid !== 0 ? { uid: account.uid, gid: account.gid } : {}),
    },
  );
  let isStopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (!isStopping) master.kill('SIGTERM');
      isStopping = true;
    });
  }
  return new Promise((done) => {
    master.once('message', (message: { kind: string }) => {
      if (message.kind !== 'ready') return;
      io.stdout(profile.welcome);
      void fillCompileCache();
    });
    master.once('exit', (code) => {
      if (isStopping) io.stdout('Stopped.\n');
      done(code ?? 1);
    });
    master.once('error', (error) => {
      io.stderr(`postern: fatal: ${error.message}\n`);
      done(1);
    });
  });
}
