/**
 * The queue of one machine: an LMDB environment in one directory, shared by several processes.
 *
 *   entries  id -> QueueEntry; its version number is the revision that guards concurrent changes
 *   bodies   id -> body, or the facts about `bodies/ID` (above 128 KiB)
 *   due      [dueMs, id] -> nothing; a hint, always checked against the entry
 *   corrupt  what recovery set aside
 *
 * A commit is three puts of one turn, hence one transaction; commits of the same moment share its
 * sync (see environment.ts). Reads always start from the newest snapshot and end with the turn.
 *
 * Full disk: commit answers `no-space`, also while only outcomes have room; settle gives up the ballast and tries once more. Any other
 * failed write is final: the store answers `broken` from then on, and the process must end.
 */

import type { Logger } from '../../log/maillog.ts';
import { newQueueId } from '../../mail/queue-id.ts';
import type { QueueEntry } from '../../mail/stages.ts';
import { err, ok, type Result } from '../../util/result.ts';
import type {
  Body,
  Draft,
  DueEntry,
  EntryChange,
  NewMessage,
  QueueKeeper,
  StoreFault,
} from '../store.ts';
import { readBodyFile, removeBodyFile, verifyBodyFile, writeBodyFile } from './body-file.ts';
import { type BodyToStore, makeDraft, SMALL_BODY_BYTES } from './draft.ts';
import {
  durable,
  type Environment,
  faultOf,
  guardTurn,
  openEnvironment,
  openGate,
} from './environment.ts';
import type { Gate } from './gate.ts';
import {
  decodeBody,
  decodeEntry,
  encodeEntry,
  encodeFileBody,
  encodeWholeBody,
  entryHead,
} from './records.ts';
import { quarantineEntry, recoverQueue } from './recovery.ts';
import { type Space, spaceOf } from './space.ts';

export type LmdbStoreOptions = {
  /** `queue`, relative to the working directory of every process. */
  readonly directory: string;
  /** queue_minfree */
  readonly minFreeBytes: number;
  /** enable_long_queue_ids: `long` */
  readonly idForm: 'long' | 'short';
  readonly logger: Pick<Logger, 'info' | 'warning' | 'error'>;
  /** Make the environment if it is missing, and keep the ballast: qmgr, or whoever is first. */
  readonly create?: boolean;
  readonly readOnly?: boolean;
  /** Without `create`: how long to wait for the environment to appear. */
  readonly waitMs?: number;
  /** For tests. */
  readonly ballastBytes?: number;
  readonly unsafeNoSync?: boolean;
};

const POLL_MS = 50;
const WRITE_DEADLINE_MS = 60_000;
const LIST_BATCH = 100;
const SETTLE_ATTEMPTS = 5;
const NOTHING = Buffer.alloc(0);

/** Open the queue. Each process opens it once. */
export async function openLmdbStore(
  options: LmdbStoreOptions,
): Promise<Result<QueueKeeper, StoreFault>> {
  const { directory, create = false } = options;
  const deadline = Date.now() + (options.waitMs ?? 0);
  for (;;) {
    const gate = openGate(directory, create);
    if (gate.ok) return openBehind(gate.value, options);
    if (gate.error.kind !== 'absent' || Date.now() >= deadline) return gate;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function openBehind(
  gate: Gate,
  options: LmdbStoreOptions,
): Promise<Result<QueueKeeper, StoreFault>> {
  const { directory, readOnly = false, create = false, unsafeNoSync = false } = options;
  const alone = await gate.alone(() =>
    openEnvironment({ directory, readOnly, create, unsafeNoSync }),
  );
  const opened = alone.ok ? alone.value : alone;
  if (!opened.ok) {
    gate.close();
    return opened;
  }
  const space = spaceOf(directory, options.minFreeBytes, Date.now, options.ballastBytes);
  if (create && !readOnly) space.restore();
  return ok(new LmdbStore(opened.value, gate, space, options));
}

class LmdbStore implements QueueKeeper {
  readonly #db: Environment;
  readonly #gate: Gate;
  readonly #space: Space;
  readonly #options: LmdbStoreOptions;
  /** Set once: the reason why nothing is written any more. */
  #broken: StoreFault | undefined;
  #closed = false;
  #isGuarded = false;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(db: Environment, gate: Gate, space: Space, options: LmdbStoreOptions) {
    this.#db = db;
    this.#gate = gate;
    this.#space = space;
    this.#options = options;
    if (options.readOnly) this.#broken = { kind: 'broken', reason: 'queue is open for reading' };
  }

  begin(): Draft {
    const id = newQueueId(this.#options.idForm, Date.now(), process.pid);
    return makeDraft(id, this.#options.directory, (entry, body) => this.#insert(entry, body));
  }

  acceptsMail(sizeBytes: number): Result<void, StoreFault> {
    if (this.#broken) return err(this.#broken);
    return this.#space.accepts(sizeBytes);
  }

  async read(id: string): Promise<Result<QueueEntry, StoreFault>> {
    const record = this.#get('entries', id);
    if (!record.ok) return record;
    const entry = decodeEntry(id, record.value);
    return entry ? ok(entry) : err({ kind: 'corrupt', reason: `entry ${id}: checksum` });
  }

  async openBody(entry: Pick<QueueEntry, 'id' | 'content'>): Promise<Result<Body, StoreFault>> {
    const { id } = entry;
    const record = this.#get('bodies', id);
    if (!record.ok) return record;
    const body = decodeBody(id, record.value);
    if (!body) return err({ kind: 'corrupt', reason: `body ${id}: checksum` });
    if (body.kind === 'whole') {
      const { bytes } = body;
      return ok({ content: { wireBytes: bytes.length }, bytes, chunks: once(bytes) });
    }
    const { directory } = this.#options;
    const facts = { crc: body.fileCrc, bytes: body.fileBytes };
    const fault = await verifyBodyFile(directory, id, facts);
    if (fault) return err(fault);
    return ok({
      content: { wireBytes: body.head.length + body.fileBytes },
      chunks: readBodyFile(directory, id, body.head),
    });
  }

  async settle(
    changes: readonly EntryChange[],
    added: readonly NewMessage[] = [],
  ): Promise<Result<void, StoreFault>> {
    if (this.#broken) return err(this.#broken);
    const bodies: BodyToStore[] = [];
    for (const { entry, body } of added) {
      const stored = await this.#bodyToStore(entry.id, body);
      if (!stored.ok) return stored;
      bodies.push(stored.value);
    }
    let result = await this.#settleOnce(changes, added, bodies);
    if (!result.ok && result.error.kind === 'no-space' && this.#space.release()) {
      this.#options.logger.warning('queue file system is full: ballast released');
      result = await this.#settleOnce(changes, added, bodies);
    }
    return result;
  }

  async due(nowMs: number, limit: number, after?: DueEntry): Promise<readonly DueEntry[]> {
    const found: DueEntry[] = [];
    for (const due of this.#dueKeys(after)) {
      if (due.dueMs > nowMs || found.length >= limit) break;
      found.push(due);
    }
    return found;
  }

  async nextDueMs(): Promise<number | undefined> {
    for (const { dueMs } of this.#dueKeys()) return dueMs;
    return undefined;
  }

  async *list(): AsyncGenerator<Result<QueueEntry, StoreFault & { readonly id: string }>> {
    let after: string | undefined;
    for (;;) {
      const batch = this.#batch(after);
      for (const { id, entry } of batch) {
        if (entry) yield ok(entry);
        else yield err({ id, kind: 'corrupt', reason: `entry ${id}: checksum` });
      }
      if (batch.length < LIST_BATCH) return;
      after = batch.at(-1)?.id;
    }
  }

  maintain(): void {
    if (this.#closed) return;
    const dead = this.#db.root.readerCheck();
    if (dead > 0) this.#options.logger.info(`queue: ${dead} readers of ended processes cleared`);
    if (this.#options.create && !this.#options.readOnly) this.#space.restore();
  }

  recover(): ReturnType<QueueKeeper['recover']> {
    return recoverQueue(this.#db, this.#options, (writes) => this.#write(writes));
  }

  async quarantine(id: string): Promise<Result<void, StoreFault>> {
    this.#db.root.resetReadTxn();
    return this.#write(() => quarantineEntry(this.#db, id));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#broken ??= { kind: 'broken', reason: 'queue is closed' };
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    this.#closed = true;
    await this.#gate.alone(() => this.#db.root.close());
    this.#gate.close();
  }

  #get(kind: 'entries' | 'bodies', id: string): Result<Buffer, StoreFault> {
    if (this.#closed) return err({ kind: 'broken', reason: 'queue is closed' });
    try {
      this.#db.root.resetReadTxn();
      const record = this.#db[kind].getBinary(id);
      return record ? ok(record) : err({ kind: 'absent', reason: `${id} is not in the queue` });
    } catch (error) {
      return err(faultOf(error));
    }
  }

  async #insert(entry: QueueEntry, body: BodyToStore): Promise<Result<void, StoreFault>> {
    const room = this.#space.hasRoom();
    return room.ok ? this.#write(() => this.#putNew(entry, body)) : room;
  }

  #putNew(entry: QueueEntry, body: BodyToStore): Promise<boolean>[] {
    const { entries, bodies, due } = this.#db;
    const puts = [
      bodies.put(entry.id, body.record),
      entries.put(entry.id, encodeEntry(entry, body.inFile), 1),
    ];
    if (!entry.onHold) puts.push(due.put([entry.dueMs, entry.id], NOTHING));
    return puts;
  }

  /** Run the writes of one transaction and wait until they are on disk. */
  #write(writes: () => Promise<boolean>[]): Promise<Result<void, StoreFault>> {
    if (this.#broken) return Promise.resolve(err(this.#broken));
    const writing = this.#writeNow(writes);
    this.#underWay.add(writing);
    writing.then(() => this.#underWay.delete(writing));
    return writing;
  }

  async #writeNow(writes: () => Promise<boolean>[]): Promise<Result<void, StoreFault>> {
    const entered = this.#gate.enter();
    if (entered !== true) {
      const waited = await entered;
      if (!waited.ok) return waited;
    }
    const written = await this.#writeInside(writes);
    // One that got no answer may still be under way; the process ends soon.
    if (this.#broken === undefined) this.#gate.leave();
    return written;
  }

  async #writeInside(writes: () => Promise<boolean>[]): Promise<Result<void, StoreFault>> {
    let fault: StoreFault | undefined;
    try {
      const puts = writes();
      this.#guardTurn();
      fault = await durable(puts, WRITE_DEADLINE_MS);
    } catch (error) {
      fault = faultOf(error);
    }
    if (fault === undefined) return ok(undefined);
    if (fault.kind !== 'no-space' && this.#space.isShort()) {
      fault = { kind: 'no-space', reason: fault.reason };
    }
    if (fault.kind !== 'no-space') {
      fault = { kind: 'broken', reason: fault.reason };
      this.#broken ??= fault;
      this.#options.logger.error(`queue: write failed: ${fault.reason}`);
    }
    return err(fault);
  }

  /** Once for all writes of a turn. */
  #guardTurn(): void {
    if (this.#isGuarded) return;
    this.#isGuarded = true;
    guardTurn(this.#db);
    setImmediate(() => {
      this.#isGuarded = false;
    });
  }

  async #settleOnce(
    changes: readonly EntryChange[],
    added: readonly NewMessage[],
    bodies: readonly BodyToStore[],
  ): Promise<Result<void, StoreFault>> {
    let open = changes;
    const files: string[] = [];
    for (let attempt = 1; attempt <= SETTLE_ATTEMPTS; attempt += 1) {
      const guarded: { readonly change: EntryChange; readonly put: Promise<boolean> }[] = [];
      if (this.#closed) return err({ kind: 'broken', reason: 'queue is closed' });
      const result = await this.#write(() => {
        this.#db.root.resetReadTxn();
        const puts = open.flatMap((change) => this.#applyChange(change, guarded, files));
        if (attempt > 1) return puts;
        return puts.concat(
          added.flatMap(({ entry }, i) => {
            const body = bodies[i];
            return body ? this.#putNew(entry, body) : [];
          }),
        );
      });
      if (!result.ok) return result;
      const kept = await Promise.all(guarded.map(({ put }) => put));
      // A change that lost against an operator's command starts from what that one wrote.
      open = guarded.filter((_, i) => kept[i] === false).map(({ change }) => change);
      if (open.length === 0) break;
    }
    for (const id of files) await this.#removeFile(id);
    return ok(undefined);
  }

  #applyChange(
    change: EntryChange,
    guarded: { readonly change: EntryChange; readonly put: Promise<boolean> }[],
    files: string[],
  ): Promise<boolean>[] {
    const { entries, bodies, due } = this.#db;
    const id = change.kind === 'remove' ? change.id : change.entry.id;
    const stored = entries.getEntry(id);
    if (!stored) return [];
    const head = entryHead(id, stored.value);
    const puts: Promise<boolean>[] = [];
    const wasDueMs = head && !head.onHold ? head.dueMs : undefined;
    if (change.kind === 'remove') {
      if (wasDueMs !== undefined) puts.push(due.remove([wasDueMs, id]));
      // Damaged: nobody knows where its body was, so the file is looked for.
      if (head?.inFile ?? true) files.push(id);
      return puts.concat(entries.remove(id), bodies.remove(id));
    }
    const onHold = change.byOperator || !head ? change.entry.onHold : head.onHold;
    const entry = onHold === change.entry.onHold ? change.entry : { ...change.entry, onHold };
    const revision = stored.version ?? 1;
    const record = encodeEntry(entry, head?.inFile ?? false);
    const put = entries.put(id, record, revision + 1, revision);
    guarded.push({ change, put });
    puts.push(put);
    const isDueMs = entry.onHold ? undefined : entry.dueMs;
    if (wasDueMs === isDueMs) return puts;
    if (wasDueMs !== undefined) puts.push(due.remove([wasDueMs, id]));
    if (isDueMs !== undefined) puts.push(due.put([isDueMs, id], NOTHING));
    return puts;
  }

  async #bodyToStore(id: string, body: Buffer): Promise<Result<BodyToStore, StoreFault>> {
    if (body.length <= SMALL_BODY_BYTES) {
      return ok({ record: encodeWholeBody(id, [body], body.length), inFile: false });
    }
    const writer = writeBodyFile(this.#options.directory, id);
    await writer.write(body);
    const facts = await writer.finish();
    return facts.ok ? ok({ record: encodeFileBody(id, [], facts.value), inFile: true }) : facts;
  }

  async #removeFile(id: string): Promise<void> {
    const fault = await removeBodyFile(this.#options.directory, id);
    if (fault) this.#options.logger.warning(`queue: bodies/${id} not removed: ${fault.reason}`);
  }

  /** Due rows that agree with their entry, in order; rows that do not are removed. */
  *#dueKeys(after?: DueEntry): Generator<DueEntry, void, void> {
    if (this.#closed) return;
    const { entries, due, root } = this.#db;
    root.resetReadTxn();
    const from: { start: [number, string]; exclusiveStart: boolean } = after
      ? { start: [after.dueMs, after.id], exclusiveStart: true }
      : { start: [0, ''], exclusiveStart: false };
    for (const [dueMs, id] of due.getKeys(from)) {
      const record = entries.getBinary(id);
      const head = record && entryHead(id, record);
      // A damaged entry stays listed: reading it tells the caller.
      if (record && (!head || (!head.onHold && head.dueMs === dueMs))) yield { dueMs, id };
      else if (!this.#broken) this.#write(() => [due.remove([dueMs, id])]);
    }
  }

  #batch(after: string | undefined): { readonly id: string; readonly entry?: QueueEntry }[] {
    if (this.#closed) return [];
    const { entries, root } = this.#db;
    root.resetReadTxn();
    const range = after === undefined ? {} : { start: after, exclusiveStart: true };
    const batch: { id: string; entry?: QueueEntry }[] = [];
    for (const { key, value } of entries.getRange({ ...range, limit: LIST_BATCH })) {
      const entry = decodeEntry(key, value);
      batch.push(entry ? { id: key, entry } : { id: key });
    }
    return batch;
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}
