/** Small servers of the tcp_table(5) and socketmap_table(5) protocols, over a table in memory. */

import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';

export type LookupServer = {
  readonly port: number;
  /** Keys as they came, decoded. */
  readonly asked: string[];
  /** Connections made so far. */
  readonly connections: () => number;
  /** End all connections; new ones are accepted. */
  readonly drop: () => void;
  readonly close: () => Promise<void>;
};

/** Replies without their encoding or frame; undefined: no answer at all. */
export type Answer = (key: string) => string | undefined;

type Reader = (buffer: Buffer, socket: Socket) => Buffer;

/** `answer` gives the reply line, already encoded, without its newline. */
export function startTcpTable(answer: Answer, path?: string): Promise<LookupServer> {
  const asked: string[] = [];
  return serve(asked, path, (buffer, socket) => {
    const end = buffer.indexOf('\n');
    if (end < 0) return buffer;
    const [, key = ''] = /^get (.*)$/.exec(buffer.toString('latin1', 0, end)) ?? [];
    const bytes = key.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    const decoded = Buffer.from(bytes, 'latin1').toString('utf8');
    asked.push(decoded);
    const reply = answer(decoded);
    if (reply !== undefined) socket.write(`${reply}\n`);
    return buffer.subarray(end + 1);
  });
}

/** `answer` is asked for `name key` and gives the whole reply, such as `OK value`. */
export function startSocketmap(answer: Answer, path?: string): Promise<LookupServer> {
  const asked: string[] = [];
  return serve(asked, path, (buffer, socket) => {
    const [head = '', digits = ''] = /^(\d+):/.exec(buffer.toString('latin1', 0, 10)) ?? [];
    const end = head.length + Number(digits);
    if (head === '' || buffer.length <= end) return buffer;
    const query = buffer.toString('utf8', head.length, end);
    asked.push(query);
    const reply = answer(query);
    if (reply !== undefined) socket.write(`${Buffer.byteLength(reply)}:${reply},`);
    return buffer.subarray(end + 1);
  });
}

async function serve(asked: string[], path: string | undefined, read: Reader) {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    let buffer = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      let before = -1;
      buffer = Buffer.concat([buffer, chunk]);
      while (buffer.length > 0 && buffer.length !== before) {
        before = buffer.length;
        buffer = Buffer.from(read(buffer, socket));
      }
    });
  });
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(path, resolve);
  });
  const port = path === undefined ? (server.address() as AddressInfo).port : 0;
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port,
    asked,
    connections: () => connections,
    drop,
    close: async () => {
      drop();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
