/**
 * A load generator that keeps a ledger: it knows which messages the server has taken.
 *
 * Each message has an id of its own and carries it, with the SHA-256 of its body, in the header. An
 * id is written to the ledger file, synced, after its 250 was seen and before the next command, so
 * that a crash of anything can never make the ledger claim too much. A session that is cut is
 * opened again; a message without an answer counts as unknown and is not sent again.
 */
import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export type Load = {
  readonly port: number;
  readonly messages: number;
  readonly connections: number;
  /** Messages on one connection before QUIT. */
  readonly perConnection: number;
  /** Body bytes of message n. */
  readonly sizeOf: (n: number) => number;
  readonly sender?: string;
  readonly recipient: (n: number) => string;
  readonly ledgerFile: string;
  /** Give up when nothing was accepted for this long. */
  readonly stallMs?: number;
};

export type Tally = {
  readonly accepted: readonly string[];
  /** Answered 4xx or 5xx: must not arrive unless sent again under another id. */
  readonly refused: readonly string[];
  /** No answer seen: may or may not arrive. */
  readonly unknown: readonly string[];
  readonly reconnects: number;
};

type Attempt = 'accepted' | 'refused' | 'unknown' | 'not-sent';

export async function generate(load: Load): Promise<Tally> {
  const ledger = openSync(load.ledgerFile, 'a');
  const tally = {
    accepted: [] as string[],
    refused: [] as string[],
    unknown: [] as string[],
    reconnects: 0,
  };
  let next = 0;
  let attempts = 0;
  /** Messages that were refused or never sent: they are tried again under a new id. */
  const again: number[] = [];
  const isLeft = (): boolean => next < load.messages || again.length > 0;
  let lastAcceptedMs = Date.now();
  const stallMs = load.stallMs ?? 60_000;

  const session = async (): Promise<void> => {
    while (isLeft()) {
      if (Date.now() - lastAcceptedMs > stallMs)
        throw new Error(`nothing accepted for ${stallMs} ms`);
      const wire = await open(load.port);
      if (!wire) {
        tally.reconnects += 1;
        await sleep(20);
        continue;
      }
      for (let sent = 0; sent < load.perConnection && isLeft(); sent += 1) {
        const n = again.pop() ?? next++;
        attempts += 1;
        const id = `m${n}-${attempts}-${process.pid}`;
        const attempt = await transact(wire, load, n, id);
        if (attempt === 'accepted') {
          lastAcceptedMs = Date.now();
          writeSync(ledger, `${id}\n`);
          fdatasyncSync(ledger);
          tally.accepted.push(id);
        } else if (attempt === 'unknown') tally.unknown.push(id);
        else {
          if (attempt === 'refused') tally.refused.push(id);
          again.push(n);
          await sleep(20);
        }
        if (attempt !== 'accepted') break;
      }
      wire.close();
    }
  };
  await Promise.all(Array.from({ length: load.connections }, session));
  closeSync(ledger);
  return tally;
}

/** The message text of one ledger id, without the final dot. */
export function message(id: string, bodyBytes: number): string {
  const line = `${id} ${'x'.repeat(70 - Math.min(60, id.length))}\r\n`;
  const body = line.repeat(Math.ceil(bodyBytes / line.length));
  const digest = createHash('sha256').update(body).digest('hex');
  return `From: load@example.org\r\nTo: sink@dest.example\r\nSubject: ${id}\r\nX-Ledger: ${id} ${digest}\r\n\r\n${body}`;
}

async function transact(wire: Wire, load: Load, n: number, id: string): Promise<Attempt> {
  const commands = [
    `MAIL FROM:<${load.sender ?? 'load@example.org'}>`,
    `RCPT TO:<${load.recipient(n)}>`,
    'DATA',
  ];
  for (const command of commands) {
    const code = await wire.ask(`${command}\r\n`);
    if (code === 0) return 'not-sent';
    if (code >= 400) return 'refused';
  }
  const code = await wire.ask(`${message(id, load.sizeOf(n))}.\r\n`);
  if (code === 0) return 'unknown';
  return code === 250 ? 'accepted' : 'refused';
}

type Wire = { readonly ask: (text: string) => Promise<number>; readonly close: () => void };

/** An open session behind its EHLO, or undefined when the server does not answer. */
async function open(port: number): Promise<Wire | undefined> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const reply = replies(socket);
  const ask = (text: string): Promise<number> => {
    socket.write(text);
    return reply();
  };
  const close = (): void => {
    socket.end('QUIT\r\n');
    setTimeout(() => socket.destroy(), 1_000).unref();
  };
  if ((await reply()) === 220 && (await ask('EHLO load.example.org\r\n')) === 250)
    return { ask, close };
  socket.destroy();
  return undefined;
}

/** Reads one reply after the other; 0 once the connection is gone. */
function replies(socket: Socket): () => Promise<number> {
  let buffer = '';
  let isClosed = false;
  let waiting: ((code: number) => void) | undefined;
  const take = (): void => {
    if (!waiting) return;
    const match = /^(?:\d{3}-.*\r\n)*(\d{3})(?: .*)?\r\n/.exec(buffer);
    if (!match && !isClosed) return;
    if (match) buffer = buffer.slice(match[0].length);
    const resolve = waiting;
    waiting = undefined;
    resolve(match ? Number(match[1]) : 0);
  };
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    buffer += text;
    take();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isClosed = true;
    take();
  });
  return () =>
    new Promise((resolve) => {
      waiting = resolve;
      take();
    });
}
