/**
 * All services of a running server: start in order, answer qmgr's wish for agents, hand out keys,
 * reload, stop.
 *
 * Order of start: qmgr (it creates the queue), auth, then the listeners; "started" is said when
 * all of them are ready. A listener that cannot bind at that time is fatal; later it is retried.
 */
import { unlinkSync } from 'node:fs';
import type { MasterRow } from '../conf/master-cf.ts';
import type { FromMaster, ToMaster } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import { type KeyRing, keyRing } from './keys.ts';
import { type PlannedService, planServices } from './services.ts';
import { type WorkerEvents, type WorkerGroup, workerGroup } from './workers.ts';

const KEY_POLL_MS = 4_000;
const STOP_POLL_MS = 20;

export type Services = {
  readonly start: (rows: readonly MasterRow[]) => void;
  readonly reload: (rows: readonly MasterRow[]) => void;
  readonly stop: (limitMs: number, done: () => void) => void;
};

export function openServices(options: {
  readonly configDirectory: string;
  readonly logger: Logger;
  readonly onStarted: () => void;
  readonly onFatal: (text: string) => void;
  /** Lines of a process that may not open the log itself. */
  readonly appendToLog: (lines: string) => void;
}): Services {
  const { logger } = options;
  const groups = new Map<string, { service: PlannedService; group: WorkerGroup; keys?: KeyRing }>();
  /** Groups whose row is gone: their processes finish what they have. */
  const retired = new Set<WorkerGroup>();
  let phases: string[][] = [];
  let awaited = new Map<string, number>();
  let started = false;

  const events: WorkerEvents = {
    logger,
    onFork: (service, worker) => {
      const message = groups.get(service.key)?.keys?.message();
      if (message) worker.send(message);
    },
    onReady: (service) => {
      const left = awaited.get(service.key);
      if (left === undefined) return;
      if (left > 1) awaited.set(service.key, left - 1);
      else awaited.delete(service.key);
      if (awaited.size === 0) nextPhase();
    },
    onFailed: (service, text) => {
      if (!started) options.onFatal(text);
      else logger.error(text);
      if (service.role.kind === 'agent') noAgent(service.info.name, text);
    },
    // It may have been reading the queue: qmgr clears what it left behind.
    onCrash: () => toQmgr({ kind: 'process-crashed' }),
    onMessage: (_service, message) => wanted(message),
  };

  const toQmgr = (message: FromMaster): void => {
    for (const { service, group } of groups.values()) if (isQmgr(service)) group.send(message);
  };

  const noAgent = (transport: string, reason: string): void =>
    toQmgr({ kind: 'no-agent', transport, reason });

  const wanted = (message: ToMaster): void => {
    if (message.kind === 'log') return options.appendToLog(message.text);
    if (message.kind !== 'agent-wanted') return;
    const found = [...groups.values()].find(
      ({ service }) => service.role.kind === 'agent' && service.info.name === message.transport,
    );
    if (!found) return noAgent(message.transport, 'mail transport unavailable');
    if (found.group.alive() < found.service.workers) found.group.fill(found.group.alive() + 1);
  };

  const nextPhase = (): void => {
    const keys = phases.shift();
    if (!keys) {
      if (!started) options.onStarted();
      started = true;
      return;
    }
    awaited = new Map(keys.map((key) => [key, groups.get(key)?.service.workers ?? 0]));
    for (const key of keys) groups.get(key)?.group.fill(awaited.get(key) ?? 0);
    if (keys.length === 0) nextPhase();
  };

  const add = (service: PlannedService): void => {
    const keys =
      service.role.kind === 'listener' ? keyRing(service.config, logger, Date.now()) : undefined;
    groups.set(service.key, {
      service,
      group: workerGroup(service, events),
      ...(keys ? { keys } : {}),
    });
  };

  const plan = (rows: readonly MasterRow[]): readonly PlannedService[] => {
    const { services, faults } = planServices(options.configDirectory, rows);
    for (const fault of faults) logger.warning(fault);
    return services;
  };

  const keyTimer = setInterval(() => {
    for (const { group, keys } of groups.values()) {
      const message = keys?.refresh(Date.now()) ? keys.message() : undefined;
      if (message) group.send(message);
    }
  }, KEY_POLL_MS);

  return {
    start: (rows) => {
      removeSockets();
      for (const service of plan(rows)) add(service);
      const keysOf = (test: (service: PlannedService) => boolean): string[] =>
        [...groups].filter(([, { service }]) => test(service)).map(([key]) => key);
      phases = [
        keysOf(isQmgr),
        keysOf((service) => service.role.kind === 'single' && !isQmgr(service)),
        keysOf(({ role }) => role.kind === 'listener'),
      ];
      nextPhase();
    },
    reload: (rows) => {
      const next = plan(rows);
      for (const group of retired) if (group.count() === 0) retired.delete(group);
      for (const [key, { group }] of groups) {
        if (next.some((service) => service.key === key)) continue;
        group.stop('drain');
        groups.delete(key);
        retired.add(group);
      }
      for (const service of next) {
        const known = groups.get(service.key);
        if (!known) {
          add(service);
          if (service.role.kind !== 'agent') groups.get(service.key)?.group.fill(service.workers);
        } else if (isQmgr(service)) known.group.send({ kind: 'reload' });
        else {
          known.service = service;
          known.keys?.reconfigure(service.config, Date.now());
          known.group.replace(service);
        }
      }
    },
    stop: (limitMs, done) => {
      clearInterval(keyTimer);
      const all = [...retired, ...[...groups.values()].map(({ group }) => group)];
      for (const group of all) group.stop('stop');
      const endMs = Date.now() + limitMs;
      const timer = setInterval(() => {
        const isEmpty = all.every((group) => group.count() === 0);
        if (!isEmpty && Date.now() < endMs) return;
        clearInterval(timer);
        for (const group of all) group.kill();
        removeSockets();
        done();
      }, STOP_POLL_MS);
    },
  };
}

const isQmgr = ({ role }: PlannedService): boolean => role.entry.startsWith('qmgr/');

/** Left over by a killed server; a bind would fail on them. */
function removeSockets(): void {
  for (const path of ['private/qmgr', 'private/auth', 'public/qmgr']) {
    try {
      unlinkSync(path);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }
}
