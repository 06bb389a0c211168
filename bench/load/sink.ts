/**
 * The other end of the ledger: an SMTP sink that records what arrived, by ledger id.
 *
 * An id is recorded (and written to the ledger file) before the 250 goes out: what the server
 * believes delivered is recorded here. A body whose checksum does not fit counts as corrupt.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export type Sink = {
  readonly port: number;
  /** How often each id arrived. */
  readonly arrived: ReadonlyMap<string, number>;
  readonly corrupt: readonly string[];
  /** How often a bounce about each id arrived (null sender, the id in the returned header). */
  readonly bounced: ReadonlyMap<string, number>;
  /** Messages without a ledger id, whole. */
  readonly others: readonly string[];
  readonly close: () => Promise<void>;
};

export type SinkOptions = {
  readonly ledgerFile?: string;
  /** Milliseconds before the 250 of end-of-data. */
  readonly delayMs?: number;
  readonly port?: number;
  /** Recipients to answer with 550. */
  readonly refuses?: (recipient: string) => boolean;
};

export async function openSink(options: SinkOptions = {}): Promise<Sink> {
  const arrived = new Map<string, number>();
  const corrupt: string[] = [];
  const bounced = new Map<string, number>();
  const others: string[] = [];
  const sockets = new Set<Socket>();
  const ledger = options.ledgerFile ? openSync(options.ledgerFile, 'a') : undefined;

  const record = (text: string, sender: string): void => {
    const match = /^X-Ledger: (\S+) (\w{64})\r\n/m.exec(text);
    const id = match?.[1];
    if (!id) {
      others.push(text);
      return;
    }
    const seen = sender === '' ? bounced : arrived;
    seen.set(id, (seen.get(id) ?? 0) + 1);
    if (ledger !== undefined) writeSync(ledger, `${id}\n`);
    if (sender === '') return;
    const body = text.slice(text.indexOf('\r\n\r\n') + 4).replaceAll(/^\.\./gm, '.');
    if (createHash('sha256').update(body).digest('hex') !== match[2]) corrupt.push(id);
  };

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serve(socket, record, options);
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    arrived,
    corrupt,
    bounced,
    others,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      if (ledger !== undefined) closeSync(ledger);
    },
  };
}

function serve(
  socket: Socket,
  record: (text: string, sender: string) => void,
  { delayMs = 0, refuses = () => false }: SinkOptions,
): void {
  let buffer = '';
  let sender = '';
  let recipients = 0;
  let inData = false;
  const say = (text: string): void => void socket.write(`${text}\r\n`);
  const consume = (): void => {
    for (;;) {
      const end = buffer.indexOf(inData ? '\r\n.\r\n' : '\r\n');
      if (end < 0) return;
      const text = buffer.slice(0, inData ? end + 2 : end);
      buffer = buffer.slice(end + (inData ? 5 : 2));
      if (inData) {
        inData = false;
        record(text, sender);
        if (delayMs > 0) setTimeout(() => say('250 2.0.0 Ok'), delayMs);
        else say('250 2.0.0 Ok');
      } else command(text);
    }
  };
  const command = (line: string): void => {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === 'EHLO') say('250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME');
    else if (verb === 'MAIL') {
      sender = /<(.*?)>/.exec(line)?.[1] ?? '';
      recipients = 0;
      say('250 2.1.0 Ok');
    } else if (verb === 'RCPT') {
      const isRefused = refuses(/<(.*?)>/.exec(line)?.[1] ?? '');
      if (!isRefused) recipients += 1;
      say(isRefused ? '550 5.1.1 no such user' : '250 2.1.5 Ok');
    } else if (verb === 'DATA' && recipients === 0) {
      say('554 5.5.1 no valid recipients');
    } else if (verb === 'DATA') {
      inData = true;
      say('354 go ahead');
    } else if (verb === 'QUIT') socket.end('221 bye\r\n');
    else say('250 2.0.0 Ok');
  };
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    buffer += text;
    consume();
  });
  socket.on('error', () => undefined);
  say('220 sink.example ESMTP');
}
