/**
 * DNS messages: one question out, one checked answer in. The only module that knows dns-packet.
 *
 * The answer is accepted only when id and question match what was asked (RFC 5452 section 4). Names
 * come back in lower case without the final dot; anything that does not decode is a fault.
 *
 * @see RFC 1035, RFC 6891 (EDNS), RFC 3655 and RFC 6840 5.7 (AD bit in queries)
 */
import { decode, encode, type ResourceRecord } from 'dns-packet';
import { err, ok, type Result } from '../util/result.ts';

export type RecordType = 'A' | 'AAAA' | 'MX' | 'PTR' | 'TXT' | 'CNAME' | 'TLSA' | 'SRV' | 'NS';

export type DnsRecord = {
  readonly name: string;
  readonly type: string;
  readonly ttlSeconds: number;
  /** A, AAAA: the address. PTR, CNAME, NS: the name. TXT: the joined strings. MX: the exchange. */
  readonly value: string;
  /** MX only. */
  readonly preference: number;
  /** As decoded, for types that no field above covers. */
  readonly data: unknown;
};

export type DnsMessage = {
  /** `NOERROR`, `NXDOMAIN`, `SERVFAIL`, ... */
  readonly rcode: string;
  readonly truncated: boolean;
  /** The resolver vouches for DNSSEC; worth nothing unless the path to it is trusted. */
  readonly authenticated: boolean;
  readonly answers: readonly DnsRecord[];
  /** Seconds that a negative answer may be kept (RFC 2308 section 5); absent without SOA. */
  readonly negativeTtlSeconds?: number;
};

/** Payload that passes without fragmentation on almost every path (DNS flag day 2020). */
const EDNS_BYTES = 1232;
const RECURSION_DESIRED = 1 << 8;
const AUTHENTIC_DATA = 1 << 5;
const DNSSEC_OK = 1 << 15;

export function encodeQuery(name: string, type: RecordType, id: number, dnssec = false): Buffer {
  return encode({
    type: 'query',
    id,
    flags: RECURSION_DESIRED | AUTHENTIC_DATA,
    questions: [{ name, type, class: 'IN' }],
    additionals: [
      {
        name: '.',
        type: 'OPT',
        udpPayloadSize: EDNS_BYTES,
        flags: dnssec ? DNSSEC_OK : 0,
        options: [],
      },
    ],
  });
}

/** Read an answer to the question asked; a fault names why the bytes are not one. */
export function decodeAnswer(
  bytes: Buffer,
  asked: { readonly name: string; readonly type: RecordType; readonly id: number },
): Result<DnsMessage, string> {
  let packet: ReturnType<typeof decode>;
  try {
    packet = decode(bytes);
  } catch (error) {
    return err(`malformed answer: ${error instanceof Error ? error.message : 'unknown'}`);
  }
  const [question] = packet.questions;
  if (packet.id !== asked.id || packet.type !== 'response') return err('answer to another query');
  if (!question || canonical(question.name) !== canonical(asked.name)) {
    return err('answer to another question');
  }
  if (question.type !== asked.type) return err('answer to another type');
  const soa = packet.authorities.find(({ type }) => type === 'SOA');
  const negativeTtlSeconds = soa && Math.min(soa.ttl ?? 0, field(soa.data, 'minimum') ?? 0);
  return ok({
    rcode: packet.rcode,
    truncated: packet.flag_tc,
    authenticated: packet.flag_ad,
    answers: packet.answers.filter(({ type }) => type !== 'OPT').map(recordOf),
    ...(negativeTtlSeconds === undefined ? {} : { negativeTtlSeconds }),
  });
}

/** Lower case, no final dot: how names are compared and kept. */
export function canonical(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/** Whether a name can be asked for at all: labels of 1 to 63 bytes, 253 together. */
export function isQueryName(name: string): boolean {
  const bare = canonical(name);
  if (bare.length === 0 || bare.length > 253 || !/^[\x21-\x7e]+$/.test(bare)) return false;
  return bare.split('.').every((label) => label.length > 0 && label.length < 64);
}

function recordOf(record: ResourceRecord): DnsRecord {
  const { data } = record;
  return {
    name: canonical(record.name),
    type: record.type,
    ttlSeconds: record.ttl ?? 0,
    value: recordValue(record.type, data),
    preference: field(data, 'preference') ?? 0,
    data,
  };
}

function recordValue(type: string, data: unknown): string {
  if (type === 'MX') return canonical(textField(data, 'exchange'));
  if (type === 'TXT') return textOf(data);
  if (typeof data !== 'string') return '';
  return type === 'A' || type === 'AAAA' ? data : canonical(data);
}

function textOf(data: unknown): string {
  if (Buffer.isBuffer(data)) return data.toString('utf8');
  if (Array.isArray(data)) return data.map(textOf).join('');
  return typeof data === 'string' ? data : '';
}

function field(data: unknown, name: string): number | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const value: unknown = Reflect.get(data, name);
  return typeof value === 'number' ? value : undefined;
}

function textField(data: unknown, name: string): string {
  if (typeof data !== 'object' || data === null) return '';
  const value: unknown = Reflect.get(data, name);
  return typeof value === 'string' ? value : '';
}
