/**
 * Bounded memory: 50 clients that send 10 MB each at the same time cost the SMTP server's processes
 * at most 100 MB more than they had while idle, at their peak.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { freePort, type PosternInstance, startPostern } from '../support/instance.ts';

const CLIENTS = 50;
const MESSAGE_BYTES = 10 * 1024 * 1024;
const ALLOWED_GROWTH_BYTES = 100 * 1024 * 1024;
const LINE = `${'x'.repeat(76)}\r\n`;
const PIECE = Buffer.from(LINE.repeat(840));

const port = await freePort();
let instance: PosternInstance | undefined;
after(() => instance?.stop());

/** Resident bytes of the smtpd processes of one master: now, and the most that there ever were. */
function memoryOfSmtpd(master: number): { readonly now: number; readonly peak: number } {
  const sum = { now: 0, peak: 0 };
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const status = statusOf(pid);
    if (field(status, 'PPid') !== master) continue;
    if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('postern smtpd')) continue;
    sum.now += field(status, 'VmRSS') * 1024;
    sum.peak += field(status, 'VmHWM') * 1024;
  }
  return sum;
}

function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    return '';
  }
}

const field = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);

async function say(socket: Socket, line: string, code: string): Promise<void> {
  if (line !== '') socket.write(`${line}\r\n`);
  let text = '';
  while (!/^\d{3} .*\r\n/m.test(text)) text += String((await once(socket, 'data'))[0]);
  assert.ok(text.startsWith(code), text);
}

async function open(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await say(socket, '', '220');
  await say(socket, 'EHLO c.example', '250');
  return socket;
}

async function send(socket: Socket): Promise<void> {
  await say(socket, 'MAIL FROM:<a@remote.example>', '250');
  await say(socket, 'RCPT TO:<b@remote.example>', '250');
  await say(socket, 'DATA', '354');
  socket.write('Subject: large\r\n\r\n');
  for (let sent = 0; sent < MESSAGE_BYTES; sent += PIECE.length) {
    if (!socket.write(PIECE)) await once(socket, 'drain');
  }
  await say(socket, '.', '250');
}

test('50 clients with 10 MB each: at most 100 MB of growth', { timeout: 120_000 }, async () => {
  instance = await startPostern({
    main: {
      mynetworks: '127.0.0.0/8',
      mydestination: '',
      message_size_limit: String(2 * MESSAGE_BYTES),
      smtpd_client_connection_count_limit: '0',
      // The queue keeps them: only the way in is measured.
      smtpd_client_restrictions: 'check_client_access static:HOLD',
    },
    master: `127.0.0.1:${port} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
`,
  });
  const master = instance.masterPid();
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, open));
  const idle = memoryOfSmtpd(master).now;
  assert.ok(idle > 20 * 1024 * 1024, 'the smtpd processes were found');
  await Promise.all(sockets.map(send));
  const { peak } = memoryOfSmtpd(master);
  for (const socket of sockets) socket.end('QUIT\r\n');
  const grown = peak - idle;
  const megabytes = `${Math.round(grown / 1024 / 1024)} MB`;
  assert.ok(grown <= ALLOWED_GROWTH_BYTES, `grew by ${megabytes}`);
  process.stdout.write(`# smtpd grew by ${megabytes} over ${Math.round(idle / 1024 / 1024)} MB\n`);
});
