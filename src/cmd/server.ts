/**
 * The verbs that start, stop and steer the server: postfix(1).
 *
 * `start` returns when every listener accepts, or 1 with the reason. `stop` returns when the server
 * is gone. `status` exits 0 when it runs.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import { makeDirectories, queueRoot } from '../daemon/directories.ts';
import { livePid } from '../daemon/pid-file.ts';
import type { Io } from './main.ts';

type Verb =
  | 'start'
  | 'start-fg'
  | 'stop'
  | 'abort'
  | 'reload'
  | 'status'
  | 'flush'
  | 'logrotate'
  | 'set-permissions';

const MASTER = join(import.meta.dirname, '../master/main.ts');
const START_LIMIT_MS = 60_000;
const POLL_MS = 50;

export async function server(verb: Verb, io: Io): Promise<number> {
  const loaded = loadConfig(io.configDirectory);
  if (!loaded.ok) {
    for (const { text } of loaded.error) io.stderr(`postern: fatal: ${text}\n`);
    return 1;
  }
  const config = loaded.value;
  const pid = livePid(join(queueRoot(config), 'pid/master.pid'));
  const notRunning = (): number => {
    io.stderr('postern: fatal: the Postern mail system is not running\n');
    return 1;
  };
  switch (verb) {
    case 'start':
    case 'start-fg':
      if (pid !== undefined) {
        io.stderr(`postern: fatal: the Postern mail system is already running (pid ${pid})\n`);
        return 1;
      }
      return verb === 'start' ? start(io) : startInForeground(io);
    case 'stop':
      return pid === undefined ? notRunning() : stop(pid, config, io);
    case 'abort':
      if (pid === undefined) return notRunning();
      process.kill(pid, 'SIGKILL');
      return 0;
    case 'reload':
      if (pid === undefined) return notRunning();
      io.stdout('postern: refreshing the Postern mail system\n');
      process.kill(pid, 'SIGHUP');
      return 0;
    case 'status':
      if (pid === undefined) {
        io.stderr('postern: the Postern mail system is not running\n');
        return 1;
      }
      io.stdout(`postern: the Postern mail system is running: PID: ${pid}\n`);
      return 0;
    case 'flush':
      return (await import('./postqueue.ts')).postqueue(['-f'], io);
    case 'logrotate':
      return pid === undefined ? notRunning() : rotate(config, io);
    case 'set-permissions':
      return setPermissions(config, io);
  }
}

function start(io: Io): Promise<number> {
  io.stdout('postern: starting the Postern mail system\n');
  const master = spawn(process.execPath, [MASTER, io.configDirectory], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  return new Promise((resolve) => {
    const timer = setTimeout(
      () => end(1, 'it did not become ready within 60 s; see the log'),
      START_LIMIT_MS,
    );
    const end = (code: number, text?: string): void => {
      clearTimeout(timer);
      if (text) io.stderr(`postern: fatal: ${text}\n`);
      if (master.connected) master.disconnect();
      master.unref();
      resolve(code);
    };
    master.on('message', (message: { kind: string; text?: string }) => {
      if (message.kind === 'ready') end(0);
      else if (message.text) io.stderr(`postern: fatal: ${message.text}\n`);
    });
    master.once('exit', (code) => end(code === 0 ? 1 : (code ?? 1)));
    master.once('error', (error) => end(1, error.message));
  });
}

/** For containers and service managers: signals are passed on, the exit status is master's. */
function startInForeground(io: Io): Promise<number> {
  const master = spawn(process.execPath, [MASTER, io.configDirectory], { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => void master.kill(signal));
  }
  return new Promise((resolve) => {
    master.once('exit', (code) => resolve(code ?? 1));
    master.once('error', (error) => {
      io.stderr(`postern: fatal: ${error.message}\n`);
      resolve(1);
    });
  });
}

async function stop(pid: number, config: Config, io: Io): Promise<number> {
  io.stdout('postern: stopping the Postern mail system\n');
  process.kill(pid, 'SIGTERM');
  const endMs = Date.now() + (config.stop_time_limit + 5) * 1000;
  const file = join(queueRoot(config), 'pid/master.pid');
  while (Date.now() < endMs) {
    if (livePid(file) !== pid) return 0;
    await sleep(POLL_MS);
  }
  io.stderr(`postern: fatal: process ${pid} did not end; postern abort kills it\n`);
  return 1;
}

/** Name the log file after the time and let every process open a new one: each checks its inode. */
async function rotate(config: Config, io: Io): Promise<number> {
  const file = config.maillog_file;
  if (file === '' || file.startsWith('/dev/')) {
    io.stderr(`postern: fatal: maillog_file = ${file}: nothing to rotate\n`);
    return 1;
  }
  const { renameSync } = await import('node:fs');
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  try {
    renameSync(file, `${file}.${stamp}`);
  } catch (error) {
    io.stderr(`postern: fatal: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
  return 0;
}

async function setPermissions(config: Config, io: Io): Promise<number> {
  const made = makeDirectories(config);
  if (!made.ok) {
    io.stderr(`postern: fatal: ${made.error}\n`);
    return 1;
  }
  await import('./sendmail.ts');
  return 0;
}
