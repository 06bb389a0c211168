/**
 * From jobs to agents: destination queues, who works on what, and what becomes of jobs whose agent,
 * transport or destination is not there.
 */
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { DeliveryReport, DeliveryRequest } from '../mail/stages.ts';
import { splitList } from '../util/text.ts';
import type { Active, Job, QmgrParts } from './active.ts';
import { type Agent, agentRegistry, isReportFor } from './agents.ts';
import type { Outcomes } from './outcomes.ts';
import { type Scheduler, scheduler } from './schedule.ts';
import { handledHere, limitsOf } from './transports.ts';

export type Dispatch = {
  /** Queue a job, or end it at once. */
  readonly place: (job: Job) => void;
  readonly addAgent: (agent: Agent) => void;
  readonly removeAgent: (agent: Agent) => void;
  readonly report: (agent: Agent, seq: number, report: DeliveryReport) => void;
  readonly noAgent: (transport: string, reason: string) => void;
  readonly requestOf: (seq: number) => DeliveryRequest | undefined;
  /** Jobs of a message that have not started end without an attempt. */
  readonly withdraw: (one: Active) => void;
  /** A flush: what is dead gets another chance. */
  readonly reviveAll: () => void;
  /** Cut off agents that never answer; forget what is dead no more. */
  readonly tidy: (nowMs: number) => void;
  /** Start nothing more; resolves when what is under way has been reported. */
  readonly drain: () => Promise<void>;
};

const MAX_CRASHES = 3;
const WANT_AGAIN_MS = 1_000;
const DEAD_REASON = 'delivery temporarily suspended: ';

export function openDispatch(parts: QmgrParts, outcomes: Outcomes): Dispatch {
  const transports = new Map<string, Scheduler<Job>>();
  const agents = agentRegistry<Job>();
  const deadReasons = new Map<string, Dsn>();
  /** Transports without an agent, and until when they are not asked for again. */
  const deadTransports = new Map<string, { readonly untilMs: number; readonly reason: Dsn }>();
  const wantTimers = new Map<string, NodeJS.Timeout>();
  let isDraining = false;

  const schedulerOf = (transport: string): Scheduler<Job> => {
    const known = transports.get(transport);
    if (known) return known;
    const made = scheduler<Job>(limitsOf(transport, parts.config()));
    transports.set(transport, made);
    return made;
  };

  const place = (job: Job): void => {
    if (job.active.isWithdrawn) return outcomes.skip(job);
    const own = handledHere(job.transport, job.nexthop);
    if (own) return outcomes.endJob(job, own.kind, own.dsn, own.relay);
    if (!job.active.isFlush && splitList(parts.config().defer_transports).includes(job.transport)) {
      return outcomes.endJob(job, 'deferred', dsn('4.3.2', 'deferred transport'), 'none');
    }
    const nowMs = parts.nowMs();
    const dead = deadTransports.get(job.transport);
    if (dead && dead.untilMs > nowMs) return outcomes.endJob(job, 'deferred', dead.reason, 'none');
    if (!schedulerOf(job.transport).add(job.destination, job, nowMs)) return suspend(job);
    pump(job.transport);
  };

  const suspend = (job: Job): void => {
    const reason = deadReasons.get(`${job.transport}\0${job.destination}`);
    const text = dsn('4.4.1', `${DEAD_REASON}${reason?.reason ?? 'unknown'}`);
    outcomes.endJob(job, 'deferred', text, 'none');
  };

  const pump = (transport: string): void => {
    if (isDraining) return;
    const waiting = schedulerOf(transport);
    while (waiting.waiting() > 0) {
      const agent = agents.free(transport);
      if (!agent) return want(transport);
      const next = waiting.next();
      if (!next) return;
      const { job } = next;
      job.startedMs = parts.nowMs();
      agents.start(agent, job, requestFor(job, waiting.hasMore(next.destination)));
    }
  };

  /** Ask for an agent, once a second while mail waits: a process may die before it connects. */
  const want = (transport: string): void => {
    if (wantTimers.has(transport)) return;
    parts.wantAgent(transport);
    const timer = setTimeout(() => {
      wantTimers.delete(transport);
      pump(transport);
    }, WANT_AGAIN_MS);
    wantTimers.set(transport, timer.unref());
  };

  const wantNoMore = (transport: string): void => {
    clearTimeout(wantTimers.get(transport));
    wantTimers.delete(transport);
  };

  return {
    place,
    addAgent: (agent) => {
      agents.add(agent);
      wantNoMore(agent.transport);
      deadTransports.delete(agent.transport);
      pump(agent.transport);
    },
    removeAgent: (agent) => {
      for (const { job } of agents.remove(agent)) {
        job.crashes += 1;
        if (job.crashes < MAX_CRASHES) schedulerOf(job.transport).putBack(job.destination, job);
        else {
          schedulerOf(job.transport).ended(job.destination, false, parts.nowMs());
          const reason = dsn('4.3.0', 'delivery agent ended unexpectedly');
          outcomes.endJob(job, 'deferred', reason, 'none');
        }
      }
      pump(agent.transport);
    },
    report: (agent, seq, report) => {
      const started = agents.take(seq, agent);
      if (!started) return;
      const { job, request } = started;
      const isSound = isReportFor(report, request);
      if (!isSound) {
        parts.logger.error(`${request.id}: malformed report of transport ${job.transport}`);
      }
      const key = `${job.transport}\0${job.destination}`;
      if (report.siteFailure) deadReasons.set(key, report.siteFailure);
      else deadReasons.delete(key);
      const siteFailed = report.siteFailure !== undefined;
      const waiting = schedulerOf(job.transport);
      for (const each of waiting.ended(job.destination, siteFailed, parts.nowMs())) suspend(each);
      if (isSound) void outcomes.accept(job, report);
      else outcomes.endJob(job, 'deferred', dsn('4.3.0', 'malformed delivery report'), 'none');
      pump(job.transport);
    },
    noAgent: (transport, reason) => {
      wantNoMore(transport);
      const untilMs = parts.nowMs() + parts.config().transport_retry_time * 1000;
      deadTransports.set(transport, { untilMs, reason: dsn('4.3.0', reason) });
      for (const job of schedulerOf(transport).drainAll()) {
        outcomes.endJob(job, 'deferred', dsn('4.3.0', reason), 'none');
      }
    },
    requestOf: (seq) => agents.find(seq)?.request,
    withdraw: (one) => {
      for (const each of transports.values()) {
        for (const job of each.takeOut((waiting) => waiting.active === one)) outcomes.skip(job);
      }
    },
    reviveAll: () => {
      deadTransports.clear();
      for (const each of transports.values()) each.reviveAll();
    },
    tidy: (nowMs) => {
      agents.endStalled(nowMs - parts.config().qmgr_daemon_timeout * 1000);
      for (const [transport, { untilMs }] of deadTransports) {
        if (untilMs <= nowMs) deadTransports.delete(transport);
      }
      for (const [transport, each] of transports) {
        for (const name of each.forget(nowMs)) deadReasons.delete(`${transport}\0${name}`);
      }
    },
    drain: async () => {
      isDraining = true;
      for (const transport of [...wantTimers.keys()]) wantNoMore(transport);
      while (agents.underWay() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    },
  };
}

function requestFor(job: Job, reuse: boolean): DeliveryRequest {
  const { entry, activeMs } = job.active;
  return {
    id: entry.id,
    transport: job.transport,
    nexthop: job.nexthop,
    sender: entry.sender,
    envid: entry.envid,
    ret: entry.ret,
    smtputf8: entry.smtputf8,
    content: entry.content,
    origin: entry.origin,
    arrivedMs: entry.arrivedMs,
    activeMs,
    recipients: job.recipients.flatMap(({ index, address }) => {
      const recipient = entry.recipients[index];
      if (!recipient) return [];
      const { original, orcpt, notify } = recipient;
      return [{ index, address, original, orcpt, notify }];
    }),
    reuse,
    ...(entry.internal ? { internal: entry.internal } : {}),
  };
}
