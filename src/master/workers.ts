/**
 * The processes of one planned service: fork, watch, restart, replace, end.
 *
 * A process that was killed or crashed after it had been ready is restarted at once; one that does
 * not become ready is tried again after 1, 2, 4 ... 60 s. On a replacement the new processes are
 * ready before the old ones are told to drain, so that no connection is refused meanwhile.
 */
import cluster, { type Worker } from 'node:cluster';
import { join } from 'node:path';
import type { FromMaster, ToMaster } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import type { PlannedService } from './services.ts';

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 60_000;
/** A process that lives at least this long starts with a clean record. */
const GOOD_LIFE_MS = 10_000;

type Live = { readonly worker: Worker; ready: boolean; draining: boolean; readonly bornMs: number };

export type WorkerEvents = {
  readonly logger: Logger;
  /** A fresh process exists: hand it what it needs (keys). */
  readonly onFork: (service: PlannedService, worker: Worker) => void;
  /** A process is ready, or said why it cannot be. */
  readonly onReady: (service: PlannedService) => void;
  readonly onFailed: (service: PlannedService, text: string) => void;
  readonly onMessage: (service: PlannedService, message: ToMaster) => void;
};

export type WorkerGroup = {
  /** Fork until `count` processes are alive. */
  readonly fill: (count: number) => void;
  /** Processes that take work. */
  readonly alive: () => number;
  /** All processes, draining ones too. */
  readonly count: () => number;
  /** The same service by a new plan: new processes first, then the old ones drain. */
  readonly replace: (next: PlannedService, onDone: () => void) => void;
  readonly send: (message: FromMaster) => void;
  /** Tell all to end; nothing is restarted from now on. */
  readonly stop: (message: 'drain' | 'stop') => void;
  readonly kill: () => void;
};

export function workerGroup(planned: PlannedService, events: WorkerEvents): WorkerGroup {
  let service = planned;
  let stopping = false;
  let delayMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const live = new Set<Live>();
  const waiting: (() => void)[] = [];

  const fork = (): void => {
    cluster.setupPrimary({
      exec: join(import.meta.dirname, '..', service.role.entry),
      args: [],
      execArgv: EXEC_ARGV,
    });
    const worker = cluster.fork(environment(service));
    const one: Live = { worker, ready: false, draining: false, bornMs: Date.now() };
    live.add(one);
    worker.on('message', (message: ToMaster) => {
      if (message.kind === 'ready') {
        one.ready = true;
        events.onReady(service);
        for (const callback of waiting.splice(0)) callback();
      } else if (message.kind === 'failed') events.onFailed(service, message.text);
      events.onMessage(service, message);
    });
    worker.on('error', (error) => events.logger.warning(`${service.key}: ${error.message}`));
    worker.once('exit', (code, signal) => ended(one, code, signal));
    events.onFork(service, worker);
  };

  const ended = (one: Live, code: number, signal: string | null): void => {
    live.delete(one);
    const isAgent = service.role.kind === 'agent';
    if (stopping || one.draining) return;
    if (code === 0 && isAgent) return;
    events.logger.warning(
      `process ${service.info.command} pid ${one.worker.process.pid} ` +
        (signal ? `killed by signal ${signal}` : `exit status ${code}`),
    );
    if (!one.ready) events.onFailed(service, `${service.key} ended before it was ready`);
    if (isAgent) return;
    const isGood = one.ready && (signal !== null || Date.now() - one.bornMs > GOOD_LIFE_MS);
    delayMs = isGood ? 0 : Math.min(Math.max(FIRST_DELAY_MS, delayMs * 2), LAST_DELAY_MS);
    if (delayMs > 0)
      events.logger.warning(`${service.key}: throttling, next start in ${delayMs / 1000} s`);
    timer = setTimeout(() => fill(service.workers), delayMs);
  };

  const fill = (count: number): void => {
    if (stopping) return;
    for (let missing = count - current().length; missing > 0; missing -= 1) fork();
  };

  const current = (): Live[] => [...live].filter(({ draining }) => !draining);

  const send = (message: FromMaster): void => {
    for (const { worker } of current()) if (worker.isConnected()) worker.send(message);
  };

  return {
    fill,
    send,
    alive: () => current().length,
    count: () => live.size,
    replace: (next, onDone) => {
      service = next;
      const old = current();
      const drainOld = (): void => {
        for (const { worker } of old) if (worker.isConnected()) worker.send({ kind: 'drain' });
        onDone();
      };
      for (const one of old) one.draining = true;
      if (service.role.kind === 'agent') return drainOld();
      waiting.push(drainOld);
      fill(service.workers);
    },
    stop: (message) => {
      stopping = true;
      clearTimeout(timer);
      for (const { worker } of live) if (worker.isConnected()) worker.send({ kind: message });
    },
    kill: () => {
      for (const { worker } of live) worker.process.kill('SIGKILL');
    },
  };
}

/** V8 falls back to a linear matcher when a pattern backtracks too much: regexp and pcre tables. */
const EXEC_ARGV = [
  '--enable-experimental-regexp-engine-on-excessive-backtracks',
  '--disable-proto=delete',
];

const environment = (service: PlannedService): Record<string, string> => ({
  POSTERN_SERVICE: JSON.stringify(service.info),
  ...(service.role.owner === 'auth_owner' ? { UV_THREADPOOL_SIZE: '8' } : {}),
});
