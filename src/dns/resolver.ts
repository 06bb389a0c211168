/**
 * A stub resolver: questions to recursive name servers, answers cached.
 *
 * Three answers that must not be mixed up: `found`, `absent` (the name does not exist, or has no
 * record of the type) and `retry` (nobody answered, or a server failed). Never rejects.
 *
 * @see RFC 1034 section 5.3.1, RFC 2308 (negative caching), RFC 8767 is not followed: no stale data
 */
import { randomInt } from 'node:crypto';
import { isIP } from 'node:net';
import { parseIp } from '../util/ip-prefix.ts';
import { exchange, type NameServer } from './exchange.ts';
import type { HostsFile } from './hosts.ts';
import { isLocalhostName } from './hosts.ts';
import {
  canonical,
  type DnsMessage,
  type DnsRecord,
  isQueryName,
  type RecordType,
} from './wire.ts';

export type DnsAnswer =
  | {
      readonly kind: 'found';
      readonly records: readonly DnsRecord[];
      readonly authenticated: boolean;
    }
  | { readonly kind: 'absent'; readonly why: 'no-name' | 'no-data' }
  | { readonly kind: 'retry'; readonly reason: string };

/** Postfix's words for a failed lookup, as in `type=MX: Host not found`. */
export function explainDns(answer: Exclude<DnsAnswer, { kind: 'found' }>): string {
  if (answer.kind === 'retry') return 'Host not found, try again';
  return answer.why === 'no-name'
    ? 'Host not found'
    : 'Host found but no data record of requested type';
}

export type ClientName = {
  /** Forward-confirmed name, or `unknown`. */
  readonly name: string;
  /** The PTR name as found, or `unknown`. */
  readonly reverseName: string;
  /** A lookup failed for now: reject_unknown_* answers 450, not 550. */
  readonly retry: boolean;
};

export type Resolver = {
  readonly resolve: (name: string, type: RecordType) => Promise<DnsAnswer>;
  /** Addresses of a host, A before AAAA, hosts file first when `native`. */
  readonly addresses: (
    name: string,
    families: readonly (4 | 6)[],
    native?: boolean,
  ) => Promise<DnsAnswer>;
  /** PTR names of an address. */
  readonly reverse: (address: string) => Promise<DnsAnswer>;
  /** Name of a connected client: PTR, then A/AAAA of it must name the address again. */
  readonly clientName: (address: string) => Promise<ClientName>;
};

export type ResolverOptions = {
  readonly servers: readonly NameServer[];
  readonly hosts?: HostsFile;
  readonly timeoutMs?: number;
  /** Rounds over all servers. */
  readonly attempts?: number;
  /** Answers kept at most; the oldest go first. */
  readonly cacheEntries?: number;
  readonly now?: () => number;
};

type Cached = { readonly answer: DnsAnswer; readonly untilMs: number };

const MAX_TTL_SECONDS = 86_400;
const MAX_NEGATIVE_TTL_SECONDS = 900;
const RETRY_TTL_SECONDS = 5;
const MAX_CNAMES = 10;
const MAX_CLIENT_NAMES = 10;

export function openResolver(options: ResolverOptions): Resolver {
  const now = options.now ?? Date.now;
  const cacheEntries = options.cacheEntries ?? 10_000;
  const cache = new Map<string, Cached>();
  const underWay = new Map<string, Promise<DnsAnswer>>();

  const keep = (key: string, answer: DnsAnswer, ttlSeconds: number): void => {
    if (ttlSeconds <= 0) return;
    if (cache.size >= cacheEntries) {
      const [oldest] = cache.keys();
      if (oldest !== undefined) cache.delete(oldest);
    }
    cache.delete(key);
    cache.set(key, { answer, untilMs: now() + ttlSeconds * 1000 });
  };

  const ask = async (key: string, name: string, type: RecordType): Promise<DnsAnswer> => {
    const { answer, ttlSeconds } = await lookUp(options, name, type, MAX_CNAMES);
    keep(key, answer, ttlSeconds);
    underWay.delete(key);
    return answer;
  };

  const resolve = (name: string, type: RecordType): Promise<DnsAnswer> => {
    if (!isQueryName(name)) return Promise.resolve({ kind: 'absent', why: 'no-name' });
    const key = `${type} ${canonical(name)}`;
    const cached = cache.get(key);
    if (cached && cached.untilMs > now()) return Promise.resolve(cached.answer);
    const running = underWay.get(key);
    if (running) return running;
    const started = ask(key, canonical(name), type);
    underWay.set(key, started);
    return started;
  };

  const addresses: Resolver['addresses'] = async (name, families, native = false) => {
    if (isIP(name) !== 0) return found([addressRecord(name, name)]);
    if (options.hosts && (native || isLocalhostName(name))) {
      const known = options.hosts
        .addressesOf(name)
        .filter((address) => families.some((family) => family === isIP(address)));
      if (known.length > 0) return found(known.map((address) => addressRecord(name, address)));
    }
    if (isLocalhostName(name)) return { kind: 'absent', why: 'no-data' };
    return merge(
      await Promise.all(families.map((family) => resolve(name, family === 4 ? 'A' : 'AAAA'))),
    );
  };

  const reverse = async (address: string): Promise<DnsAnswer> => {
    const listed = options.hosts?.nameOf(address);
    if (listed !== undefined) return found([addressRecord(listed, listed)]);
    const name = reverseName(address);
    return name === undefined ? { kind: 'absent', why: 'no-name' } : resolve(name, 'PTR');
  };

  return {
    resolve,
    addresses,
    reverse,
    clientName: (address) => confirmName(address, reverse, addresses),
  };
}

/** `4.3.2.1.in-addr.arpa`, or the nibbles below ip6.arpa. */
export function reverseName(address: string): string | undefined {
  const bytes = parseIp(address);
  if (!bytes) return undefined;
  if (bytes.length === 4) return `${[...bytes].reverse().join('.')}.in-addr.arpa`;
  const nibbles = Buffer.from(bytes).toString('hex').split('');
  return `${nibbles.reverse().join('.')}.ip6.arpa`;
}

async function confirmName(
  address: string,
  reverse: Resolver['reverse'],
  addresses: Resolver['addresses'],
): Promise<ClientName> {
  const answer = await reverse(address);
  if (answer.kind !== 'found') {
    return { name: 'unknown', reverseName: 'unknown', retry: answer.kind === 'retry' };
  }
  const names = answer.records.map(({ value }) => value).filter(isHostName);
  const [first] = names;
  if (first === undefined) return { name: 'unknown', reverseName: 'unknown', retry: false };
  const family = isIP(address) === 6 ? 6 : 4;
  const wanted = reverseName(address);
  const forward = await Promise.all(
    names.slice(0, MAX_CLIENT_NAMES).map((name) => addresses(name, [family], true)),
  );
  const confirmed = names.find((_, i) => {
    const each = forward[i];
    return (
      each?.kind === 'found' && each.records.some(({ value }) => reverseName(value) === wanted)
    );
  });
  if (confirmed !== undefined) return { name: confirmed, reverseName: confirmed, retry: false };
  const retry = forward.some(({ kind }) => kind === 'retry');
  return { name: 'unknown', reverseName: first, retry };
}

/** Letters, digits, `-`, `_` and dots, not an address: what may stand in a log and in Received:. */
const isHostName = (name: string): boolean =>
  name.length <= 253 &&
  /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/.test(name) &&
  isIP(name) === 0 &&
  !/^[\d.]+$/.test(name);

type LookUp = { readonly answer: DnsAnswer; readonly ttlSeconds: number };

async function lookUp(
  options: ResolverOptions,
  name: string,
  type: RecordType,
  cnamesLeft: number,
): Promise<LookUp> {
  const message = await askServers(options, name, type);
  if (typeof message === 'string') {
    return { answer: { kind: 'retry', reason: message }, ttlSeconds: RETRY_TTL_SECONDS };
  }
  const chain = followCnames(message.answers, name, type);
  const ttlSeconds = Math.min(MAX_TTL_SECONDS, ...chain.used.map((record) => record.ttlSeconds));
  if (chain.records.length > 0) {
    const { authenticated } = message;
    return { answer: { kind: 'found', records: chain.records, authenticated }, ttlSeconds };
  }
  if (chain.name !== name && message.rcode === 'NOERROR') {
    if (cnamesLeft === 0 || chain.isLoop) {
      return { answer: { kind: 'absent', why: 'no-data' }, ttlSeconds: RETRY_TTL_SECONDS };
    }
    // A server that does not recurse through the alias: ask for its target.
    if (message.negativeTtlSeconds === undefined) {
      return lookUp(options, chain.name, type, cnamesLeft - 1);
    }
  }
  const why = message.rcode === 'NXDOMAIN' ? 'no-name' : 'no-data';
  return {
    answer: { kind: 'absent', why },
    ttlSeconds: Math.min(MAX_NEGATIVE_TTL_SECONDS, message.negativeTtlSeconds ?? 0),
  };
}

function followCnames(
  answers: readonly DnsRecord[],
  start: string,
  type: RecordType,
): {
  readonly name: string;
  readonly isLoop: boolean;
  readonly records: readonly DnsRecord[];
  readonly used: readonly DnsRecord[];
} {
  const used: DnsRecord[] = [];
  let name = start;
  for (let i = 0; i <= MAX_CNAMES; i += 1) {
    const records = answers.filter((record) => record.type === type && record.name === name);
    if (records.length > 0) return { name, isLoop: false, records, used: [...used, ...records] };
    const alias = answers.find((record) => record.type === 'CNAME' && record.name === name);
    if (!alias) return { name, isLoop: false, records: [], used };
    used.push(alias);
    name = alias.value;
  }
  return { name, isLoop: true, records: [], used };
}

async function askServers(
  { servers, timeoutMs = 3_000, attempts = 2 }: ResolverOptions,
  name: string,
  type: RecordType,
): Promise<DnsMessage | string> {
  let reason = 'no name servers';
  for (let round = 0; round < attempts; round += 1) {
    for (const server of servers) {
      const answer = await exchange(server, name, type, randomInt(65_536), timeoutMs);
      if (!answer.ok) reason = answer.error;
      else if (answer.value.rcode === 'NOERROR' || answer.value.rcode === 'NXDOMAIN') {
        return answer.value;
      } else reason = `${server.address} answered ${answer.value.rcode}`;
    }
  }
  return reason;
}

const found = (records: readonly DnsRecord[]): DnsAnswer => ({
  kind: 'found',
  records,
  authenticated: false,
});

const addressRecord = (name: string, value: string): DnsRecord => ({
  name: canonical(name),
  type: isIP(value) === 6 ? 'AAAA' : 'A',
  ttlSeconds: 0,
  value,
  preference: 0,
  data: value,
});

/** Several families as one answer: anything found wins, then a failure, then absence. */
function merge(answers: readonly DnsAnswer[]): DnsAnswer {
  const hits = answers.filter((answer) => answer.kind === 'found');
  if (hits.length > 0) {
    return {
      kind: 'found',
      records: hits.flatMap(({ records }) => records),
      authenticated: hits.every(({ authenticated }) => authenticated),
    };
  }
  const retry = answers.find(({ kind }) => kind === 'retry');
  const noName = answers.find((answer) => answer.kind === 'absent' && answer.why === 'no-name');
  return retry ?? noName ?? answers[0] ?? { kind: 'absent', why: 'no-data' };
}
