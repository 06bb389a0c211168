/**
 * The queue contract: where accepted mail lives until every recipient has an outcome.
 *
 * Promises, each held by test/queue/store-contract.ts on every engine:
 * - a resolved `commit` or `settle` is on stable storage, whole: body, entry and index together;
 * - a rejected or failed one left nothing behind that a reader could see;
 * - a damaged record is never returned as a good one: it is reported as `corrupt`;
 * - several processes may commit; only qmgr calls `settle` and reads `due`.
 *
 * Expected failures are values (`StoreFault`). `no-space` becomes 452, everything else 451; after
 * `broken` the engine refuses further writes and the process must end (a sync error is final).
 */
import type { Content, QueueEntry } from '../mail/stages.ts';
import type { Result } from '../util/result.ts';

export type StoreFault = {
  readonly kind: 'no-space' | 'busy' | 'broken' | 'corrupt' | 'absent';
  readonly reason: string;
};

/** A body while it is being received. Owned by one session; always ended by commit or abort. */
export interface Draft {
  readonly id: string;
  /** Bytes written so far. */
  readonly wireBytes: number;
  /**
   * Append stored-form bytes (see `Content`). Returns true, or a promise to await before the next
   * write (backpressure). Errors are remembered and reported by `commit`.
   */
  write(chunk: Buffer): true | Promise<void>;
  /** Insert bytes before everything written so far: trace and missing headers. */
  prepend(chunk: Buffer): void;
  /** Make body and entry durable together. The 250 may be sent when it resolves ok. */
  commit(entry: QueueEntry): Promise<Result<void, StoreFault>>;
  /** Forget it; removes a body file already begun. Safe to call after commit (no effect). */
  abort(): void;
}

/** What may change of a stored entry. */
export type EntryChange =
  | {
      /**
       * Write a new state of an entry that is in the queue; one that was removed meanwhile stays
       * removed. `onHold` is the operator's: the stored value stays unless `byOperator` is set.
       */
      readonly kind: 'replace';
      readonly entry: QueueEntry;
      readonly byOperator?: true;
    }
  | { readonly kind: 'remove'; readonly id: string };

/** A message made by ourselves, committed in the same transaction as the change that caused it. */
export type NewMessage = { readonly entry: QueueEntry; readonly body: Buffer };

export type DueEntry = { readonly id: string; readonly dueMs: number };

export interface QueueStore {
  /** A fresh id and a draft to write to. Never touches the disk for a small body. */
  begin(): Draft;
  /** Free space is above queue_minfree and the engine takes writes; else why not. */
  acceptsMail(sizeBytes: number): Result<void, StoreFault>;

  read(id: string): Promise<Result<QueueEntry, StoreFault>>;
  /** The whole body of a small message at once, a large one in chunks. CRC checked before use. */
  openBody(entry: Pick<QueueEntry, 'id' | 'content'>): Promise<Result<Body, StoreFault>>;

  /** Apply changes and add messages in one durable transaction. */
  settle(
    changes: readonly EntryChange[],
    added?: readonly NewMessage[],
  ): Promise<Result<void, StoreFault>>;

  /** Entries not on hold with dueMs <= nowMs, oldest due first, at most `limit`, after `after`. */
  due(nowMs: number, limit: number, after?: DueEntry): Promise<readonly DueEntry[]>;
  /** The earliest dueMs of all entries not on hold. */
  nextDueMs(): Promise<number | undefined>;

  /** Every entry in id order, in bounded batches; damaged ones as faults. For commands. */
  list(): AsyncIterable<Result<QueueEntry, StoreFault & { readonly id: string }>>;

  close(): Promise<void>;
}

export type Body = {
  readonly content: Pick<Content, 'wireBytes'>;
  /** Present when the whole body is in memory. Do not keep it beyond the current use. */
  readonly bytes?: Buffer;
  /** Chunks in order; may be iterated once. */
  readonly chunks: AsyncIterable<Buffer>;
};

export type RecoveryReport = {
  readonly entries: number;
  /** Set aside with a warning. */
  readonly corrupt: number;
  readonly reindexed: number;
  /** Body files without a record, removed. */
  readonly orphans: number;
};

/** The store as its keeper, qmgr, sees it. */
export interface QueueKeeper extends QueueStore {
  /** Once, before the first `due`. Idempotent. */
  recover(): Promise<Result<RecoveryReport, StoreFault>>;
  /** Each minute and whenever a child process ended: frees what killed readers pinned. */
  maintain(): void;
  /** Set a damaged message aside: it leaves `due` and `list`, and is kept for the operator. */
  quarantine(id: string): Promise<Result<void, StoreFault>>;
}
