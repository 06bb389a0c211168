/**
 * An SMTP client for tests of the whole server: one command, one reply; every fault is an error that
 * says where the session stood.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';

const DEADLINE_MS = 30_000;

export type Session = {
  readonly socket: () => Socket;
  /** The whole reply, lines joined by LF; throws when it does not begin with `code`. */
  readonly expect: (code: number) => Promise<string>;
  readonly command: (line: string, code: number) => Promise<string>;
  /** After the 220 of STARTTLS. */
  readonly upgrade: (options: ConnectionOptions) => Promise<TLSSocket>;
  /** MAIL, RCPT, DATA; the text of the final reply. */
  readonly send: (from: string, to: string, text: string) => Promise<string>;
  readonly quit: () => Promise<void>;
  readonly destroy: () => void;
};

/** Connect; the greeting is not read yet. */
export async function openSession(port: number, host = '127.0.0.1'): Promise<Session> {
  let socket: Socket = connect({ port, host });
  let input = '';
  let stage = 'connecting';
  let closed: string | undefined;
  let wake = (): void => undefined;

  const listen = (): void => {
    socket.on('data', (chunk: Buffer) => {
      input += chunk.toString('latin1');
      wake();
    });
    socket.on('error', (error) => {
      closed = error.message;
      wake();
    });
    socket.on('close', () => {
      closed ??= 'the connection was closed';
      wake();
    });
  };
  listen();
  await once(socket, 'connect');

  const reply = async (): Promise<string> => {
    const deadline = setTimeout(() => {
      closed ??= 'no reply in time';
      wake();
    }, DEADLINE_MS);
    for (;;) {
      const match = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(input);
      if (match) {
        clearTimeout(deadline);
        input = input.slice(match[0].length);
        return match[0].trimEnd().replaceAll('\r\n', '\n');
      }
      if (closed !== undefined) {
        clearTimeout(deadline);
        throw new Error(`${stage}: ${closed}`);
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const expect = async (code: number): Promise<string> => {
    const text = await reply();
    if (!text.startsWith(String(code))) throw new Error(`${stage}: expected ${code}, got ${text}`);
    return text;
  };
  const command = (line: string, code: number): Promise<string> => {
    stage = line.slice(0, 60);
    socket.write(`${line}\r\n`);
    return expect(code);
  };
  return {
    socket: () => socket,
    expect: (code) => {
      stage = 'greeting';
      return expect(code);
    },
    command,
    upgrade: async (options) => {
      for (const event of ['data', 'error', 'close']) socket.removeAllListeners(event);
      const secure = connectTls({ ...options, socket });
      socket = secure;
      listen();
      await once(secure, 'secureConnect');
      return secure;
    },
    send: async (from, to, text) => {
      await command(`MAIL FROM:<${from}>`, 250);
      await command(`RCPT TO:<${to}>`, 250);
      await command('DATA', 354);
      return command(`${text.replaceAll('\n', '\r\n')}\r\n.`, 250);
    },
    quit: async () => {
      await command('QUIT', 221);
      socket.end();
    },
    destroy: () => socket.destroy(),
  };
}
