/**
 * A data server for tests: in a temporary directory, under an account that is not root, on a
 * loopback port and a Unix socket; stopped by its process id.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeDirectory, removeDirectory, until } from './instance.ts';
import { findProgram } from './programs.ts';

export type StoreProcess = {
  readonly pid: () => number;
  /** SIGKILL, and wait for its end. */
  readonly kill: () => Promise<void>;
  /** Neither answer nor end. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** Start it again after `kill`. */
  readonly start: () => Promise<void>;
  /** Stop it for good and remove its directory. */
  readonly stop: () => Promise<void>;
  readonly output: () => string;
};

/** `nobody`, when the tests run as root: data servers refuse to be root, or should. */
export function storeAccount(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const line = readFileSync('/etc/passwd', 'utf8').match(/^nobody:[^:]*:(\d+):(\d+)/m);
  return { uid: Number(line?.[1]), gid: Number(line?.[2]) };
}

/** A directory that the server owns. */
export function storeDirectory(name: string): string {
  const directory = makeDirectory(`postern-${name}-`);
  const { uid, gid } = storeAccount();
  if (uid !== undefined && gid !== undefined) chownSync(directory, uid, gid);
  return directory;
}

export function ownedDirectory(...parts: string[]): string {
  const path = join(...parts);
  mkdirSync(path, { recursive: true });
  const { uid, gid } = storeAccount();
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
  return path;
}

/** Programs of PostgreSQL lie beside each other in a directory of their version. */
export function findStoreProgram(name: string): string {
  const found = findProgram(name);
  if (found) return found;
  const root = '/usr/lib/postgresql';
  for (const version of existsSync(root) ? readdirSync(root).sort().reverse() : []) {
    const path = join(root, version, 'bin', name);
    if (existsSync(path)) return path;
  }
  throw new Error(`not installed: ${name}`);
}

/** Run a program of the server's to its end, under the server's account. */
export async function runAsStore(name: string, argv: readonly string[], cwd: string) {
  const run = promisify(execFile);
  return run(findStoreProgram(name), argv, { ...storeAccount(), cwd, timeout: 60_000 });
}

export async function startStore(options: {
  readonly file: string;
  readonly argv: readonly string[];
  readonly directory: string;
  readonly isReady: () => Promise<boolean>;
  readonly stopSignal?: NodeJS.Signals;
}): Promise<StoreProcess> {
  const { file, argv, directory, isReady, stopSignal = 'SIGTERM' } = options;
  let child: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();
  let output = '';
  const start = async (): Promise<void> => {
    const made = spawn(findStoreProgram(file), argv, {
      ...storeAccount(),
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = made;
    for (const stream of [made.stdout, made.stderr]) {
      stream?.on('data', (text) => {
        output = `${output}${text}`.slice(-20_000);
      });
    }
    ended = new Promise((resolve) => made.once('close', () => resolve()));
    await until(`${file} accepts: ${output}`, async () => {
      if (made.exitCode !== null) throw new Error(`${file} ended: ${output}`);
      return isReady();
    });
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    signalAll(child?.pid, 'SIGCONT');
    child?.kill(signal);
    await ended;
    child = undefined;
  };
  await start();
  return {
    pid: () => child?.pid ?? 0,
    kill: () => end('SIGKILL'),
    pause: () => signalAll(child?.pid, 'SIGSTOP'),
    resume: () => signalAll(child?.pid, 'SIGCONT'),
    start,
    output: () => output,
    stop: async () => {
      if (child) await end(stopSignal);
      removeDirectory(directory);
    },
  };
}

/** The process and its children: PostgreSQL answers in one of them. */
function signalAll(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  for (const each of [pid, ...children.map(Number)]) {
    try {
      if (each > 0) process.kill(each, signal);
    } catch {
      // It has just ended.
    }
  }
}

/** Whether something listens on a Unix socket. */
export function isListeningAt(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
