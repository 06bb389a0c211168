/**
 * What came of the recipients of a message, first in memory, then on disk.
 *
 * A recipient is marked done only after its outcome; what local delivery forwards is on disk with
 * the mark of the recipient it comes from. When no recipient of the pass is open, the pass ends: see
 * conclude.ts.
 */
import { type Dsn, dsn, softened } from '../mail/dsn.ts';
import type {
  DeliveryReport,
  QueueEntry,
  Recipient,
  RecipientOutcome,
  RecipientState,
} from '../mail/stages.ts';
import type { Active, Job, QmgrParts } from './active.ts';
import { conclude } from './conclude.ts';
import { makeForwards } from './forward.ts';
import type { Ledger } from './ledger.ts';
import { outcomeLine } from './outcome-log.ts';

export type Outcomes = {
  /** Outcomes of a job whose report was sound. */
  readonly accept: (job: Job, report: DeliveryReport) => Promise<void>;
  /** The same end for all recipients of a job. */
  readonly endJob: (job: Job, kind: RecipientOutcome['kind'], reason: Dsn, relay: string) => void;
  /** No attempt for the recipients of this job in this pass. */
  readonly skip: (job: Job) => void;
  /** Note one outcome that no agent reported. */
  readonly settle: (one: Active, index: number, reason: Dsn) => void;
  /** The pass is over: report failures, remove or defer the message, durably. */
  readonly finish: (one: Active) => void;
};

export type Next = {
  readonly arrived: (entry: QueueEntry) => void;
  readonly scanBy: (atMs: number) => void;
  /** A recipient goes to another transport. */
  readonly place: (job: Job) => void;
  /** A message is active no more. */
  readonly left: (id: string) => void;
  /** Run what belongs to one message: an error there must not stop the others. */
  readonly guard: (id: string, work: Promise<void>) => Promise<void>;
};

export function openOutcomes(parts: QmgrParts, ledger: Ledger, next: Next): Outcomes {
  const { store, logger } = parts;

  const skip = (job: Job): void => {
    job.active.open -= job.recipients.length;
    if (job.active.open === 0) finish(job.active);
  };

  const endJob: Outcomes['endJob'] = (job, kind, reason, relay) => {
    for (const { index } of job.recipients) {
      settleOne(job.active, { index, kind, dsn: reason, relay }, 'error', job.startedMs);
    }
    if (job.active.open === 0) finish(job.active);
  };

  /** Note one outcome in memory; the ledger gets it by `finish` or `recordProgress`. */
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
      const state: RecipientState =
        outcome.kind === 'deferred'
          ? { ...recipient, deferred: outcome.dsn }
          : { ...recipient, state: 'done', ...successOf(recipient, outcome) };
      one.entry = { ...one.entry, recipients: one.entry.recipients.with(outcome.index, state) };
    }
  };

  const finish = (one: Active): void => {
    if (one.isFinished) return;
    one.isFinished = true;
    if (one.isWithdrawn) return recordProgress(one, () => next.left(one.entry.id));
    void next.guard(one.entry.id, endPass(one));
  };

  const endPass = async (one: Active): Promise<void> => {
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
      next.left(id);
      if (end.change.kind === 'remove') logger.info(`${id}: removed`);
      else next.scanBy(end.change.entry.dueMs);
      for (const { entry } of added) next.arrived(entry);
    });
  };

  /** What is known so far, durably, with the messages that came of it. */
  const recordProgress = (one: Active, done: () => void = () => undefined): void => {
    const added = one.forwarded.splice(0);
    ledger.record({ kind: 'replace', entry: one.entry }, added, () => {
      done();
      for (const { entry } of added) next.arrived(entry);
    });
  };

  /** Forwards are made before anything is marked. */
  const accept: Outcomes['accept'] = async (job, report) => {
    const one = job.active;
    let { outcomes } = report;
    let isMade = true;
    let fault = dsn('4.3.0', '');
    if (report.forwards && report.forwards.length > 0) {
      const { myhostname, mail_name, hopcount_limit } = parts.config();
      const made = await makeForwards(one.entry, report.forwards, {
        store,
        clean: parts.cleanRecipients,
        myhostname,
        mail_name,
        hopcount_limit,
        nowMs: parts.nowMs(),
      });
      if (made.ok) one.forwarded.push(...made.value);
      else {
        isMade = false;
        fault = dsn('4.3.0', made.error.reason);
      }
      outcomes = outcomes.map((outcome) => {
        if (!report.forwards?.some(({ index }) => index === outcome.index)) return outcome;
        if (!made.ok) {
          const { isPermanent, reason } = made.error;
          return isPermanent
            ? { ...outcome, kind: 'bounced', dsn: dsn('5.4.6', reason) }
            : { ...outcome, kind: 'deferred', dsn: dsn('4.3.0', reason) };
        }
        if (outcome.kind !== 'sent') return outcome;
        const ids = made.value.flatMap(({ index, entry }) =>
          index === outcome.index ? entry.id : [],
        );
        return { ...outcome, dsn: dsn('2.0.0', `forwarded as ${ids.join(', ')}`) };
      });
    }
    for (const outcome of outcomes) settleOne(one, outcome, job.transport, job.startedMs);
    // A forward that cannot be made now leaves its recipient where it is.
    for (const { index, transport, nexthop } of isMade ? (report.passed ?? []) : []) {
      const address = one.entry.recipients[index]?.address ?? '';
      const recipients = [{ index, address }];
      next.place({ ...job, transport, nexthop, destination: nexthop.toLowerCase(), recipients });
    }
    if (!isMade) {
      for (const { index } of report.passed ?? []) {
        const given = { index, kind: 'deferred', dsn: fault, relay: 'none' } as const;
        settleOne(one, given, job.transport, job.startedMs);
      }
    }
    if (one.open === 0) finish(one);
    else recordProgress(one);
  };

  return {
    accept: (job, report) => next.guard(job.active.entry.id, accept(job, report)),
    endJob,
    skip,
    finish,
    settle: (one, index, reason) => {
      const kind = reason.status.startsWith('5') ? 'bounced' : 'deferred';
      settleOne(one, { index, kind, dsn: reason, relay: 'none' }, 'error', one.activeMs);
    },
  };
}

/**
 * What the sender is to be told of a success, by NOTIFY=SUCCESS; nothing where the next hop has taken
 * that over.
 *
 * @see RFC 3461 section 5.2
 */
function successOf(
  { notify }: Recipient,
  { kind, dsn: { reason, ...rest }, relay, dsnPassedOn, success }: RecipientOutcome,
): Pick<RecipientState, 'success'> {
  if (kind !== 'sent' || dsnPassedOn || !notify.includes('SUCCESS')) return {};
  const action = success?.action ?? (rest.remote ? 'relayed' : 'delivered');
  const text = success?.reason ?? reason;
  const told = relay === 'none' ? text : `delivery via ${relay}: ${text}`;
  return { success: { action, dsn: { ...rest, reason: told } } };
}
