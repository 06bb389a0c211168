/**
 * `postern queue dump FILE|-` copies all queued mail out, while the server runs or not;
 * `postern queue restore FILE|-` puts it back. docs/queue.md says when to use which.
 *
 * The format, text lines and raw bytes, made to be read without us:
 *
 *   postern-queue-dump 1
 *   {"entry":{...},"bytes":N,"crc32":C}      one QueueEntry as JSON, then its body
 *   N bytes, CRLF line ends, and one LF
 *   ...
 *   {"end":true,"messages":M}                a dump without this line is cut short
 */
import { createReadStream, createWriteStream } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import type { Config } from '../conf/params.ts';
import { isQueueId } from '../mail/queue-id.ts';
import type { QueueEntry } from '../mail/stages.ts';
import type { QueueStore } from '../queue/store.ts';
import { err, ok, type Result } from '../util/result.ts';
import { commandConfig } from './command-config.ts';
import type { Io } from './main.ts';
import { openQueue } from './queue-access.ts';

const TITLE = 'postern-queue-dump 1';
const MAX_LINE = 64 * 1024 * 1024;
const USAGE = 'usage: postern queue dump|restore FILE|-';

/** The exit status. */
export async function queueDump(argv: readonly string[], io: Io, loaded?: Config): Promise<number> {
  const fatal = (text: string): number => {
    io.stderr(`postern: fatal: ${text}\n`);
    return 1;
  };
  const [verb, file] = argv;
  if ((verb !== 'dump' && verb !== 'restore') || file === undefined) return fatal(USAGE);
  const config = loaded ?? commandConfig('postern', io);
  if (!config) return 1;
  try {
    // The file is opened by whoever calls, before root is given up.
    if (verb === 'dump') {
      const output = file === '-' ? process.stdout : createWriteStream(file, { mode: 0o600 });
      if (output !== process.stdout) await opening(output);
      const queue = await openQueue(config, io, 'read');
      if (!queue.ok) return fatal(queue.error);
      const { messages, skipped } = await dumpQueue(queue.value.store, output, io);
      if (output !== process.stdout) {
        output.end();
        await finished(output);
      }
      await queue.value.store.close();
      io.stderr(`postern: Dumped: ${messages} messages\n`);
      return skipped === 0 ? 0 : 1;
    }
    const input = file === '-' ? process.stdin : createReadStream(file);
    if (input !== process.stdin) await opening(input);
    const queue = await openQueue(config, io, 'write');
    if (!queue.ok) return fatal(queue.error);
    const done = await restoreQueue(queue.value.store, input);
    await queue.value.store.close();
    if (!done.ok) return fatal(done.error);
    io.stderr(`postern: Restored: ${done.value.restored}, already there: ${done.value.present}\n`);
    return 0;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return fatal(error.message);
    throw error;
  }
}

function opening(stream: Readable | Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('open', () => resolve());
    stream.once('error', reject);
  });
}

/** Every message whole; one that is delivered meanwhile is left out, damaged ones are reported. */
export async function dumpQueue(
  store: QueueStore,
  output: Writable,
  io: Pick<Io, 'stderr'>,
): Promise<{ readonly messages: number; readonly skipped: number }> {
  const put = async (data: string | Buffer): Promise<void> => {
    if (!output.write(data)) await new Promise<void>((resolve) => output.once('drain', resolve));
  };
  let messages = 0;
  let skipped = 0;
  const skip = (id: string, reason: string): void => {
    skipped += 1;
    io.stderr(`postern: warning: ${id}: left out: ${reason}\n`);
  };
  await put(`${TITLE}\n`);
  for await (const listed of store.list()) {
    if (!listed.ok) {
      skip(listed.error.id, listed.error.reason);
      continue;
    }
    const entry = listed.value;
    const body = await store.openBody(entry);
    if (!body.ok) {
      if (body.error.kind !== 'absent') skip(entry.id, body.error.reason);
      continue;
    }
    const chunks: Buffer[] = [];
    let crc = 0;
    for await (const chunk of body.value.chunks) {
      crc = crc32(chunk, crc);
      chunks.push(chunk);
    }
    await put(`${JSON.stringify({ entry, bytes: body.value.content.wireBytes, crc32: crc })}\n`);
    for (const chunk of chunks) await put(chunk);
    await put('\n');
    messages += 1;
  }
  await put(`${JSON.stringify({ end: true, messages })}\n`);
  return { messages, skipped };
}

/** Add what a dump holds; an id that is in the queue already is left alone. */
export async function restoreQueue(
  store: QueueStore,
  input: AsyncIterable<Buffer | string>,
): Promise<Result<{ readonly restored: number; readonly present: number }, string>> {
  const reader = byteReader(input);
  if ((await reader.line()) !== TITLE) return err('this is no queue dump');
  let restored = 0;
  let present = 0;
  for (;;) {
    const line = await reader.line();
    if (line === undefined) return err('the dump is cut short; what came before is restored');
    const record = parseRecord(line);
    if (!record) return err(`damaged record after ${restored + present} messages`);
    if (record.kind === 'end') return ok({ restored, present });
    const body = await reader.bytes(record.bytes);
    const newline = await reader.bytes(1);
    if (!body || newline?.[0] !== 0x0a || crc32(body) !== record.crc) {
      return err(`${record.entry.id}: damaged body; what came before is restored`);
    }
    const known = await store.read(record.entry.id);
    if (known.ok) {
      present += 1;
      continue;
    }
    const added = await store.settle([], [{ entry: record.entry, body }]);
    if (!added.ok) return err(`${record.entry.id}: ${added.error.reason}`);
    restored += 1;
  }
}

type DumpRecord =
  | { readonly kind: 'end' }
  | {
      readonly kind: 'message';
      readonly entry: QueueEntry;
      readonly bytes: number;
      readonly crc: number;
    };

function parseRecord(line: string): DumpRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if ('end' in value && value.end === true) return { kind: 'end' };
  if (!('entry' in value && 'bytes' in value && 'crc32' in value)) return undefined;
  const { entry, bytes, crc32: crc } = value;
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0) return undefined;
  if (typeof crc !== 'number' || !isEntry(entry)) return undefined;
  return { kind: 'message', entry, bytes, crc };
}

function isEntry(value: unknown): value is QueueEntry {
  if (typeof value !== 'object' || value === null) return false;
  const has = (name: string, type: string): boolean => typeof Reflect.get(value, name) === type;
  const id: unknown = Reflect.get(value, 'id');
  const recipients: unknown = Reflect.get(value, 'recipients');
  return (
    typeof id === 'string' &&
    isQueueId(id) &&
    has('sender', 'string') &&
    has('arrivedMs', 'number') &&
    has('dueMs', 'number') &&
    has('onHold', 'boolean') &&
    has('attempts', 'number') &&
    has('content', 'object') &&
    has('origin', 'object') &&
    Array.isArray(recipients) &&
    recipients.every(
      (recipient: unknown) =>
        typeof recipient === 'object' &&
        recipient !== null &&
        typeof Reflect.get(recipient, 'address') === 'string' &&
        typeof Reflect.get(recipient, 'original') === 'string',
    )
  );
}

function byteReader(input: AsyncIterable<Buffer | string>) {
  const source = input[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  const more = async (): Promise<Buffer | undefined> => {
    const next = await source.next();
    return next.done ? undefined : Buffer.from(next.value);
  };
  return {
    /** Up to the next LF, without it. Undefined at the end. */
    line: async (): Promise<string | undefined> => {
      const parts: Buffer[] = [];
      let size = 0;
      for (;;) {
        const at = held.indexOf(0x0a);
        if (at >= 0) {
          parts.push(held.subarray(0, at));
          held = held.subarray(at + 1);
          return Buffer.concat(parts).toString('utf8');
        }
        parts.push(held);
        size += held.length;
        held = (await more()) ?? Buffer.alloc(0);
        if (held.length === 0 || size > MAX_LINE) return undefined;
      }
    },
    bytes: async (count: number): Promise<Buffer | undefined> => {
      const parts: Buffer[] = [];
      let missing = count;
      for (;;) {
        const part = held.subarray(0, missing);
        parts.push(part);
        held = held.subarray(part.length);
        missing -= part.length;
        if (missing === 0) return Buffer.concat(parts);
        const next = await more();
        if (!next) return undefined;
        held = next;
      }
    },
  };
}
