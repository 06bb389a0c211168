/**
 * The queue manager: takes messages up, gives each recipient to an agent, records what came of it.
 *
 *   intake   arrived or due -> active
 *   route    recipients -> jobs by destination
 *   dispatch jobs -> agents, within the window of each destination (schedule)
 *   outcomes report -> marks; conclude: bounces, delay notices, the next attempt
 *   ledger   all of it on disk, many messages in one transaction
 *
 * A recipient is marked done only after its outcome. When a pass over a message is over, its
 * permanent failures are reported to the sender in the same transaction that marks them; what was
 * deferred is due again after its age, between minimal_ and maximal_backoff_time.
 */
import type { DeliveryReport, DeliveryRequest, QueueEntry } from '../mail/stages.ts';
import { type Active, activate, type QmgrParts } from './active.ts';
import type { Agent } from './agents.ts';
import { contain } from './contain.ts';
import { openDispatch } from './dispatch.ts';
import { type Intake, openIntake } from './intake.ts';
import { openLedger } from './ledger.ts';
import { activeLine } from './outcome-log.ts';
import { openOutcomes } from './outcomes.ts';
import { routeMessage } from './route.ts';

export type OperatorChange = 'removed' | 'held' | 'released' | 'requeued' | 'expired';

export type Qmgr = {
  readonly arrived: (entry: QueueEntry) => void;
  readonly scan: () => Promise<void>;
  /** Try everything now, or one message, or all mail with a recipient in a domain. */
  readonly flush: (what?: { readonly id?: string; readonly site?: string }) => Promise<void>;
  /** The operator changed the stored entry. */
  readonly changed: (id: string, change: OperatorChange) => void;
  readonly addAgent: (agent: Agent) => void;
  readonly removeAgent: (agent: Agent) => void;
  readonly report: (agent: Agent, seq: number, report: DeliveryReport) => void;
  /** master cannot start an agent for this transport. */
  readonly noAgent: (transport: string, reason: string) => void;
  readonly requestOf: (seq: number) => DeliveryRequest | undefined;
  readonly isActive: (id: string) => boolean;
  /** Start nothing new; resolves when what is under way has been recorded. */
  readonly drain: () => Promise<void>;
};

export function openQmgr(parts: QmgrParts): Qmgr {
  const active = new Map<string, Active>();
  const ledger = openLedger(parts.store, (reason, isFinal) => {
    parts.logger.warning(`queue: ${reason}`);
    if (isFinal) parts.exit(75);
  });
  const left = (id: string): void => {
    if (active.delete(id)) intake.left();
  };
  const guard = (id: string, work: Promise<void>): Promise<void> =>
    work.catch(async (error: unknown) => {
      await contain(id, error, parts);
      left(id);
    });
  const outcomes = openOutcomes(parts, ledger, {
    arrived: (entry) => intake.arrived(entry),
    scanBy: (atMs) => intake.scanBy(atMs),
    place: (job) => dispatch.place(job),
    left,
    guard,
  });
  const dispatch = openDispatch(parts, outcomes);

  const admit = async (entry: QueueEntry, isFlush: boolean): Promise<void> => {
    const one = activate(entry, isFlush, parts.nowMs());
    active.set(entry.id, one);
    parts.logger.info(activeLine(entry));
    const { jobs, unroutable } = await routeMessage(one, parts);
    for (const { index, dsn } of unroutable) outcomes.settle(one, index, dsn);
    for (const job of jobs) dispatch.place(job);
    if (one.open === 0) outcomes.finish(one);
  };
  const intake: Intake = openIntake(parts, active, {
    admit: (entry, isFlush) => void guard(entry.id, admit(entry, isFlush)),
    tidy: dispatch.tidy,
  });

  return {
    arrived: intake.arrived,
    scan: intake.scan,
    flush: (what) => {
      dispatch.reviveAll();
      return intake.flush(what);
    },
    changed: (id, change) => {
      const one = active.get(id);
      // What this pass writes must not take the mark away again.
      if (one && change === 'expired') one.entry = { ...one.entry, isExpired: true };
      if (!one) {
        if (change !== 'removed' && change !== 'held') intake.scanBy(parts.nowMs());
      } else if (change === 'removed' || change === 'held') {
        one.isWithdrawn = true;
        dispatch.withdraw(one);
      }
    },
    addAgent: dispatch.addAgent,
    removeAgent: dispatch.removeAgent,
    report: dispatch.report,
    noAgent: dispatch.noAgent,
    requestOf: dispatch.requestOf,
    isActive: (id) => active.has(id),
    drain: async () => {
      intake.stop();
      await dispatch.drain();
      await ledger.idle();
    },
  };
}
