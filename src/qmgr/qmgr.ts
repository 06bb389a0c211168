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
import { domainOf, splitAddress, splitExtension } from '../mail/address.ts';
import { type Dsn, dsn, softened } from '../mail/dsn.ts';
import type {
  DeliveryReport,
  DeliveryRequest,
  QueueEntry,
  RecipientOutcome,
} from '../mail/stages.ts';
import type { NewMessage, QueueKeeper } from '../queue/store.ts';
import type { Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { type Agent, agentRegistry, isReportFor } from './agents.ts';
import { type Composer, conclude } from './conclude.ts';
import { makeForwards } from './forward.ts';
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
  /** What concurrency is counted by: the nexthop, or one recipient of it. */
  readonly destination: string;
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
  /** Made by local delivery, not recorded yet. */
  readonly forwarded: NewMessage[];
  /** The operator asked for this attempt: defer_transports does not hold it back. */
  readonly isFlush: boolean;
  /** The operator removed it or put it on hold: nothing more is started. */
  isWithdrawn: boolean;
  isFinished: boolean;
};

export type Qmgr = {
  readonly arrived: (entry: QueueEntry) => void;
  readonly scan: () => Promise<void>;
  /** Try everything now, or one message, or all mail with a recipient in a domain. */
  readonly flush: (what?: { readonly id?: string; readonly site?: string }) => Promise<void>;
  /** The operator changed the stored entry. */
  readonly changed: (id: string, change: 'removed' | 'held' | 'released' | 'requeued') => void;
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
const WANT_AGAIN_MS = 1_000;
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
  /** Transports without an agent, and until when they are not asked for again. */
  const deadTransports = new Map<string, { readonly untilMs: number; readonly reason: Dsn }>();
  const wantTimers = new Map<string, NodeJS.Timeout>();
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

  const admit = async (entry: QueueEntry, isFlush = false): Promise<void> => {
    const one: Active = {
      entry,
      activeMs: parts.nowMs(),
      open: 0,
      failures: [],
      forwarded: [],
      isFlush,
      isWithdrawn: false,
      isFinished: false,
    };
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
    const config = parts.config();
    const limit = recipientLimitOf(hop.transport, config);
    const size = limit || recipients.length;
    const nexthop = hop.nexthop.toLowerCase();
    for (let at = 0; at < recipients.length; at += size) {
      const job: Job = {
        active: one,
        transport: hop.transport,
        nexthop: hop.nexthop,
        destination:
          limit === 1 ? `${mailboxOf(recipients[at]?.address ?? '', config)}@${nexthop}` : nexthop,
        recipients: recipients.slice(at, at + size),
        startedMs: parts.nowMs(),
        crashes: 0,
      };
      place(job);
    }
  };

  const place = (job: Job): void => {
    if (job.active.isWithdrawn) return skip(job);
    const own = handledHere(job.transport, job.nexthop);
    if (own) return endJob(job, own.kind, own.dsn, own.relay);
    if (!job.active.isFlush && splitList(parts.config().defer_transports).includes(job.transport)) {
      return endJob(job, 'deferred', dsn('4.3.2', 'deferred transport'), 'none');
    }
    const nowMs = parts.nowMs();
    const dead = deadTransports.get(job.transport);
    if (dead && dead.untilMs > nowMs) return endJob(job, 'deferred', dead.reason, 'none');
    if (!schedulerOf(job.transport).add(job.destination, job, nowMs)) return suspend(job);
    pump(job.transport);
  };

  const suspend = (job: Job): void => {
    const reason = deadReasons.get(`${job.transport}\0${job.destination}`);
    endJob(job, 'deferred', dsn('4.4.1', `${DEAD_REASON}${reason?.reason ?? 'unknown'}`), 'none');
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

  /** No attempt for these recipients in this pass. */
  const skip = (job: Job): void => {
    job.active.open -= job.recipients.length;
    if (job.active.open === 0) finish(job.active);
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
    if (one.isFinished) return;
    one.isFinished = true;
    if (one.isWithdrawn) return recordProgress(one, () => active.delete(one.entry.id));
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
      const added = [...end.added, ...one.forwarded.splice(0)];
      ledger.record(end.change, added, () => {
        active.delete(id);
        if (end.change.kind === 'remove') logger.info(`${id}: removed`);
        else scanBy(end.change.entry.dueMs);
        for (const { entry } of added) arrived(entry);
      });
    })();
  };

  /** What is known so far, durably, with the messages that came of it. */
  const recordProgress = (one: Active, done: () => void = () => undefined): void => {
    const added = one.forwarded.splice(0);
    ledger.record({ kind: 'replace', entry: one.entry }, added, () => {
      done();
      for (const { entry } of added) arrived(entry);
    });
  };

  /** Outcomes of a job whose report was sound; forwards are made before anything is marked. */
  const accept = async (job: Job, report: DeliveryReport): Promise<void> => {
    const one = job.active;
    let { outcomes } = report;
    if (report.forwards && report.forwards.length > 0) {
      const made = await makeForwards(one.entry, report.forwards, store, parts.nowMs());
      if (made.ok) one.forwarded.push(...made.value);
      outcomes = outcomes.map((outcome) => {
        if (!report.forwards?.some(({ index }) => index === outcome.index)) return outcome;
        if (!made.ok) return { ...outcome, kind: 'deferred', dsn: dsn('4.3.0', made.error) };
        const ids = made.value.flatMap(({ index, entry }) =>
          index === outcome.index ? entry.id : [],
        );
        return { ...outcome, dsn: dsn('2.0.0', `forwarded as ${ids.join(', ')}`) };
      });
    }
    for (const outcome of outcomes) settleOne(one, outcome, job.transport, job.startedMs);
    if (one.open === 0) finish(one);
    else recordProgress(one);
  };

  const arrived = (entry: QueueEntry): void => {
    if (isDraining || entry.onHold || active.has(entry.id)) return;
    if (active.size >= parts.config().qmgr_message_active_limit)
      return scanBy(parts.nowMs() + 1_000);
    void admit(entry);
  };

  const flushOne = (entry: QueueEntry): void => {
    if (!isDraining && !entry.onHold && !active.has(entry.id)) void admit(entry, true);
  };

  /** Look at the due messages no later than this. */
  const scanBy = (atMs: number): void => {
    if (isDraining || atMs >= scanAtMs) return;
    scanAtMs = atMs;
    clearTimeout(scanTimer);
    scanTimer = setTimeout(
      () => void scan(),
      Math.min(2 ** 31 - 1, Math.max(50, atMs - parts.nowMs())),
    ).unref();
  };

  const scan = async (): Promise<void> => {
    clearTimeout(scanTimer);
    scanAtMs = Number.POSITIVE_INFINITY;
    const nowMs = parts.nowMs();
    const config = parts.config();
    agents.endStalled(nowMs - config.qmgr_daemon_timeout * 1000);
    await admitDue(nowMs);
    const latest = nowMs + Math.min(config.queue_run_delay, 10) * 1000;
    const next = await nextOutside(nowMs);
    scanBy(Math.min(latest, next ?? latest));
  };

  const nextOutside = async (nowMs: number): Promise<number | undefined> => {
    const next = await store.nextDueMs();
    return next !== undefined && next > nowMs ? next : undefined;
  };

  const admitDue = async (untilMs: number, isFlush = false): Promise<void> => {
    const limit = parts.config().qmgr_message_active_limit;
    let after: { id: string; dueMs: number } | undefined;
    while (!isDraining && active.size < limit) {
      const batch = await store.due(untilMs, SCAN_BATCH, after);
      for (const { id } of batch) {
        if (active.has(id) || active.size >= limit) continue;
        const read = await store.read(id);
        if (read.ok && !read.value.onHold && !active.has(id)) void admit(read.value, isFlush);
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
    flush: async ({ id, site } = {}) => {
      deadTransports.clear();
      for (const each of transports.values()) each.reviveAll();
      if (id !== undefined) {
        const read = await store.read(id);
        if (read.ok) flushOne(read.value);
      } else if (site !== undefined) {
        const domain = site.toLowerCase();
        for await (const read of store.list()) {
          if (read.ok && hasDomain(read.value, domain)) flushOne(read.value);
        }
      } else await admitDue(Number.MAX_SAFE_INTEGER, true);
    },
    changed: (id, change) => {
      const one = active.get(id);
      if (!one) {
        if (change === 'released' || change === 'requeued') scanBy(parts.nowMs());
        return;
      }
      if (change !== 'removed' && change !== 'held') return;
      one.isWithdrawn = true;
      for (const each of transports.values()) {
        for (const job of each.takeOut((waiting) => waiting.active === one)) skip(job);
      }
    },
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
          endJob(job, 'deferred', dsn('4.3.0', 'delivery agent ended unexpectedly'), 'none');
        }
      }
      pump(agent.transport);
    },
    report: (agent, seq, report) => {
      const started = agents.take(seq, agent);
      if (!started) return;
      const { job, request } = started;
      const isSound = isReportFor(report, request);
      if (!isSound) logger.error(`${request.id}: malformed report of transport ${job.transport}`);
      const name = job.destination;
      const key = `${job.transport}\0${name}`;
      if (report.siteFailure) deadReasons.set(key, report.siteFailure);
      else deadReasons.delete(key);
      const back = schedulerOf(job.transport).ended(
        name,
        report.siteFailure !== undefined,
        parts.nowMs(),
      );
      for (const each of back) suspend(each);
      if (isSound) void accept(job, report);
      else endJob(job, 'deferred', dsn('4.3.0', 'malformed delivery report'), 'none');
      pump(job.transport);
    },
    noAgent: (transport, reason) => {
      wantNoMore(transport);
      const untilMs = parts.nowMs() + parts.config().transport_retry_time * 1000;
      deadTransports.set(transport, { untilMs, reason: dsn('4.3.0', reason) });
      for (const job of schedulerOf(transport).drainAll()) {
        endJob(job, 'deferred', dsn('4.3.0', reason), 'none');
      }
    },
    requestOf: (seq) => agents.find(seq)?.request,
    activeIds: () => [...active.keys()],
    drain: async () => {
      isDraining = true;
      clearTimeout(scanTimer);
      for (const transport of [...wantTimers.keys()]) wantNoMore(transport);
      while (agents.underWay() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
      await ledger.idle();
    },
  };
}

const kindOf = ({ status }: Dsn): RecipientOutcome['kind'] =>
  status.startsWith('5') ? 'bounced' : 'deferred';

/** A recipient's local part without its extension: one mailbox, however it is addressed. */
const mailboxOf = (address: string, config: Config): string =>
  splitExtension(splitAddress(address).local, config.recipient_delimiter).user.toLowerCase();

const hasDomain = ({ recipients }: QueueEntry, domain: string): boolean =>
  recipients.some(({ state, address }) => state === 'pending' && domainOf(address) === domain);

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
