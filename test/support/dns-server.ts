/** A name server for tests: UDP and TCP on one free loopback port, answers from a table. */
import { createSocket } from 'node:dgram';
import { type AddressInfo, createServer } from 'node:net';
import { decode, encode, type Packet, type ResourceRecord } from 'dns-packet';

export type Zone = Readonly<
  Record<string, readonly ResourceRecord[] | 'SERVFAIL' | 'NXDOMAIN' | 'TRUNCATE' | 'SILENT'>
>;

export type DnsServer = {
  readonly port: number;
  /** `TYPE name` over UDP, `tcp TYPE name` over TCP. */
  readonly queries: string[];
  readonly close: () => Promise<void>;
};

const RCODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3 } as const;

/** Keys of the zone are `TYPE name`; a name without any key is NXDOMAIN. */
export async function startDnsServer(zone: Zone, ad = false): Promise<DnsServer> {
  const queries: string[] = [];
  const answer = (bytes: Buffer, isTcp: boolean): Buffer | undefined => {
    const query = decode(bytes);
    const [question] = query.questions;
    const key = `${question?.type} ${question?.name}`;
    queries.push(`${isTcp ? 'tcp ' : ''}${key}`);
    let found = zone[key];
    const exists = Object.keys(zone).some((each) => each.endsWith(` ${question?.name}`));
    if (found === 'SILENT') return undefined;
    const isTruncated = found === 'TRUNCATE' && !isTcp;
    if (found === 'TRUNCATE') found = zone[`tcp ${key}`];
    const rcode =
      found === 'SERVFAIL' ? 'SERVFAIL' : found === 'NXDOMAIN' || !exists ? 'NXDOMAIN' : 'NOERROR';
    const answers = Array.isArray(found) && !isTruncated ? [...found] : [];
    const soa: ResourceRecord = {
      name: 'test',
      type: 'SOA',
      ttl: 60,
      data: {
        mname: 'ns.test',
        rname: 'h.test',
        serial: 1,
        refresh: 1,
        retry: 1,
        expire: 1,
        minimum: 60,
      },
    };
    const packet: Packet = {
      id: query.id,
      type: 'response',
      flags: 0x180 | RCODES[rcode] | (isTruncated ? 1 << 9 : 0) | (ad ? 1 << 5 : 0),
      questions: query.questions,
      answers,
      authorities: answers.length === 0 && rcode !== 'SERVFAIL' ? [soa] : [],
    };
    return encode(packet);
  };
  const tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (chunk: Buffer) => {
      const reply = answer(chunk.subarray(2), true);
      if (!reply) return;
      const head = Buffer.alloc(2);
      head.writeUInt16BE(reply.length, 0);
      socket.end(Buffer.concat([head, reply]));
    });
  });
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket('udp4');
  udp.on('message', (bytes, from) => {
    const reply = answer(bytes, false);
    if (reply) udp.send(reply, from.port, from.address);
  });
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  return {
    port,
    queries,
    close: async () => {
      await new Promise<void>((resolve) => udp.close(() => resolve()));
      await new Promise<void>((resolve) => tcp.close(() => resolve()));
    },
  };
}
