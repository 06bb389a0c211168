/**
 * The verbs that start, stop and steer the server: postfix(1).
 *
 * `start` returns when every listener accepts, or 1 with the reason. `stop` returns when the server
 * is gone. `status` exits 0 when it runs.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compatibilityNotice } from '../conf/compatibility.ts';
import { loadConfig } from '../conf/config.ts';
import { loadMasterCf } from '../conf/master-cf.ts';
import type { Config } from '../conf/params.ts';
import { queueRoot } from '../daemon/directories.ts';
import { livePid } from '../daemon/pid-file.ts';
import { fillCompileCache } from './compile-cache.ts';
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
      for (const text of compatibilityNotice(config.compatibility_level))
        io.stderr(`postern: ${text}\n`);
      return verb === 'start' ? start(io) : startInForeground(io);
    case 'stop':
      return pid === undefined ? notRunning() : stop(pid, config, io);
    case 'abort':
      if (pid === undefined) return notRunning();
      return signal(pid, 'SIGKILL', io) ? 0 : 1;
    case 'reload':
      return pid === undefined ? notRunning() : reload(pid, io);
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
      return pid === undefined ? notRunning() : (await import('./logrotate.ts')).rotate(config, io);
    case 'set-permissions':
      return (await import('./set-permissions.ts')).setPermissions(config, io);
  }
}

/** What master writes before it has a log goes to a file without a name, shown when it fails. */
async function start(io: Io): Promise<number> {
  io.stdout('postern: starting the Postern mail system\n');
  const words = scratchFile();
  const master = spawn(process.execPath, [MASTER, io.configDirectory], {
    detached: true,
    stdio: ['ignore', 'ignore', words.descriptor, 'ipc'],
  });
  let isExplained = false;
  const started = new Promise<number>((resolve) => {
    const timer = setTimeout(() => {
      io.stderr('postern: fatal: it did not become ready within 60 s; see the log\n');
      isExplained = true;
      resolve(1);
    }, START_LIMIT_MS);
    master.on('message', (message: { kind: string; text?: string }) => {
      if (message.kind === 'ready') {
        clearTimeout(timer);
        resolve(0);
      } else if (message.text) {
        io.stderr(`postern: fatal: ${message.text}\n`);
        isExplained = true;
      }
    });
    const failed = (code: number, text?: string): void => {
      clearTimeout(timer);
      if (text) io.stderr(`postern: fatal: ${text}\n`);
      resolve(code);
    };
    master.once('exit', (code) => failed(code === 0 ? 1 : (code ?? 1)));
    master.once('error', (error) => failed(1, error.message));
  });
  // While the server starts.
  await fillCompileCache();
  const code = await started;
  if (code !== 0 && !isExplained) io.stderr(words.read());
  words.close();
  if (master.connected) master.disconnect();
  master.unref();
  return code;
}

function scratchFile() {
  const directory = mkdtempSync(join(tmpdir(), 'postern-start-'));
  const path = join(directory, 'stderr');
  const descriptor = openSync(path, 'a+', 0o600);
  return {
    descriptor,
    read: () => readFileSync(path, 'utf8'),
    close: () => {
      closeSync(descriptor);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** For containers and service managers: signals are passed on, the exit status is master's. */
function startInForeground(io: Io): Promise<number> {
  const master = spawn(process.execPath, [MASTER, io.configDirectory], { stdio: 'inherit' });
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () => void master.kill(name));
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
  if (!signal(pid, 'SIGTERM', io)) return 1;
  const endMs = Date.now() + (config.stop_time_limit + 5) * 1000;
  const file = join(queueRoot(config), 'pid/master.pid');
  while (Date.now() < endMs) {
    if (livePid(file) !== pid) return 0;
    await sleep(POLL_MS);
  }
  io.stderr(`postern: fatal: process ${pid} did not end; postern abort kills it\n`);
  return 1;
}

/** A table of services that master would refuse is refused here, where it can be seen. */
function reload(pid: number, io: Io): number {
  const rows = loadMasterCf(io.configDirectory);
  if (!rows.ok) {
    for (const { text } of rows.error) io.stderr(`postern: fatal: ${text}\n`);
    return 1;
  }
  io.stdout('postern: refreshing the Postern mail system\n');
  return signal(pid, 'SIGHUP', io) ? 0 : 1;
}

function signal(pid: number, name: NodeJS.Signals, io: Io): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    const why = error.code === 'EPERM' ? 'it belongs to another user; try as root' : error.message;
    io.stderr(`postern: fatal: cannot signal process ${pid}: ${why}\n`);
    return false;
  }
}
