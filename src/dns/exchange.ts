/**
 * One question to one name server: UDP first, TCP when the answer is truncated.
 *
 * Each query has its own socket on a random port and a random id; the socket is connected, so that
 * only the asked server is heard (RFC 5452 section 9). Every wait ends at the deadline.
 */
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { err, type Result } from '../util/result.ts';
import { type DnsMessage, decodeAnswer, encodeQuery, type RecordType } from './wire.ts';

export type NameServer = { readonly address: string; readonly port: number };

/** Wrong or damaged datagrams that one query will look at before it gives up. */
const MAX_STRAY = 20;
const MAX_TCP_BYTES = 65_535;

/** Ask once; `id` comes from the caller's random source. */
export async function exchange(
  server: NameServer,
  name: string,
  type: RecordType,
  id: number,
  timeoutMs: number,
): Promise<Result<DnsMessage, string>> {
  const asked = { name, type, id };
  const query = encodeQuery(name, type, id);
  const answer = await overUdp(server, query, asked, timeoutMs);
  return answer.ok && answer.value.truncated ? overTcp(server, query, asked, timeoutMs) : answer;
}

type Asked = { readonly name: string; readonly type: RecordType; readonly id: number };
type Answer = Result<DnsMessage, string>;

function overUdp(
  server: NameServer,
  query: Buffer,
  asked: Asked,
  timeoutMs: number,
): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    let stray = 0;
    let isOpen = true;
    const finish = (answer: Answer): void => {
      if (!isOpen) return;
      isOpen = false;
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => finish(err(`no answer from ${server.address}`)), timeoutMs);
    socket.on('error', (error) => finish(err(`${server.address}: ${error.message}`)));
    socket.on('message', (bytes) => {
      const answer = decodeAnswer(bytes, asked);
      stray += 1;
      if (answer.ok || stray > MAX_STRAY) finish(answer);
    });
    // exclusive: without it the workers of one cluster would share the port.
    socket.bind({ port: 0, exclusive: true }, () => {
      if (!isOpen) return;
      socket.connect(server.port, server.address, () => {
        if (isOpen) socket.send(query);
      });
    });
  });
}

function overTcp(
  server: NameServer,
  query: Buffer,
  asked: Asked,
  timeoutMs: number,
): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ host: server.address, port: server.port });
    let received: Buffer = Buffer.alloc(0);
    const finish = (answer: Answer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => finish(err(`no answer from ${server.address}`)), timeoutMs);
    socket.once('error', (error) => finish(err(`${server.address}: ${error.message}`)));
    socket.once('close', () => finish(err(`${server.address} closed the connection`)));
    socket.once('connect', () => {
      const head = Buffer.alloc(2);
      head.writeUInt16BE(query.length, 0);
      socket.write(Buffer.concat([head, query]));
    });
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2) return;
      const length = received.readUInt16BE(0);
      if (received.length >= length + 2)
        finish(decodeAnswer(received.subarray(2, length + 2), asked));
      else if (received.length > MAX_TCP_BYTES + 2) finish(err('answer too long'));
    });
  });
}

/** `address`, `address:port`, `[ipv6]:port`; undefined when it is none of them. */
export function parseNameServer(text: string): NameServer | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? (isIPv6(text) ? text : undefined);
  const port = Number(match?.[3] ?? 53);
  if (address === undefined || port < 1 || port > 65_535) return undefined;
  return { address, port };
}

/** The servers of a resolv.conf text, in its order; 127.0.0.1 when it names none. */
export function parseResolvConf(text: string): readonly NameServer[] {
  const servers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)]
    .map(([, address = '']) => parseNameServer(address))
    .filter((server) => server !== undefined);
  return servers.length > 0 ? servers.slice(0, 3) : [{ address: '127.0.0.1', port: 53 }];
}
