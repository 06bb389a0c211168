/**
 * An SMTP server for tests that takes every message and keeps it with its envelope. It offers
 * PIPELINING and 8BITMIME, so that clients change nothing.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';

export type Delivery = {
  readonly mail: string;
  readonly rcpts: readonly string[];
  /** As sent, dots unstuffed, latin1. */
  readonly message: string;
};

export type MessageSink = {
  readonly port: number;
  readonly deliveries: Delivery[];
  readonly close: () => Promise<void>;
};

export async function startMessageSink(): Promise<MessageSink> {
  const deliveries: Delivery[] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => undefined);
    serve(socket, deliveries);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    deliveries,
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function serve(socket: Socket, deliveries: Delivery[]): void {
  let rest = '';
  let mail = '';
  let rcpts: string[] = [];
  let body: string[] | undefined;
  const say = (text: string): void => void socket.write(`${text}\r\n`);
  const line = (text: string): void => {
    if (body) {
      if (text !== '.') {
        body.push(text.startsWith('.') ? text.slice(1) : text);
        return;
      }
      deliveries.push({ mail, rcpts, message: body.map((each) => `${each}\r\n`).join('') });
      body = undefined;
      say(`250 2.0.0 Ok: queued as SINK${deliveries.length}`);
      return;
    }
    const verb = text.split(' ')[0]?.toUpperCase();
    if (verb === 'EHLO') say('250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8');
    else if (verb === 'MAIL') {
      mail = pathOf(text);
      rcpts = [];
      say('250 2.1.0 Ok');
    } else if (verb === 'RCPT') {
      rcpts.push(pathOf(text));
      say('250 2.1.5 Ok');
    } else if (verb === 'DATA') {
      body = [];
      say('354 End data with <CR><LF>.<CR><LF>');
    } else if (verb === 'QUIT') socket.end('221 2.0.0 Bye\r\n');
    else say('250 2.0.0 Ok');
  };
  say('220 sink.example ESMTP');
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\r\n');
    rest = lines.pop() ?? '';
    for (const each of lines) line(each);
  });
}

const pathOf = (text: string): string => /<([\s\S]*)>/.exec(text)?.[1] ?? text;

/** Hand a message to a server; the answer to its end of data, or to the command that failed. */
export async function inject(
  socket: Socket,
  read: () => Promise<string>,
  { mail, rcpts, message }: Delivery,
): Promise<string> {
  for (const command of [
    `MAIL FROM:<${mail}>`,
    ...rcpts.map((rcpt) => `RCPT TO:<${rcpt}>`),
    'DATA',
  ]) {
    socket.write(`${command}\r\n`, 'latin1');
    const answer = await read();
    if (!/^[23]/.test(answer)) {
      socket.write('RSET\r\n');
      await read();
      return `${command}: ${answer}`;
    }
  }
  const stuffed = message.replaceAll(/(^|\r\n)\./g, '$1..');
  socket.write(`${stuffed}${/\r\n$|^$/.test(stuffed) ? '' : '\r\n'}.\r\n`, 'latin1');
  return read();
}

/** Whole replies (several lines joined by LF), one a call. */
export function replyReader(socket: Socket): () => Promise<string> {
  let rest = '';
  let lines: string[] = [];
  const ready: string[] = [];
  const waiting: ((text: string) => void)[] = [];
  socket.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString('latin1')).split('\r\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      lines.push(part);
      if (part[3] === '-') continue;
      const text = lines.join('\n');
      lines = [];
      const next = waiting.shift();
      if (next) next(text);
      else ready.push(text);
    }
  });
  socket.on('close', () => {
    for (const each of waiting.splice(0)) each('closed');
  });
  return () => {
    const text = ready.shift();
    if (text !== undefined) return Promise.resolve(text);
    return new Promise((resolve) => waiting.push(resolve));
  };
}
