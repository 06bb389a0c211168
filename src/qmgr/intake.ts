/**
 * Which messages are taken up: what has just arrived, what is due, what the operator asks for. Never
 * more than qmgr_message_active_limit; the others stay on disk until there is room. A flush walks
 * through the whole queue once, as fast as room becomes free; flushes wait for each other.
 */
import { domainOf } from '../mail/address.ts';
import type { QueueEntry } from '../mail/stages.ts';
import type { Active, QmgrParts } from './active.ts';

export type Intake = {
  readonly arrived: (entry: QueueEntry) => void;
  /** Look at the due messages now, and set the time of the next look. */
  readonly scan: () => Promise<void>;
  /** Look no later than this. */
  readonly scanBy: (atMs: number) => void;
  readonly flush: (what?: { readonly id?: string; readonly site?: string }) => Promise<void>;
  /** A message is active no more. */
  readonly left: () => void;
  readonly stop: () => void;
};

export type IntakeNext = {
  readonly admit: (entry: QueueEntry, isFlush: boolean) => void;
  /** With each look at the queue: stalled agents, memory that has served. */
  readonly tidy: (nowMs: number) => void;
};

const SCAN_BATCH = 200;
const MAX_FLUSHES = 100;
/** A notice that comes later than this after its message is not expected. */
const NOTICE_MS = 60_000;
const MAX_UNTOLD = 20_000;

export function openIntake(
  parts: QmgrParts,
  active: ReadonlyMap<string, Active>,
  next: IntakeNext,
): Intake {
  const { store, logger } = parts;
  let isStopped = false;
  let scanTimer: NodeJS.Timeout | undefined;
  let scanAtMs = Number.POSITIVE_INFINITY;
  /** More is due than there was room for. */
  let isMoreDue = false;
  const waiting: (() => void)[] = [];
  const pendingFlushes = new Set<string | undefined>();
  let lastFlush: Promise<void> = Promise.resolve();
  /** Found on disk before their notice came: it must not have them delivered once more. */
  const untold = new Set<string>();

  const arrived = (entry: QueueEntry): void => {
    if (untold.delete(entry.id)) return;
    if (isStopped || entry.onHold || active.has(entry.id)) return;
    if (hasRoom()) next.admit(entry, false);
    else isMoreDue = true;
  };

  const scanBy = (atMs: number): void => {
    if (isStopped || atMs >= scanAtMs) return;
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
    next.tidy(nowMs);
    await admitDue(nowMs);
    const latest = nowMs + Math.min(parts.config().queue_run_delay, 10) * 1000;
    scanBy(Math.min(latest, (await nextOutside(nowMs)) ?? latest));
  };

  const nextOutside = async (nowMs: number): Promise<number | undefined> => {
    const dueMs = await store.nextDueMs();
    return dueMs !== undefined && dueMs > nowMs ? dueMs : undefined;
  };

  /** Up to the limit; what is left is taken up as messages end. */
  const admitDue = async (untilMs: number): Promise<void> => {
    isMoreDue = false;
    let after: { id: string; dueMs: number } | undefined;
    while (!isStopped) {
      const batch = await store.due(untilMs, SCAN_BATCH, after);
      for (const { id } of batch) {
        if (active.has(id)) continue;
        if (!hasRoom()) {
          isMoreDue = true;
          return;
        }
        await admitStored(id, false);
      }
      after = batch.at(-1);
      if (batch.length < SCAN_BATCH) return;
    }
  };

  /** As it is on disk now; a damaged one is kept for the operator and out of the way. */
  const admitStored = async (id: string, isFlush: boolean): Promise<void> => {
    const read = await store.read(id);
    if (isStopped) return;
    if (read.ok && !read.value.onHold && !active.has(id)) {
      if (parts.nowMs() - read.value.arrivedMs < NOTICE_MS) untold.add(id);
      const [oldest] = untold;
      if (untold.size > MAX_UNTOLD && oldest !== undefined) untold.delete(oldest);
      next.admit(read.value, isFlush);
    } else if (!read.ok && read.error.kind === 'corrupt') {
      logger.warning(`${id}: ${read.error.reason}; set aside`);
      await store.quarantine(id);
    }
  };

  const hasRoom = (): boolean => active.size < parts.config().qmgr_message_active_limit;

  /** Until a message ends, or the server does. */
  const room = async (): Promise<void> => {
    while (!hasRoom() && !isStopped) {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
    }
  };

  const walk = async (wants: (entry: QueueEntry) => boolean): Promise<void> => {
    for await (const read of store.list()) {
      if (isStopped) return;
      const id = read.ok ? read.value.id : read.error.id;
      if (read.ok && (read.value.onHold || !wants(read.value))) continue;
      await room();
      await admitStored(id, true);
    }
  };

  const flush: Intake['flush'] = async ({ id, site } = {}) => {
    if (id !== undefined) {
      if (hasRoom()) await admitStored(id, true);
      else scanBy(parts.nowMs() + 1_000);
      return;
    }
    const what = site?.toLowerCase();
    // A flush that has not begun will do for the next one too.
    if (pendingFlushes.has(what)) return;
    if (pendingFlushes.size >= MAX_FLUSHES) return logger.warning('too many flush requests');
    pendingFlushes.add(what);
    const turn = lastFlush.then(() => {
      pendingFlushes.delete(what);
      return walk((entry) => what === undefined || hasDomain(entry, what));
    });
    lastFlush = turn;
    return turn;
  };

  return {
    arrived,
    scan,
    scanBy,
    flush,
    left: () => {
      if (waiting.length > 0) return waiting.shift()?.();
      const isHalfEmpty = active.size * 2 <= parts.config().qmgr_message_active_limit;
      if (isMoreDue && isHalfEmpty) scanBy(parts.nowMs());
    },
    stop: () => {
      isStopped = true;
      clearTimeout(scanTimer);
      for (const wake of waiting.splice(0)) wake();
    },
  };
}

const hasDomain = ({ recipients }: QueueEntry, domain: string): boolean =>
  recipients.some(({ state, address }) => state === 'pending' && domainOf(address) === domain);
