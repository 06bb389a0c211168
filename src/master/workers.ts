/**
 * The processes of one planned service: fork, watch, restart, replace, end.
 *
 * A process that was killed or crashed after it had been ready is restarted at once; one that does
 * not become ready is tried again after 1, 2, 4 ... 60 s.
 *
 * A replacement begins a generation. Older processes go on accepting until one of the newest
 * generation is ready, so that the shared socket is never without a process; then they drain. One
 * that is not ready itself by then drains as soon as it is: it may have accepted already.
 */
import cluster, { type Worker } from 'node:cluster';
import { constants } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { FromMaster, ToMaster } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import type { PlannedService } from './services.ts';

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 60_000;
/** A process that lives at least this long starts with a clean record. */
const GOOD_LIFE_MS = 10_000;

type Live = {
  readonly worker: Worker;
  readonly generation: number;
  readonly bornMs: number;
  ready: boolean;
  /** It shall end when its work is done. */
  draining: boolean;
};

export type WorkerEvents = {
  readonly logger: Logger;
  /** A fresh process exists: hand it what it needs (keys). */
  readonly onFork: (service: PlannedService, worker: Worker) => void;
  readonly onReady: (service: PlannedService) => void;
  /** A process said why it cannot be ready, or ended without a word. */
  readonly onFailed: (service: PlannedService, text: string) => void;
  /** A process did not end by itself: what it shared with others may need a look. */
  readonly onCrash: (service: PlannedService) => void;
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
  readonly replace: (next: PlannedService) => void;
  readonly send: (message: FromMaster) => void;
  /** Tell all to end; nothing is restarted from now on. */
  readonly stop: (message: 'drain' | 'stop') => void;
  readonly kill: () => void;
};

export function workerGroup(planned: PlannedService, events: WorkerEvents): WorkerGroup {
  let service = planned;
  let generation = 0;
  let stopping = false;
  let delayMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const live = new Set<Live>();

  const fork = (): void => {
    cluster.setupPrimary({
      exec: join(import.meta.dirname, '..', service.role.entry),
      args: [],
      execArgv: EXEC_ARGV,
      stdio: ['ignore', 'inherit', logsToStderr(service) ? 'inherit' : 'pipe', 'ipc'],
    });
    const worker = cluster.fork(environment(service));
    const one: Live = { worker, generation, bornMs: Date.now(), ready: false, draining: false };
    let isExplained = false;
    live.add(one);
    noteStderr(worker, service.info.command, events.logger);
    worker.on('message', (message: ToMaster) => {
      if (message.kind === 'ready') becameReady(one);
      else if (message.kind === 'failed') {
        isExplained = true;
        events.onFailed(service, message.text);
      }
      events.onMessage(service, message);
    });
    worker.on('error', (error) => events.logger.warning(`${service.key}: ${error.message}`));
    worker.once('exit', (code, signal) => ended(one, code, signal, isExplained));
    events.onFork(service, worker);
  };

  const becameReady = (one: Live): void => {
    one.ready = true;
    if (one.draining) return tell(one, { kind: 'drain' });
    if (one.generation < generation) return;
    events.onReady(service);
    for (const other of live) if (other.generation < generation) drain(other);
  };

  const drain = (one: Live): void => {
    if (one.draining) return;
    one.draining = true;
    if (one.ready) tell(one, { kind: 'drain' });
  };

  const ended = (one: Live, code: number, signal: string | null, isExplained: boolean): void => {
    live.delete(one);
    const isCrash = signal !== null || code !== 0;
    if (isCrash) events.onCrash(service);
    if (stopping || (one.draining && !isCrash)) return;
    const isAgent = service.role.kind === 'agent';
    if (!isCrash && isAgent) return;
    const { command } = service.info;
    const how =
      signal === null ? `exit status ${code}` : `killed by signal ${signalNumber(signal)}`;
    events.logger.warning(`process ${command} pid ${one.worker.process.pid} ${how}`);
    if (one.draining || one.generation < generation) return;
    if (!one.ready && !isExplained) {
      events.onFailed(service, `${service.key}: the process ended before it was ready (${how})`);
    }
    if (isAgent) return;
    const isGood = one.ready && (signal !== null || Date.now() - one.bornMs > GOOD_LIFE_MS);
    delayMs = isGood ? 0 : Math.min(Math.max(FIRST_DELAY_MS, delayMs * 2), LAST_DELAY_MS);
    if (delayMs > 0) {
      const next = `${service.key}: next start in ${delayMs / 1000} s`;
      events.logger.warning(`${command}: bad command startup -- throttling; ${next}`);
    }
    clearTimeout(timer);
    timer = setTimeout(() => fill(service.workers), delayMs);
  };

  const fill = (count: number): void => {
    if (stopping) return;
    for (let missing = count - newest().length; missing > 0; missing -= 1) fork();
  };

  const newest = (): Live[] =>
    [...live].filter((one) => !one.draining && one.generation === generation);

  return {
    fill,
    send: (message) => {
      for (const one of live) if (!one.draining) tell(one, message);
    },
    alive: () => newest().length,
    count: () => live.size,
    replace: (next) => {
      service = next;
      generation += 1;
      delayMs = 0;
      clearTimeout(timer);
      if (service.role.kind === 'agent') for (const one of live) drain(one);
      else fill(service.workers);
    },
    stop: (message) => {
      stopping = true;
      clearTimeout(timer);
      for (const one of live) tell(one, { kind: message });
    },
    kill: () => {
      for (const { worker } of live) worker.process.kill('SIGKILL');
    },
  };
}

function tell({ worker }: Live, message: FromMaster): void {
  if (worker.isConnected()) worker.send(message);
}

const logsToStderr = ({ config }: PlannedService): boolean => config.maillog_file === '/dev/stderr';

/** What Node itself has to say (a file that does not load, memory that is used up) is logged. */
function noteStderr({ process: child }: Worker, command: string, logger: Logger): void {
  if (!child.stderr) return;
  const lines = createInterface({ input: child.stderr });
  lines.on('line', (line) => logger.warning(`${command}[${child.pid}]: ${line}`));
}

const signalNumber = (name: string): number | string =>
  Object.entries(constants.signals).find(([known]) => known === name)?.[1] ?? name;

/** V8 falls back to a linear matcher when a pattern backtracks too much: regexp and pcre tables. */
const EXEC_ARGV = [
  '--enable-experimental-regexp-engine-on-excessive-backtracks',
  '--disable-proto=delete',
];

const environment = (service: PlannedService): Record<string, string> => ({
  POSTERN_SERVICE: JSON.stringify(service.info),
  ...(service.role.owner === 'auth_owner' ? { UV_THREADPOOL_SIZE: '8' } : {}),
});
