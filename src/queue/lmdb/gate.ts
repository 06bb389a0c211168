/**
 * Opening the environment and writing to it exclude one another, between all processes.
 *
 * lmdb 3.5.6 (mdb_env_open2) ends opening by setting the shared "last transaction" to the number it
 * read from the file a moment before. If another process commits in between, the next writer starts
 * from the older state: a transaction that was synced and acknowledged is overwritten. Closing has a
 * smaller trap: the last process destroys the locks that one now opening is about to use. So both
 * are done alone, and every write is done by a process that holds its part of the gate.
 *
 * The gate is a lock of SQLite on the file `gate`: SHARED to write, EXCLUSIVE to open or close. The
 * kernel gives it back when a process is killed. A writer that is never idle would keep it for ever,
 * so whoever wants it alone puts up a sign, the file `gate.sign`, and writers that see it let what
 * is under way finish first. A sign left by a killed process delays writers by STALE_SIGN_MS.
 *
 * SQLite wants the whole path: the account of the process must be able to search all directories above.
 *
 * Cost: one look for the sign per turn of the event loop that writes.
 */
import { closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { err, ok, type Result } from '../../util/result.ts';
import type { StoreFault } from '../store.ts';

/** How long the shared part is kept after the last write: taking it costs some 30 µs. */
const LINGER_MS = 5;
const POLL_MS = 1;
const STALE_SIGN_MS = 100;
/** One attempt to be alone blocks the thread so long; the sign is put up again before each. */
const ATTEMPT_MS = 20;
/** A disk that takes longer is taken for dead. */
const GATE_DEADLINE_MS = 60_000;
const SQLITE_BUSY = 5;

export class Gate {
  readonly #sign: string;
  readonly #db: DatabaseSync;
  #isHeld = false;
  #writes = 0;
  #linger: NodeJS.Timeout | undefined;
  #drained: (() => void)[] = [];

  /** @throws when the directory cannot be written */
  constructor(directory: string) {
    this.#sign = `${directory}/gate.sign`;
    // Created with the mode of the queue; SQLite would follow the umask.
    closeSync(openSync(`${directory}/gate`, 'a', 0o600));
    this.#db = new DatabaseSync(`${directory}/gate`, { timeout: 0 });
  }

  /**
   * Before the first put of a write: true when it may be made in this turn, else a promise to wait
   * for (and then the same turn may be used). Every `enter` is followed by one `leave`.
   */
  enter(): true | Promise<Result<void, StoreFault>> {
    if (existsSync(this.#sign)) return this.#waitToEnter();
    if (!this.#isHeld && !this.#tryShare()) return this.#waitToEnter();
    this.#writes += 1;
    return true;
  }

  /** After the write is on disk, or has failed. */
  leave(): void {
    this.#writes -= 1;
    if (this.#writes > 0) return;
    for (const drained of this.#drained.splice(0)) drained();
    this.#linger ??= setTimeout(() => {
      this.#linger = undefined;
      if (this.#writes === 0) this.#release();
    }, LINGER_MS).unref();
  }

  /**
   * Run `action` while no other process writes, opens or closes, and this one does not write. For
   * the start and end of a process.
   */
  async alone<T>(action: () => T | Promise<T>): Promise<Result<T, StoreFault>> {
    this.#release();
    const deadline = Date.now() + GATE_DEADLINE_MS;
    this.#db.exec(`PRAGMA busy_timeout = ${ATTEMPT_MS}`);
    try {
      for (;;) {
        closeSync(openSync(this.#sign, 'a', 0o600));
        if (attempt(() => this.#db.exec('BEGIN EXCLUSIVE'))) break;
        if (Date.now() > deadline) return err(BLOCKED);
        await sleep(POLL_MS);
      }
      try {
        return ok(await action());
      } finally {
        rmSync(this.#sign, { force: true });
        this.#db.exec('COMMIT');
      }
    } finally {
      this.#db.exec('PRAGMA busy_timeout = 0');
    }
  }

  close(): void {
    clearTimeout(this.#linger);
    this.#db.close();
  }

  async #waitToEnter(): Promise<Result<void, StoreFault>> {
    const start = Date.now();
    let signSince = start;
    while (Date.now() - start < GATE_DEADLINE_MS) {
      const isSignUp = existsSync(this.#sign);
      if (isSignUp && this.#writes > 0) {
        await new Promise<void>((resolve) => this.#drained.push(resolve));
      } else if (isSignUp && Date.now() - signSince < STALE_SIGN_MS) {
        this.#release();
      } else if (this.#isHeld || this.#tryShare()) {
        // A sign that is still there is of a killed process, or is put up again.
        if (isSignUp) rmSync(this.#sign, { force: true });
        this.#writes += 1;
        return ok(undefined);
      } else {
        signSince = Date.now();
      }
      await sleep(POLL_MS);
    }
    return err(BLOCKED);
  }

  #tryShare(): boolean {
    // The lock is taken by the first look into the file, not by BEGIN.
    this.#isHeld = attempt(() => this.#db.exec('BEGIN; SELECT count(*) FROM sqlite_schema'));
    if (!this.#isHeld && this.#db.isTransaction) this.#db.exec('COMMIT');
    return this.#isHeld;
  }

  #release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#db.exec('COMMIT');
  }
}

const BLOCKED: StoreFault = {
  kind: 'busy',
  reason: `another process has blocked the queue for ${GATE_DEADLINE_MS / 1000} s`,
};

/** False when another process is in the way. */
function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return false;
    throw error;
  }
}
