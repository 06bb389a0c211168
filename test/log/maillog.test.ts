import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeFileSink } from '../../src/log/log-file.ts';
import { openLog, printable } from '../../src/log/maillog.ts';
import { syslogSink } from '../../src/log/syslog.ts';
import { until } from '../support/instance.ts';
import { needs } from '../support/programs.ts';

const directory = mkdtempSync(join(tmpdir(), 'postern-log-'));
after(() => rmSync(directory, { recursive: true }));

const LOG = { syslogName: 'postfix', program: 'smtpd', host: 'mail.example.org' };
const HEAD = String.raw`[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d`;

test('a line has the shape of Postfix; a level has its word; foreign bytes are harmless', () => {
  const file = join(directory, 'shape');
  const log = openLog({ ...LOG, file });
  log.info('4cGz: client=unknown[192.0.2.1]');
  log.warning('odd \r\nfake line\u0085');
  log.error('e');
  log.fatal('f');
  log.panic('p');
  log.flush();
  const lines = readFileSync(file, 'utf8').split('\n');
  const expected = ['4cGz: client=unknown[192.0.2.1]', 'warning: odd ??fake line?'];
  for (const [at, text] of [...expected, 'error: e', 'fatal: f', 'panic: p'].entries()) {
    const form = new RegExp(`^${HEAD} mail postfix/smtpd\\[${process.pid}\\]: `);
    assert.match(lines[at] ?? '', form);
    assert.equal(lines[at]?.replace(form, ''), text);
  }
  assert.equal(lines.length, 6);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('printable() leaves letters of all scripts and nothing that moves a cursor', () => {
  assert.equal(printable('Grüße\tвас\u001b[2J\u2028'), 'Grüße?вас?[2J?');
});

test('maillog_file_permissions is the mode of a file that is made', () => {
  const file = join(directory, 'mode');
  const before = process.umask(0);
  openLog({ ...LOG, file, permissions: '0640' }).flush();
  process.umask(before);
  assert.equal(statSync(file).mode & 0o777, 0o640);
});

test('without a wait lines are written by themselves', async () => {
  const file = join(directory, 'timer');
  openLog({ ...LOG, file }).info('one');
  await until('the line is there', () => readFileSync(file, 'utf8').endsWith(': one\n'));
});

/** A file that takes bytes as the test says; an Error is thrown instead. */
function slowFile(answers: (number | NodeJS.ErrnoException)[]) {
  const taken: Buffer[] = [];
  return {
    text: () => Buffer.concat(taken).toString(),
    write: (_descriptor: number, bytes: Buffer): number => {
      const answer = answers.shift() ?? bytes.length;
      if (typeof answer !== 'number') throw answer;
      const part = bytes.subarray(0, answer);
      taken.push(Buffer.from(part));
      return part.length;
    },
  };
}
const fault = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

test('a short write and a full disk leave no half line: the rest goes first, later', () => {
  const disk = slowFile([3, fault('ENOSPC'), 2, fault('ENOSPC')]);
  const sink = makeFileSink(join(directory, 'short'), 0o600, undefined, disk.write);
  sink.add('first line\n');
  sink.flush();
  assert.equal(disk.text(), 'fir');
  sink.add('second line\n');
  sink.flush();
  assert.equal(disk.text(), 'first');
  sink.flush();
  assert.equal(disk.text(), 'first line\nsecond line\n');
});

test('what does not fit is lost in whole lines, and counted', () => {
  const full = Array.from({ length: 40 }, () => fault('ENOSPC'));
  const disk = slowFile([10, ...full]);
  const sink = makeFileSink(join(directory, 'full'), 0o600, undefined, disk.write);
  const line = `${'x'.repeat(99)}\n`;
  for (let round = 0; round < 20; round += 1) {
    sink.add(line.repeat(1_000));
    sink.flush();
  }
  full.length = 0;
  for (let tries = 0; tries < 40; tries += 1) sink.flush();
  const lines = disk.text().split('\n');
  assert.equal(lines.pop(), '');
  const notes = lines.filter((text) => text.startsWith('postern: warning: '));
  const lost = notes.reduce((sum, text) => sum + Number(/\d+/.exec(text)?.[0]), 0);
  const whole = lines.filter((text) => text === 'x'.repeat(99)).length;
  assert.equal(whole + notes.length, lines.length, 'no line was cut');
  assert.equal(whole + lost, 20_000);
  assert.ok(whole * 100 <= 1024 * 1024 + 100_000);
});

test('a pipe whose reader is slow gets every line', async () => {
  const program = `
    import { openLog } from '${join(import.meta.dirname, '../../src/log/maillog.ts')}';
    const log = openLog({ file: '/dev/stdout', syslogName: 'postfix', program: 'x', host: 'h' });
    for (let n = 0; n < 5000; n += 1) log.info('line ' + n + ' ' + 'y'.repeat(100));
    log.flush();
    process.exit(0);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8');
  // The pipe fills up first: nobody reads until the child has had to wait.
  setTimeout(() => child.stdout.on('data', (part: string) => (text += part)), 300);
  await once(child, 'close');
  const numbers = [...text.matchAll(/: line (\d+) y{100}\n/g)].map(([, n]) => Number(n));
  assert.deepEqual(
    numbers,
    Array.from({ length: 5_000 }, (_none, n) => n),
  );
});

test('a renamed file is opened anew; who may not, hands its lines on', async () => {
  const file = join(directory, 'rotated');
  const forwarded: string[] = [];
  const sink = makeFileSink(file, 0o600, (lines) => forwarded.push(lines));
  sink.add('before\n');
  sink.flush();
  renameSync(file, `${file}.1`);
  const written = (): boolean => {
    sink.add('after\n');
    sink.flush();
    return existsSync(file);
  };
  await until('a new file', written);
  assert.match(readFileSync(`${file}.1`, 'utf8'), /^before\n(?:after\n)*$/);
  assert.equal(readFileSync(file, 'utf8'), 'after\n');
  // In its place something that cannot be opened for writing, by whomever.
  rmSync(file);
  execFileSync('mkdir', [file]);
  await until('lines are handed on', () => {
    sink.add('handed on\n');
    sink.flush();
    return forwarded.length > 0;
  });
  assert.deepEqual([...new Set(forwarded)], ['handed on\n']);
});

/** A log of the system that listens on a stream. */
async function listen(name: string) {
  const path = join(directory, name);
  let text = '';
  const server = createServer((socket) => {
    socket.on('data', (part) => (text += part));
    socket.unref();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  server.unref();
  return { path, text: () => text };
}
const NOWHERE = join(directory, 'nowhere');

test('journald: a header that names program and facility, then lines with their severity', async () => {
  const journal = await listen('journal');
  const options = { tag: 'postfix/smtpd', facility: 'mail', device: NOWHERE };
  const sink = syslogSink({ ...options, journal: journal.path });
  sink.add('info', 'one');
  sink.add('warning', 'warning: two');
  sink.add('fatal', 'fatal: three');
  await until('three lines', () => journal.text().includes('three\n'));
  assert.equal(
    journal.text(),
    'postfix/smtpd\n\n22\n1\n0\n0\n0\n<6>one\n<4>warning: two\n<2>fatal: three\n',
  );
});

test('/dev/log as a stream: facility and severity, time, program and pid', async () => {
  const device = await listen('stream');
  const options = { tag: 'postfix/qmgr', facility: 'local3', journal: NOWHERE };
  const sink = syslogSink({ ...options, device: device.path });
  sink.add('info', '4cGz: removed');
  await until('a line', () => device.text().endsWith('\n'));
  assert.match(
    device.text(),
    new RegExp(`^<158>${HEAD} postfix/qmgr\\[${process.pid}\\]: 4cGz: removed\n$`),
  );
});

const DATAGRAMS = `
import socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
print('ready', flush=True)
while True:
    print(server.recv(65536).decode(), flush=True)
`;

test(
  '/dev/log as datagrams: the same, also the last words of a process',
  needs('python3', 'logger'),
  async () => {
    const path = join(directory, 'datagrams');
    const server = spawn('python3', ['-c', DATAGRAMS, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    after(() => server.kill());
    let text = '';
    server.stdout.on('data', (part) => (text += part));
    await until('the socket', () => text === 'ready\n');
    const options = { tag: 'postfix/smtpd', facility: 'mail', journal: NOWHERE, device: path };
    const sink = syslogSink(options);
    sink.add('info', 'one');
    sink.add('warning', 'warning: two');
    await until('two lines', () => text.includes('two'));
    const head = String.raw`${HEAD} postfix/smtpd\[${process.pid}\]: `;
    assert.match(text, new RegExp(`^<22>${head}one\n^<20>${head}warning: two$`, 'm'));
    text = '';
    const dying = syslogSink(options);
    dying.add('fatal', 'fatal: no such file');
    dying.flush();
    await until('last words', () => text.includes('no such file'));
    assert.match(text, new RegExp(`^<18>${head}fatal: no such file$`, 'm'));
  },
);

test('without any log of the system lines go to standard error', () => {
  const file = join(directory, 'program.ts');
  writeFileSync(
    file,
    `import { syslogSink } from '${join(import.meta.dirname, '../../src/log/syslog.ts')}';
    const sink = syslogSink({ tag: 'postfix/smtpd', facility: 'mail', journal: '${NOWHERE}', device: '${NOWHERE}' });
    sink.add('error', 'error: alone');
    sink.flush();`,
  );
  const text = execFileSync('sh', ['-c', '"$0" "$1" 2>&1', process.execPath, file]).toString();
  assert.match(text, /postfix\/smtpd\[\d+\]: error: alone\n$/);
});
