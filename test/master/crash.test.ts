/**
 * What master does with processes that end: a service that cannot start is tried again with longer
 * and longer pauses, one that is killed comes back at once, and qmgr hears of it.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openSink, type Sink } from '../../bench/load/sink.ts';
import {
  freePorts,
  isListening,
  type PosternInstance,
  ROOT,
  runProgram,
  startPostern,
  until,
} from '../support/instance.ts';
import { processesOf } from '../support/processes.ts';
import { openSession } from '../support/session.ts';

const [good = 0, bad = 0] = await freePorts(2);
const row = (port: number, more = ''): string => `127.0.0.1:${port} inet n - n - - smtpd${more}\n`;

const AGENT = 'smtp unix - - n - - smtp\n';

let sink: Sink;
let instance: PosternInstance;
before(async () => {
  sink = await openSink();
  instance = await startPostern({
    main: { relayhost: `[127.0.0.1]:${sink.port}`, mynetworks: '127.0.0.0/8' },
    master: row(good) + AGENT,
  });
});
after(async () => {
  await instance.stop();
  await sink.close();
});

const masterCf = (): string => join(instance.configDirectory, 'master.cf');
const count = (text: string): number => instance.log().split(text).length - 1;

test('a process that is killed comes back at once', async () => {
  const [pid = 0] = processesOf(instance.masterPid(), 'postern smtpd');
  process.kill(pid, 'SIGKILL');
  await until('the warning', () =>
    instance.log().includes(`warning: process smtpd pid ${pid} killed by signal 9`),
  );
  await until('it accepts', () => isListening(good));
  assert.notDeepEqual(processesOf(instance.masterPid(), 'postern smtpd'), [pid]);
  assert.equal(count('throttling'), 0);
});

test('what a killed process left in the queue is cleared at once', async () => {
  const session = await openSession(good);
  await session.expect(220);
  await session.command('EHLO client.example.net', 250);
  await session.send('a@example.net', 'b@far.example', 'Subject: x\n\nx\n');
  await session.quit();
  await until('it is delivered', () => instance.log().includes('status=sent'));
  const [pid = 0] = processesOf(instance.masterPid(), 'postern smtp');
  process.kill(pid, 'SIGKILL');
  await until('qmgr has looked', () =>
    /qmgr\[\d+\]: queue: \d+ readers of ended processes cleared/.test(instance.log()),
  );
});

test('a service that dies at once is throttled; the others go on; mended, it runs', async () => {
  writeFileSync(masterCf(), row(good) + row(bad, '\n  -o smtpd_tls_wrappermode=yes'));
  assert.equal((await instance.postern('reload')).code, 0);
  const throttled = 'warning: smtpd: bad command startup -- throttling';
  await until('two attempts', () => count(throttled) >= 2, 60_000);
  assert.match(instance.log(), /smtpd\[\d+\]: fatal: /);
  assert.match(instance.log(), /warning: process smtpd pid \d+ exit status \d+\n/);
  const pauses = [...instance.log().matchAll(/next start in (\d+) s/g)].map(([, n]) => Number(n));
  assert.deepEqual(pauses.slice(0, 2), [1, 2]);
  assert.ok(await isListening(good));
  assert.equal(await isListening(bad), false);

  writeFileSync(masterCf(), row(good) + AGENT + row(bad));
  assert.equal((await instance.postern('reload')).code, 0);
  await until('the mended row', () => isListening(bad), 60_000);
});

test('a reload with a broken master.cf is refused, and the running services stay', async () => {
  writeFileSync(masterCf(), 'nonsense\n');
  const run = await instance.postern('reload');
  assert.equal(run.code, 1);
  assert.match(run.stderr, /postern: fatal: .*master\.cf.*line 1/);
  assert.ok(await isListening(good));
  writeFileSync(masterCf(), row(good) + AGENT);
});

const startFails = async (master: string, main = ''): Promise<string> => {
  const directory = join(instance.directory, 'other');
  await runProgram('mkdir', ['-p', directory]);
  writeFileSync(
    join(directory, 'main.cf'),
    `compatibility_level = 3.11\nqueue_directory = ${directory}/spool\ndata_directory = ${directory}/data\nmail_owner = nobody\nmaillog_file = ${directory}/log\n${main}`,
  );
  writeFileSync(join(directory, 'master.cf'), master);
  const run = await runProgram(join(ROOT, 'bin/postern'), ['-c', directory, 'start']);
  assert.equal(run.code, 1, run.stdout);
  const status = await runProgram(join(ROOT, 'bin/postern'), ['-c', directory, 'status']);
  assert.equal(status.code, 1, 'nothing is left running');
  return run.stderr;
};

test('start says why it failed: a port in use, a broken file, a missing account', async () => {
  const [taken = 0] = await freePorts(1);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(taken, '127.0.0.1', resolve));
  const busy = await startFails(row(taken));
  server.close();
  assert.match(busy, new RegExp(`bind 127\\.0\\.0\\.1 port ${taken}: Address already in use`));
  assert.match(await startFails('smtp inet n - n - -\n'), /master\.cf.*line 1/);
  assert.match(
    await startFails(row(taken), 'message_size_limit = plenty\n'),
    /main\.cf.*message_size_limit/s,
  );
});

test('the words of a process that has no log yet are in the log of master', async () => {
  // A process that finds its main.cf broken ends before it has a log.
  const main = join(instance.configDirectory, 'main.cf');
  const [pid = 0] = processesOf(instance.masterPid(), 'postern smtpd');
  chmodSync(main, 0o600);
  const text = (await runProgram('cat', [main])).stdout;
  writeFileSync(main, `${text}\nmessage_size_limit = plenty\n`);
  process.kill(pid, 'SIGKILL');
  await until(
    'the reason',
    () => /warning: smtpd\[\d+\]: fatal: .*message_size_limit/.test(instance.log()),
    60_000,
  );
  writeFileSync(main, text);
  await until('it comes back', () => isListening(good), 60_000);
});
