/**
 * `socketmap:inet:host:port:name` and `socketmap:unix:/path:name`: Sendmail's lookup protocol,
 * netstrings with `name key` out and `OK value`, `NOTFOUND`, `TEMP`, `TIMEOUT` or `PERM` back.
 *
 * @see socketmap_table(5)
 */
import { type Logger, printable } from '../../log/maillog.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { type Parsed, parseEndpoint } from '../client/wire.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';
import { isKey } from './sql.ts';
import { wirePool } from './tcp.ts';

const TIMEOUT_MS = 100_000;
const IDLE_MS = 10_000;
const MAX_QUERY = 10_000;
const MAX_REPLY = 100_000;

export function socketmapTable(
  name: string,
  logger: Logger,
  timeoutMs = TIMEOUT_MS,
): Result<Table, { readonly reason: string }> {
  const colon = name.lastIndexOf(':');
  const map = name.slice(colon + 1);
  const endpoint = parseEndpoint(name.slice(0, Math.max(0, colon)));
  if (!endpoint.ok || map === '') {
    const remedy = 'write socketmap:inet:host:port:name or socketmap:unix:pathname:name';
    return err({ reason: `socketmap:${name}: ${remedy}` });
  }
  const id = `socketmap:${name}`;
  const pool = wirePool('socketmap', endpoint.value, timeoutMs, IDLE_MS);
  const report = (text: string): void => logger.warning(`${id}: ${text}`);
  const lookup = async (key: string): Promise<Lookup> => {
    const query = Buffer.from(`${map} ${key}`);
    const bytes = Buffer.concat([Buffer.from(`${query.length}:`), query, Buffer.from(',')]);
    const reply = await pool.use(
      (wire) => wire.request(bytes, parseNetstring, MAX_REPLY + 16),
      report,
    );
    if (!reply.ok) return { kind: 'retry', reason: `${id}: ${reply.error}` };
    return outcome(id, reply.value, logger);
  };
  return ok({
    type: 'socketmap',
    name,
    keys: 'pattern',
    lookup: (key) => {
      if (!isKey(key)) return ABSENT;
      if (Buffer.byteLength(key) <= MAX_QUERY) return lookup(key);
      logger.warning(`table ${id} query too large: '${key.slice(0, 100)}', returning 'not found'`);
      return ABSENT;
    },
    close: () => pool.close(),
  });
}

function parseNetstring(received: Buffer): Parsed<string> {
  const head = received.toString('latin1', 0, 12);
  const colon = head.indexOf(':');
  if (colon < 0 && /^\d{0,9}$/.test(head)) return { kind: 'more' };
  if (!/^\d{1,9}:/.test(head)) return { kind: 'bad', reason: 'netstring format error' };
  const length = Number(head.slice(0, colon));
  if (length > MAX_REPLY) return { kind: 'bad', reason: 'netstring size limit exceeded' };
  const end = colon + 1 + length;
  if (received.length <= end) return { kind: 'more' };
  if (received[end] !== 0x2c) return { kind: 'bad', reason: 'netstring format error' };
  return { kind: 'done', value: received.toString('utf8', colon + 1, end), length: end + 1 };
}

const CLASSES: Readonly<Record<string, string>> = {
  TEMP: 'temporary',
  TIMEOUT: 'timeout',
  PERM: 'permanent',
};

function outcome(id: string, reply: string, logger: Logger): Lookup {
  const space = reply.indexOf(' ');
  const word = space < 0 ? reply : reply.slice(0, space);
  const text = space < 0 ? '' : reply.slice(space + 1);
  if (word === 'OK') return { kind: 'found', value: text };
  if (word === 'NOTFOUND') return ABSENT;
  const detail = text.trim() === '' ? '' : `: ${printable(text.trimStart().slice(0, 200))}`;
  const reason = `${id} socketmap server ${CLASSES[word] ?? 'unknown'} error${detail}`;
  logger.warning(reason);
  return { kind: word === 'PERM' ? 'misconfigured' : 'retry', reason };
}
