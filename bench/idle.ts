/**
 * Memory of idle, authenticated TLS sessions: 500 for Postfix, 5,000 for Postern, from one client
 * process that holds them all in one event loop. PSS of all server processes, per session.
 */
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { pssBytes } from './processes.ts';
import { PASSWORD, type Server, startPosternServer, startPostfixServer, USER } from './servers.ts';

const AT_ONCE = 25;

export async function measureIdle(): Promise<void> {
  const setup = {
    auth: 'cheap',
    dovecotCache: false,
    certificate: 'rsa',
    sinkPort: 9,
  } as const;
  process.stdout.write(
    '\n| idle TLS sessions, logged in | sessions | KB per session |\n|---|---|---|\n',
  );
  for (const [start, count] of [
    [startPostfixServer, 500],
    [startPosternServer, 5000],
  ] as const) {
    const server = await start(setup);
    try {
      const bytes = await perSession(server, count);
      process.stdout.write(`| ${server.name} | ${count} | ${(bytes / 1024).toFixed(0)} |\n`);
    } finally {
      await server.stop();
    }
  }
}

async function perSession(server: Server, count: number): Promise<number> {
  const sessions = await open(server, 1);
  const before = pssBytes(server.roots);
  while (sessions.length < count + 1) sessions.push(...(await open(server, AT_ONCE)));
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const bytes = (pssBytes(server.roots) - before) / count;
  for (const socket of sessions) socket.destroy();
  return bytes;
}

const open = (server: Server, count: number): Promise<TLSSocket[]> =>
  Promise.all(Array.from({ length: count }, () => login(server.submissionPort)));

async function login(port: number): Promise<TLSSocket> {
  const plain = connectPlain(port, '127.0.0.1');
  await expect(plain, '220');
  plain.write('EHLO idle.example\r\n');
  await expect(plain, '250');
  plain.write('STARTTLS\r\n');
  await expect(plain, '220');
  const socket = connect({ socket: plain, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.write('EHLO idle.example\r\n');
  await expect(socket, '250');
  socket.write(`AUTH PLAIN ${Buffer.from(`\0${USER}\0${PASSWORD}`).toString('base64')}\r\n`);
  await expect(socket, '235');
  return socket;
}

/** Wait for the last line of a reply with this code. */
async function expect(socket: NodeJS.ReadableStream, code: string): Promise<void> {
  let text = '';
  while (!new RegExp(`^${code} .*\r\n`, 'm').test(text)) {
    const [chunk] = await once(socket, 'data');
    text += String(chunk);
    if (/^[45]\d\d/m.test(text)) throw new Error(`server said: ${text}`);
  }
}
