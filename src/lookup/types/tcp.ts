/**
 * `tcp:host:port`: a server that answers `get KEY` with `200 VALUE`, `400 TEXT` (try later) or
 * `500 TEXT` (no such key), all %XX-encoded.
 *
 * A server that cannot be reached is tried ten times, a second apart, before the lookup fails.
 *
 * @see tcp_table(5)
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, printable } from '../../log/maillog.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { Pool } from '../client/pool.ts';
import {
  connectWire,
  type Endpoint,
  endpointName,
  type Parsed,
  parseEndpoint,
  type WireConnection,
} from '../client/wire.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';
import { isKey } from './sql.ts';

export type TcpOptions = {
  readonly timeoutMs: number;
  readonly tries: number;
  readonly pauseMs: number;
};

const OPTIONS: TcpOptions = { timeoutMs: 100_000, tries: 10, pauseMs: 1_000 };
const MAX_REPLY = 4096;

export function tcpTable(
  name: string,
  logger: Logger,
  options: TcpOptions = OPTIONS,
): Result<Table, { readonly reason: string }> {
  const endpoint = parseEndpoint(`inet:${/^\d+$/.test(name) ? `localhost:${name}` : name}`);
  if (!endpoint.ok) return err({ reason: `tcp:${name}: write tcp:host:port` });
  const pool = wirePool('tcp', endpoint.value, options.timeoutMs, 60_000);
  const report = (text: string): void => logger.warning(`tcp:${name}: ${text}`);
  const lookup = async (key: string): Promise<Lookup> => {
    const request = Buffer.from(`get ${encode(key)}\n`);
    let reason = '';
    for (let tries = 1; tries <= options.tries; tries += 1) {
      const reply = await pool.use((wire) => wire.request(request, parseReply, MAX_REPLY), report);
      if (reply.ok) return reply.value;
      reason = reply.error;
      if (tries < options.tries) await sleep(options.pauseMs);
    }
    return { kind: 'retry', reason: `tcp:${name}: ${reason}` };
  };
  return ok({
    type: 'tcp',
    name,
    keys: 'pattern',
    lookup: (key) => (isKey(key) ? lookup(key) : ABSENT),
    close: () => pool.close(),
  });
}

/** A pool over one server whose failures are only remembered by the lookup that met them. */
export function wirePool(server: string, endpoint: Endpoint, timeoutMs: number, idleMs: number) {
  return new Pool<Endpoint, WireConnection>({
    server,
    hosts: [endpoint],
    nameOf: endpointName,
    rankOf: () => 0,
    connect: (host) => connectWire(host, timeoutMs),
    limit: 5,
    idleMs,
    retryMs: 0,
    waitMs: timeoutMs,
    now: () => performance.now(),
    random: Math.random,
  });
}

/** Printable ASCII but `%` stands for itself. */
function encode(key: string): string {
  const hex = (byte: number): string => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return [...Buffer.from(key)]
    .map((byte) =>
      byte > 0x20 && byte < 0x7f && byte !== 0x25 ? String.fromCharCode(byte) : hex(byte),
    )
    .join('');
}

/** Undefined: a `%` without two hexadecimal digits. */
function decode(text: string): string | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined;
  const bytes = text.replaceAll(/%([0-9a-f]{2})/gi, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function parseReply(received: Buffer): Parsed<Lookup> {
  const end = received.indexOf(0x0a);
  if (end < 0) return { kind: 'more' };
  if (end >= MAX_REPLY) return { kind: 'bad', reason: `reply longer than ${MAX_REPLY}` };
  const line = received.toString('latin1', 0, end);
  const [, status, text = ''] = /^(\d)\d\d\s([\s\S]*)$/.exec(line) ?? [];
  const value = decode(text);
  const shown = printable(line.slice(0, 100));
  if (status === undefined || value === undefined) {
    return { kind: 'bad', reason: `malformed reply: ${shown}` };
  }
  const done = (lookup: Lookup): Parsed<Lookup> => ({
    kind: 'done',
    value: lookup,
    length: end + 1,
  });
  if (status === '2') return done({ kind: 'found', value });
  if (status === '5') return done(ABSENT);
  if (status === '4') return done({ kind: 'retry', reason: `the server says: ${shown}` });
  return { kind: 'bad', reason: `bad status code: ${shown}` };
}
