/**
 * The queue manager: takes messages up, gives each recipient to an agent, records what came of it.
 *
 *   arrived or due -> active -> resolve -> jobs by destination -> agent -> report -> ledger
 *
 * A recipient is marked done only after its outcome. When a pass over a message is over, its
 * permanent failures are reported to the sender in the same transaction that marks them; what was
 * deferred is due again after its age, between minimal_ and maximal_backoff_time.
 */
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import { type Dsn, dsn, softened } from '../mail/dsn.ts';
import type {
  DeliveryReport,
  DeliveryRequest,
  QueueEntry,
  RecipientOutcome,
} from '../mail/stages.ts';
import type { QueueKeeper } from '../queue/store.ts';
import type { Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { type Agent, agentRegistry, isReportFor } from './agents.ts';
import { type Composer, conclude } from './conclude.ts';
import { openLedger } from './ledger.ts';
import { activeLine, outcomeLine } from './outcome-log.ts';
import { type Scheduler, scheduler } from './schedule.ts';
import { filterHop, type Hop, handledHere, limitsOf, recipientLimitOf } from './transports.ts';

export type QmgrParts = {
  readonly config: () => Config;
  readonly store: QueueKeeper;
  readonly resolve: (sender: string, recipient: string) => Promise<Result<Hop, Dsn>>;
  readonly compose: Composer;
  readonly wantAgent: (transport: string) => void;
  readonly logger: Logger;
  readonly loggerFor: (program: string) => Logger;
  readonly nowMs: () => number;
  readonly exit: (code: number) => never;
};

/** Recipients of one message for one destination. */
export type Job = {
  readonly active: Active;
  readonly transport: string;
  readonly nexthop: string;
  /** Positions in the entry, and the address to deliver to. */
  readonly recipients: readonly { readonly index: number; readonly address: string }[];
  startedMs: number;
  crashes: number;
};

export type Active = {
  entry: QueueEntry;
  readonly activeMs: number;
  /** Recipients of this pass without an outcome. */
  open: number;
  readonly failures: { readonly index: number; readonly dsn: Dsn }[];
};

export type Qmgr = {
  readonly arrived: (entry: QueueEntry) => void;
  readonly scan: () => Promise<void>;
  readonly flush: (id?: string) => Promise<void>;
  readonly addAgent: (agent: Agent) => void;
  readonly removeAgent: (agent: Agent) => void;
  readonly report: (agent: Agent, seq: number, report: DeliveryReport) => void;
  readonly noAgent: (transport: string, reason: string) => void;
  readonly requestOf: (
    seq: number,
  ) => { readonly id: string; readonly content: QueueEntry['content'] } | undefined;
  readonly activeIds: () => string[];
  /** Start nothing more; resolves when deliveries under way are recorded. */
  readonly drain: () => Promise<void>;
};

const SCAN_BATCH = 200;
const MAX_CRASHES = 3;
const DEAD_REASON = 'delivery temporarily suspended: ';

export function openQmgr(parts: QmgrParts): Qmgr {
  const { store, logger } = parts;
  const active = new Map<string, Active>();
  const transports = new Map<string, Scheduler<Job>>();
  const agents = agentRegistry<Job>();
  const deadReasons = new Map<string, Dsn>();
  let isDraining = false;
  let scanTimer: NodeJS.Timeout | undefined;
  let scanAtMs = Number.POSITIVE_INFINITY;
  let isFlushing = false;
  const ledger = openLedger(store, (reason, isFinal) => {
    logger.warning(`queue: ${reason}`);
    if (isFinal) parts.exit(75);
  });

  const schedulerOf = (transport: string): Scheduler<Job> => {
    const known = transports.get(transport);
    if (known) return known;
    const made = scheduler<Job>(limitsOf(transport, parts.config()));
    transports.set(transport, made);
    return made;
  };

  const admit = async (entry: QueueEntry): Promise<void> => {
    const one: Active = { entry, activeMs: parts.nowMs(), open: 0, failures: [] };
    active.set(entry.id, one);
    logger.info(activeLine(entry));
    const pending = entry.recipients.flatMap(({ state }, index) =>
      state === 'pending' ? [index] : [],
    );
    one.open = pending.length;
    if (pending.length === 0) return finish(one);
    const groups = new Map<
      string,
      { hop: Hop; recipients: { index: number; address: string }[] }
    >();
    for (const index of pending) {
      const address = entry.recipients[index]?.address ?? '';
      const route = await parts.resolve(entry.sender, address);
      if (!route.ok) {
        settleOne(
          one,
          { index, kind: kindOf(route.error), dsn: route.error, relay: 'none' },
          'error',
          one.activeMs,
        );
        continue;
      }
      const hop = entry.filter ? filterHop(entry.filter, route.value) : route.value;
      const limit = recipientLimitOf(hop.transport, parts.config());
      const key = limit === 1 ? `${index}` : `${hop.transport}\0${hop.nexthop}`;
      const group = groups.get(key) ?? { hop, recipients: [] };
      group.recipients.push({ index, address: hop.recipient });
      groups.set(key, group);
    }
    for (const { hop, recipients } of groups.values()) addJobs(one, hop, recipients);
    if (one.open === 0) finish(one);
  };

  const addJobs = (one: Active, hop: Hop, recipients: Job['recipients']): void => {
    const size = recipientLimitOf(hop.transport, parts.config()) || recipients.length;
    for (let at = 0; at < recipients.length; at += size) {
      const job: Job = {
        active: one,
        transport: hop.transport,
        nexthop: hop.nexthop,
        recipients: recipients.slice(at, at + size),
        startedMs: parts.nowMs(),
        crashes: 0,
      };
      place(job);
    }
  };

  const place = (job: Job): void => {
    const own = handledHere(job.transport, job.nexthop);
    if (own) return endJob(job, own.kind, own.dsn, own.relay);
    if (!isFlushing && splitList(parts.config().defer_transports).includes(job.transport)) {
      return endJob(job, 'deferred', dsn('4.3.2', 'deferred transport'), 'none');
    }
    const nowMs = parts.nowMs();
    if (!schedulerOf(job.transport).add(destinationOf(job), job, nowMs)) return suspend(job);
    pump(job.transport);
  };

  const suspend = (job: Job): void => {
    const reason = deadReasons.get(`${job.transport}\0${destinationOf(job)}`);
    endJob(job, 'deferred', dsn('4.4.1', `${DEAD_REASON}${reason?.reason ?? 'unknown'}`), 'none');
  };

  const pump = (transport: string): void => {
    if (isDraining) return;
    const waiting = schedulerOf(transport);
    while (waiting.waiting() > 0) {
      const agent = agents.free(transport);
      if (!agent) {
        parts.wantAgent(transport);
        return;
      }
      const next = waiting.next();
      if (!next) return;
      const { job } = next;
      job.startedMs = parts.nowMs();
      agents.start(agent, job, requestFor(job, waiting.hasMore(next.destination)));
    }
  };

  /** The same end for all recipients of a job. */
  const endJob = (job: Job, kind: RecipientOutcome['kind'], reason: Dsn, relay: string): void => {
    for (const { index } of job.recipients) {
      settleOne(job.active, { index, kind, dsn: reason, relay }, 'error', job.startedMs);
    }
    if (job.active.open === 0) finish(job.active);
  };

  /** Note one outcome in memory; the ledger gets it by `finish` or `progress`. */
  const settleOne = (
    one: Active,
    given: RecipientOutcome,
    program: string,
    startedMs: number,
  ): void => {
    const recipient = one.entry.recipients[given.index];
    if (!recipient || recipient.state === 'done') return;
    const isSoft = parts.config().soft_bounce && given.kind === 'bounced';
    const outcome: RecipientOutcome = isSoft
      ? { ...given, kind: 'deferred', dsn: softened(given.dsn) }
      : given;
    one.open -= 1;
    const times = {
      arrivedMs: one.entry.arrivedMs,
      activeMs: one.activeMs,
      startedMs,
      endedMs: parts.nowMs(),
    };
    parts.loggerFor(program).info(outcomeLine(one.entry.id, recipient, outcome, times));
    if (outcome.kind === 'bounced') one.failures.push({ index: outcome.index, dsn: outcome.dsn });
    else {
      const next =
        outcome.kind === 'deferred'
          ? { ...recipient, deferred: outcome.dsn }
          : { ...recipient, state: 'done' as const };
      one.entry = { ...one.entry, recipients: one.entry.recipients.with(outcome.index, next) };
    }
  };

  /** The pass is over: report failures, remove or defer the message, durably. */
  const finish = (one: Active): void => {
    void (async () => {
      const end = await conclude(one.entry, one.failures, {
        config: parts.config(),
        nowMs: parts.nowMs(),
        compose: parts.compose,
        store,
        logger,
        loggerFor: parts.loggerFor,
      });
      const { id } = one.entry;
      ledger.record(end.change, end.added, () => {
        active.delete(id);
        if (end.change.kind === 'remove') logger.info(`${id}: removed`);
        else scanBy(end.change.entry.dueMs);
        for (const { entry } of end.added) arrived(entry);
      });
    })();
  };

  const arrived = (entry: QueueEntry): void => {
    if (isDraining || entry.onHold || active.has(entry.id)) return;
    if (active.size >= parts.config().qmgr_message_active_limit)
      return scanBy(parts.nowMs() + 1_000);
    void admit(entry);
  };

  /** Look at the due messages no later than this. */
  const scanBy = (atMs: number): void => {
    if (isDraining || atMs >= scanAtMs) return;
    scanAtMs = atMs;
    clearTimeout(scanTimer);
    scanTimer = setTimeout(
      () => void scan(),
      Math.min(2 ** 31 - 1, Math.max(50, atMs - parts.nowMs())),
    );
  };

  const scan = async (): Promise<void> => {
    clearTimeout(scanTimer);
    scanAtMs = Number.POSITIVE_INFINITY;
    const nowMs = parts.nowMs();
    await admitDue(nowMs);
    const config = parts.config();
    const latest = nowMs + Math.min(config.queue_run_delay, 10) * 1000;
    const next = await nextOutside(nowMs);
    scanBy(Math.min(latest, next ?? latest));
  };

  const nextOutside = async (nowMs: number): Promise<number | undefined> => {
    const next = await store.nextDueMs();
    return next !== undefined && next > nowMs ? next : undefined;
  };

  const admitDue = async (untilMs: number): Promise<void> => {
    const limit = parts.config().qmgr_message_active_limit;
    let after: { id: string; dueMs: number } | undefined;
    while (!isDraining && active.size < limit) {
      const batch = await store.due(untilMs, SCAN_BATCH, after);
      for (const { id } of batch) {
        if (active.has(id) || active.size >= limit) continue;
        const read = await store.read(id);
        if (read.ok && !read.value.onHold && !active.has(id)) void admit(read.value);
        else if (!read.ok && read.error.kind === 'corrupt') {
          logger.warning(`${id}: ${read.error.reason}; set aside`);
          await store.quarantine(id);
        }
      }
      after = batch.at(-1);
      if (batch.length < SCAN_BATCH) return;
    }
  };

  return {
    arrived,
    scan,
    flush: async (id) => {
      isFlushing = true;
      for (const each of transports.values()) each.reviveAll();
      if (id === undefined) await admitDue(Number.MAX_SAFE_INTEGER);
      else {
        const read = await store.read(id);
        if (read.ok) arrived(read.value);
      }
      isFlushing = false;
    },
    addAgent: (agent) => {
      agents.add(agent);
      pump(agent.transport);
    },
    removeAgent: (agent) => {
      for (const { job } of agents.remove(agent)) {
        job.crashes += 1;
        if (job.crashes < MAX_CRASHES) schedulerOf(job.transport).putBack(destinationOf(job), job);
        else {
          schedulerOf(job.transport).ended(destinationOf(job), false, parts.nowMs());
          endJob(job, 'deferred', dsn('4.3.0', 'delivery agent ended unexpectedly'), 'none');
        }
      }
      pump(agent.transport);
    },
    report: (agent, seq, report) => {
      const started = agents.take(seq, agent);
      if (!started) return;
      const { job, request } = started;
      const outcomes = isReportFor(report, request) ? report.outcomes : undefined;
      if (!outcomes) logger.error(`${request.id}: malformed report of transport ${job.transport}`);
      for (const outcome of outcomes ?? [])
        settleOne(job.active, outcome, job.transport, job.startedMs);
      const name = destinationOf(job);
      if (report.siteFailure) deadReasons.set(`${job.transport}\0${name}`, report.siteFailure);
      const back = schedulerOf(job.transport).ended(
        name,
        report.siteFailure !== undefined,
        parts.nowMs(),
      );
      for (const each of back) suspend(each);
      if (!outcomes) endJob(job, 'deferred', dsn('4.3.0', 'malformed delivery report'), 'none');
      else if (job.active.open === 0) finish(job.active);
      else ledger.record({ kind: 'replace', entry: job.active.entry }, [], () => undefined);
      pump(job.transport);
    },
    noAgent: (transport, reason) => {
      for (const job of schedulerOf(transport).drainAll()) {
        endJob(job, 'deferred', dsn('4.3.0', reason), 'none');
      }
    },
    requestOf: (seq) => agents.find(seq)?.request,
    activeIds: () => [...active.keys()],
    drain: async () => {
      isDraining = true;
      clearTimeout(scanTimer);
      while (agents.underWay() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
      await ledger.idle();
    },
  };
}

const kindOf = ({ status }: Dsn): RecipientOutcome['kind'] =>
  status.startsWith('5') ? 'bounced' : 'deferred';

const destinationOf = ({ nexthop }: Job): string => nexthop.toLowerCase();

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
