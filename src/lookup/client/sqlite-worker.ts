/**
 * The thread that asks one SQLite file. The file is opened when it is first there, for reading
 * only, and anew when another has taken its place; each request is one query text, each answer its
 * rows or the reason why there are none.
 */
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { SqliteReply, SqliteRequest, SqliteSetup } from './sqlite.ts';

/** How long a query waits for a writer. */
const BUSY_MS = 1_000;

const setup: SqliteSetup = workerData;
let database: DatabaseSync | undefined;
let identity = '';

function current(): DatabaseSync {
  const stat = statSync(setup.path, { throwIfNoEntry: false });
  const now = stat ? `${stat.dev}:${stat.ino}` : '';
  if (database && now === identity) return database;
  database?.close();
  database = undefined;
  database = new DatabaseSync(setup.path, {
    readOnly: true,
    timeout: BUSY_MS,
    enableDoubleQuotedStringLiterals: true,
  });
  identity = now;
  return database;
}

/** First column of each row as text; blobs as UTF-8. */
function ask(text: string): (string | null)[][] {
  const statement = current().prepare(text);
  statement.setReturnArrays(true);
  statement.setReadBigInts(true);
  const rows: (string | null)[][] = [];
  for (const row of statement.iterate()) {
    const [first = null] = Object.values(row);
    rows.push([textOf(first)]);
  }
  return rows;
}

function textOf(value: unknown): string | null {
  if (value === null) return null;
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : String(value);
}

function open(): void {
  try {
    ask('SELECT 1');
  } catch {
    // Said again, with its reason, by the first lookup.
  }
}

open();
Atomics.store(setup.ready, 0, 1);
Atomics.notify(setup.ready, 0);

parentPort?.on('message', ({ id, text }: SqliteRequest) => {
  let reply: SqliteReply;
  try {
    reply = { id, rows: ask(text) };
  } catch (error) {
    reply = { id, reason: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(reply);
});
