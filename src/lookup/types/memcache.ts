/**
 * `memcache:/file` and `memcache:name`: a memcached server, with another table behind it. What the
 * cache does not have is asked of `backup`, and stored. While the cache is down the backup answers.
 *
 * @see memcache_table(5)
 */
import { createHash, getHashes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from '../../log/maillog.ts';
import { ok, type Result } from '../../util/result.ts';
import { type Failure, refused } from '../client/pool.ts';
import { type Parsed, parseEndpoint, type WireConnection } from '../client/wire.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';
import { domainFilter } from './remote-domain.ts';
import { type RemoteContext, tableFault } from './remote-pools.ts';
import type { Settings, SettingsFault } from './remote-settings.ts';
import { expandKey, isComplete, needsOf, parseTemplate } from './remote-template.ts';
import { isKey } from './sql.ts';
import { wirePool } from './tcp.ts';

const IDLE_MS = 60_000;

type Limits = { readonly maxLine: number; readonly maxData: number };

export function memcacheTable(
  settings: Settings,
  { logger, openTable }: RemoteContext,
): Result<Table, SettingsFault> {
  const { name } = settings;
  const id = `memcache:${name}`;
  const endpoint = parseEndpoint(settings.text('memcache', 'inet:localhost:11211'));
  const format = parseTemplate(settings.text('key_format', '%s'));
  const digest = settings.text('key_digest', '');
  const domain = domainFilter(settings.text('domain', ''), openTable);
  const ttl = settings.number('ttl', 3600, 0);
  const flags = settings.number('flags', 0, 0);
  const tries = settings.number('max_try', 2, 1);
  const pauseMs = settings.number('retry_pause', 1, 1) * 1000;
  const timeoutMs = settings.number('timeout', 2, 1) * 1000;
  const limits: Limits = {
    maxLine: settings.number('line_size_limit', 1024, 1),
    maxData: settings.number('data_size_limit', 10_240, 1),
  };
  const backupName = settings.optional('backup');
  const backup = backupName === undefined ? undefined : openTable(backupName);
  if (backup && !backup.ok) settings.fault(`backup: ${backup.error.reason}`);
  if (!endpoint.ok) settings.fault(`memcache: ${endpoint.error}`);
  if (!format.ok) settings.fault(`key_format: ${format.error}`);
  if (!domain.ok) settings.fault(domain.error);
  if (digest !== '' && !getHashes().includes(digest)) {
    settings.fault(`key digest ${digest} is not available; write sha256`);
  }
  if (!endpoint.ok || !format.ok || !domain.ok || settings.faults.length > 0) {
    return tableFault(settings, logger);
  }

  const needs = needsOf([format.value]);
  const pool = wirePool('memcache', endpoint.value, timeoutMs, IDLE_MS);
  const report = (text: string): void => logger.warning(`${id}: ${text}`);
  const ask = async <T>(
    request: string,
    parse: (received: Buffer) => Parsed<T>,
  ): Promise<Result<T, string>> => {
    const bytes = Buffer.from(request);
    for (let count = 1; ; count += 1) {
      const reply = await pool.use((wire) => send(wire, bytes, parse, limits), report);
      if (reply.ok || count >= tries || /ECONNREFUSED|ENOENT/.test(reply.error)) return reply;
      await sleep(pauseMs);
    }
  };
  const lookup = async (key: string, cacheKey: string): Promise<Lookup> => {
    const cached = await ask(`get ${cacheKey}\r\n`, (received) => parseGet(received, limits));
    if (cached.ok && cached.value.kind === 'found') return cached.value;
    if (!backup?.ok) {
      return cached.ok ? cached.value : { kind: 'retry', reason: `${id}: ${cached.error}` };
    }
    const found = await backup.value.lookup(key);
    if (found.kind !== 'found') return found;
    const size = Buffer.byteLength(found.value);
    if (size > limits.maxData) {
      report(
        `data for key ${printable(key)} is too long (data_size_limit=${limits.maxData}) -- not stored`,
      );
    } else if (cached.ok) {
      await ask(`set ${cacheKey} ${flags} ${ttl} ${size}\r\n${found.value}\r\n`, parseStored);
    }
    return found;
  };
  const start = (key: string): Lookup | Promise<Lookup> => {
    if (!isComplete(needs, key)) return ABSENT;
    const expanded = expandKey(format.value, key, (text) => text);
    const cacheKey = digest === '' ? expanded : createHash(digest).update(expanded).digest('hex');
    return cacheKey === '' || /[\s\x00-\x1f\x7f]/.test(cacheKey) ? ABSENT : lookup(key, cacheKey);
  };
  return ok({
    type: 'memcache',
    name,
    keys: 'fixed',
    lookup: (key) => {
      if (!isKey(key)) return ABSENT;
      const eligible = domain.value(key);
      const go = (answer: Awaited<typeof eligible>) => {
        if (answer.kind === 'error') return { kind: 'retry', reason: answer.reason } as const;
        return answer.kind === 'no' ? ABSENT : start(key);
      };
      return eligible instanceof Promise ? eligible.then(go) : go(eligible);
    },
    close: () => pool.close(),
  });
}

async function send<T>(
  wire: WireConnection,
  bytes: Buffer,
  parse: (received: Buffer) => Parsed<T>,
  { maxLine, maxData }: Limits,
): Promise<Result<T, Failure>> {
  if (bytes.length > maxLine + maxData) return refused('request too long');
  return wire.request(bytes, parse, maxLine + maxData + 16);
}

function lineOf(
  received: Buffer,
  from: number,
): { readonly line: string; readonly next: number } | undefined {
  const end = received.indexOf(0x0a, from);
  if (end < 0) return undefined;
  return { line: received.toString('latin1', from, end).replace(/\r$/, ''), next: end + 1 };
}

/** `VALUE key flags bytes`, the bytes, `END`; or `END` alone. */
function parseGet(received: Buffer, { maxLine, maxData }: Limits): Parsed<Lookup> {
  const first = lineOf(received, 0);
  if (!first) {
    return received.length > maxLine ? { kind: 'bad', reason: 'line too long' } : { kind: 'more' };
  }
  if (first.line === 'END') return { kind: 'done', value: ABSENT, length: first.next };
  const size = Number(/^VALUE \S+ \S+ (\d{1,9})(?: \d+)?$/.exec(first.line)?.[1]);
  if (!(size <= maxData)) {
    const shown = printable(first.line.slice(0, 30));
    return { kind: 'bad', reason: `unexpected memcache server reply: ${shown}` };
  }
  const end = first.next + size;
  if (received.length < end + 7) return { kind: 'more' };
  if (received.toString('latin1', end, end + 7) !== '\r\nEND\r\n') {
    return { kind: 'bad', reason: 'unexpected memcache server reply after a value' };
  }
  const value = received.toString('utf8', first.next, end);
  return { kind: 'done', value: { kind: 'found', value }, length: end + 7 };
}

function parseStored(received: Buffer): Parsed<true> {
  const first = lineOf(received, 0);
  if (!first) return { kind: 'more' };
  if (first.line === 'STORED') return { kind: 'done', value: true, length: first.next };
  return { kind: 'bad', reason: `update failed: ${printable(first.line.slice(0, 100))}` };
}
