/**
 * Servers for tests, each in a temporary directory on free loopback ports: Postern from this
 * checkout, Debian's Postfix, smtp-sink. Whoever starts one stops it; `after` hooks do.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { findProgram } from './programs.ts';

export const ROOT = join(import.meta.dirname, '../..');
const POLL_MS = 25;
const DAEMON_GRACE_MS = 2_000;
const runFile = promisify(execFile);

export type Output = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let i = 0; i < count; i += 1) ports.push(await freePort());
  return ports;
}

/** A directory that any account can enter, removed by `removeDirectory`. */
export function makeDirectory(prefix = 'postern-test-'): string {
  const directory = mkdtempSync(join(tmpdir(), prefix));
  chmodSync(directory, 0o755);
  return directory;
}

export const removeDirectory = (directory: string): void =>
  rmSync(directory, { recursive: true, force: true });

/** Run a program to its end; never throws for its exit status. */
export async function runProgram(
  file: string,
  argv: readonly string[],
  options: {
    readonly input?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly timeoutMs?: number;
    readonly cwd?: string;
  } = {},
): Promise<Output> {
  const child = execFile(findProgram(file) ?? file, argv, {
    timeout: options.timeoutMs ?? 60_000,
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, ...options.env },
    ...(options.cwd ? { cwd: options.cwd } : {}),
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (text) => (stdout += text));
  child.stderr?.on('data', (text) => (stderr += text));
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(options.input ?? '');
  const code = await new Promise<number>((resolve) => {
    let grace: NodeJS.Timeout | undefined;
    child.once('close', (status) => {
      clearTimeout(grace);
      resolve(status ?? 128);
    });
    // A daemon that it started may keep the pipes open for ever.
    child.once('exit', (status) => {
      grace = setTimeout(() => resolve(status ?? 128), DAEMON_GRACE_MS);
    });
    child.once('error', () => resolve(127));
  });
  return { code, stdout, stderr };
}

/** Wait until `test` holds; fails with `what` after the limit. */
export async function until(
  what: string,
  test: () => boolean | Promise<boolean>,
  limitMs = 20_000,
): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!(await test())) {
    if (Date.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(POLL_MS);
  }
}

export async function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export type PosternInstance = {
  readonly directory: string;
  readonly configDirectory: string;
  readonly log: () => string;
  readonly postern: (...argv: string[]) => Promise<Output>;
  /** Any of bin/'s commands with -c. */
  readonly command: (name: string, argv: readonly string[], input?: string) => Promise<Output>;
  readonly masterPid: () => number;
  readonly stop: () => Promise<void>;
};

export type PosternOptions = {
  /** main.cf lines beside the ones every instance has. */
  readonly main?: Readonly<Record<string, string>>;
  /** master.cf text. */
  readonly master: string;
  /** Further files in the configuration directory. */
  readonly files?: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** Command line to put in front of `postern start`, such as setpriv. */
  readonly wrap?: readonly string[];
};

/** Start Postern; resolves when every listener accepts. */
export async function startPostern(options: PosternOptions): Promise<PosternInstance> {
  const directory = options.directory ?? makeDirectory();
  const configDirectory = join(directory, 'etc');
  mkdirSync(configDirectory, { recursive: true });
  const logFile = join(directory, 'maillog');
  const owner = process.getuid?.() === 0 ? 'nobody' : '';
  const settings: Record<string, string> = {
    compatibility_level: '3.11',
    myhostname: 'mail.example.org',
    queue_directory: join(directory, 'spool'),
    data_directory: join(directory, 'data'),
    maillog_file: logFile,
    inet_interfaces: '127.0.0.1',
    ...(owner ? { mail_owner: owner } : {}),
    ...options.main,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  writeFileSync(join(configDirectory, 'main.cf'), lines.join(''));
  writeFileSync(join(configDirectory, 'master.cf'), options.master);
  for (const [name, text] of Object.entries(options.files ?? {})) {
    mkdirSync(dirname(join(configDirectory, name)), { recursive: true });
    writeFileSync(join(configDirectory, name), text);
  }
  const command = (name: string, argv: readonly string[], input?: string): Promise<Output> =>
    runProgram(
      join(ROOT, 'bin', name),
      ['-c', configDirectory, ...argv],
      input === undefined ? {} : { input },
    );
  const [first = join(ROOT, 'bin/postern'), ...rest] = [
    ...(options.wrap ?? []),
    join(ROOT, 'bin/postern'),
  ];
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');
  const started = await runProgram(first, [...rest, '-c', configDirectory, 'start']);
  if (started.code !== 0) throw new Error(`postern start: ${started.stderr}\n${log()}`);
  return {
    directory,
    configDirectory,
    log,
    postern: (...argv) => command('postern', argv),
    command,
    masterPid: () => Number(readFileSync(join(directory, 'spool/postern/pid/master.pid'), 'utf8')),
    stop: async () => {
      await command('postern', ['stop']);
      if (!options.directory) removeDirectory(directory);
    },
  };
}

/** Debian's Postfix as a second instance: nothing global is read or written. */
export async function startPostfix(options: {
  readonly main: Readonly<Record<string, string>>;
  readonly master: string;
  readonly files?: Readonly<Record<string, string>>;
}): Promise<{
  readonly directory: string;
  readonly log: () => string;
  readonly stop: () => Promise<void>;
}> {
  const directory = makeDirectory('postfix-test-');
  const configDirectory = join(directory, 'etc');
  for (const name of ['etc', 'spool', 'data', 'meta']) mkdirSync(join(directory, name));
  await runFile('chown', ['postfix', join(directory, 'data')]);
  for (const name of ['postfix-files', 'postfix-files.d']) {
    if (existsSync(`/etc/postfix/${name}`) && name === 'postfix-files') {
      copyFileSync(`/etc/postfix/${name}`, join(directory, 'meta', name));
    }
  }
  const logFile = join(directory, 'maillog');
  const settings: Record<string, string> = {
    compatibility_level: '3.6',
    myhostname: 'oracle.example.net',
    queue_directory: join(directory, 'spool'),
    data_directory: join(directory, 'data'),
    meta_directory: join(directory, 'meta'),
    shlib_directory: '/usr/lib/postfix',
    daemon_directory: '/usr/lib/postfix/sbin',
    maillog_file: logFile,
    maillog_file_prefixes: '/var, /dev/stdout, /tmp',
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'ipv4',
    ...options.main,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  writeFileSync(join(configDirectory, 'main.cf'), lines.join(''));
  writeFileSync(join(configDirectory, 'master.cf'), `${POSTFIX_ROWS}${options.master}`);
  for (const [name, text] of Object.entries(options.files ?? {})) {
    writeFileSync(join(configDirectory, name), text);
  }
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');
  const started = await runProgram('postfix', ['-c', configDirectory, 'start']);
  if (started.code !== 0) throw new Error(`postfix start: ${started.stderr}\n${log()}`);
  return {
    directory,
    log,
    stop: async () => {
      await runProgram('postfix', ['-c', configDirectory, 'stop']);
      removeDirectory(directory);
    },
  };
}

const POSTFIX_ROWS = `
postlog   unix-dgram n  -       n       -       1       postlogd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
`;

/** A program of this test that runs in the background; ended by its own handle. */
export function startProgram(
  file: string,
  argv: readonly string[],
): { readonly child: ChildProcess; readonly stop: () => Promise<void> } {
  const child = spawn(findProgram(file) ?? file, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.stdout?.resume();
  child.stderr?.resume();
  return {
    child,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
