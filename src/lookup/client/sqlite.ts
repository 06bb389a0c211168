/**
 * One SQLite file, asked in a thread of its own: our module around node:sqlite.
 *
 * SQLite answers on the thread that asks. An indexed lookup takes some ten microseconds, but a full
 * scan or a writer's lock would hold every session of the process, so that a thread takes the wait
 * (one for each file in a process, about 6 MB). A query that is not answered in time is given up
 * and the thread replaced.
 */
import { Worker } from 'node:worker_threads';
import type { Result } from '../../util/result.ts';
import type { SqlAnswer } from '../types/sql.ts';
import { answered, type Failure, lost, reasonOf, refused } from './pool.ts';

export type SqliteSetup = { readonly path: string; readonly ready: Int32Array };
export type SqliteRequest = { readonly id: number; readonly text: string };
export type SqliteReply =
  | { readonly id: number; readonly rows: (string | null)[][] }
  | { readonly id: number; readonly reason: string };

/** The thread opens the file with the rights this process has now, before it drops them. */
const START_MS = 5_000;

type Waiting = (answer: Result<SqlAnswer, Failure>) => void;

export class SqliteFile {
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #nextId = 0;

  constructor(path: string, timeoutMs: number) {
    this.#path = path;
    this.#timeoutMs = timeoutMs;
    const ready = new Int32Array(new SharedArrayBuffer(4));
    this.#worker = this.#start(ready);
    Atomics.wait(ready, 0, 0, START_MS);
  }

  query(text: string): Promise<Result<SqlAnswer, Failure>> {
    this.#worker ??= this.#start(new Int32Array(new SharedArrayBuffer(4)));
    const worker = this.#worker;
    this.#nextId += 1;
    const id = this.#nextId;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#end(worker, lost(`no answer within ${this.#timeoutMs / 1000} s`, true));
      }, this.#timeoutMs);
      this.#waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      worker.postMessage({ id, text } satisfies SqliteRequest);
    });
  }

  /** End the thread; a later query starts another. */
  close(): void {
    if (this.#worker) this.#end(this.#worker, lost('closed'));
  }

  #start(ready: Int32Array): Worker {
    const setup: SqliteSetup = { path: this.#path, ready };
    const worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), {
      workerData: setup,
      // Options of the process (test runners set some) are not for this thread.
      execArgv: [],
    });
    worker.on('message', (reply: SqliteReply) => {
      const resolve = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      const rows = 'rows' in reply ? reply.rows : undefined;
      if (rows) resolve?.(answered({ rows, hasResultSet: true }));
      else if ('reason' in reply) resolve?.(refused(reply.reason));
    });
    worker.on('error', (error) => this.#end(worker, lost(reasonOf(error))));
    worker.on('exit', () => this.#end(worker, lost('the thread ended')));
    // After the listeners: adding one makes the process wait for the thread again.
    worker.unref();
    return worker;
  }

  #end(worker: Worker, answer: Result<SqlAnswer, Failure>): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    void worker.terminate();
    for (const resolve of this.#waiting.values()) resolve(answer);
    this.#waiting.clear();
  }
}
