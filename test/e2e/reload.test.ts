/**
 * `postern reload` under load: sessions are never refused or cut, and a stop afterwards keeps its
 * time limit although processes of older generations still have clients.
 *
 * RELOAD_SESSIONS sets how many sessions there are.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  freePort,
  freePorts,
  isListening,
  type PosternInstance,
  startPostern,
  until,
} from '../support/instance.ts';
import { processesOf, titleOf } from '../support/processes.ts';
import { openSession, type Session } from '../support/session.ts';

const SESSIONS = Number(process.env['RELOAD_SESSIONS'] ?? 2_000);
const RELOADS = 10;
const AT_ONCE = 20;
const TEXT = 'Subject: reload\n\nHello.\n';

let instance: PosternInstance;
let port = 0;
before(async () => {
  port = await freePort();
  instance = await startPostern({
    main: { mynetworks: '127.0.0.0/8', default_transport: 'discard', stop_time_limit: '5s' },
    master: `127.0.0.1:${port} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
discard unix - - n - - discard
`,
  });
});
after(() => instance.stop());

const ready = async (at = port): Promise<Session> => {
  const session = await openSession(at);
  await session.expect(220);
  await session.command('EHLO client.example.net', 250);
  return session;
};

const reload = async (): Promise<void> => {
  const { code, stderr } = await instance.postern('reload');
  assert.equal(code, 0, stderr);
};

const delivered = (): string[] =>
  [...instance.log().matchAll(/: (\w+): to=<[^>]*>.* status=sent/g)].map(([, id = '']) => id);

const smtpds = (): number[] => processesOf(instance.masterPid(), 'postern smtpd');

test(`${SESSIONS} sessions over ${RELOADS} reloads: none refused, none cut`, async (t) => {
  const first = smtpds();
  let started = 0;
  let finished = 0;
  const queued = new Set<string>();
  const faults: string[] = [];

  const whole = async (n: number): Promise<void> => {
    const session = await ready();
    const answer = await session.send('a@example.net', `r${n}@example.com`, TEXT);
    queued.add(/queued as (\S+)/.exec(answer)?.[1] ?? '');
    await session.quit();
  };
  const client = async (): Promise<void> => {
    while (started < SESSIONS && faults.length < 10) {
      started += 1;
      await whole(started).catch((error: Error) => faults.push(error.message));
      finished += 1;
    }
  };

  const clients = Array.from({ length: AT_ONCE }, client);
  const generations = new Set(first);
  for (let reloads = 0; reloads < RELOADS; reloads += 1) {
    // Half of them come before the processes of the reload before are ready.
    const share = Math.floor(((reloads - (reloads % 2)) / (RELOADS + 2)) * SESSIONS);
    await until(`${share} sessions`, () => finished >= share || faults.length > 0, 120_000);
    const older = await ready();
    const seen = smtpds();
    await reload();
    if (reloads % 2 === 1) {
      await until('a new process', () => smtpds().some((pid) => !seen.includes(pid)), 120_000);
      for (const pid of smtpds()) generations.add(pid);
    }
    // A session that was open before the reload goes on and ends well.
    const answer = await older.send('a@example.net', 'open@example.com', TEXT);
    queued.add(/queued as (\S+)/.exec(answer)?.[1] ?? '');
    await older.quit();
  }
  await Promise.all(clients);
  assert.deepEqual(faults, []);
  assert.equal(queued.size, SESSIONS + RELOADS, 'each message has its queue id');
  await until(
    'all reloads are logged',
    () => instance.log().match(/: reload -- version/g)?.length === RELOADS,
  );
  assert.ok(generations.size > RELOADS / 2, 'processes were replaced');
  await until('the first ones end', () => !first.some((pid) => smtpds().includes(pid)));
  const isDelivered = (): boolean => queued.isSubsetOf(new Set(delivered()));
  await until('all are delivered', isDelivered, 60_000);
  assert.equal(delivered().length, queued.size, 'each once');
  assert.doesNotMatch(instance.log(), /panic|fatal|exit status|killed by/);
  t.diagnostic(`${generations.size} smtpd processes`);
});

test('a row that is gone serves its clients to their end, and a stop says goodbye to them', async () => {
  const [kept = 0, removed = 0] = await freePorts(2);
  const row = (at: number): string => `127.0.0.1:${at} inet n - n - - smtpd\n`;
  const site = await startPostern({
    main: { mynetworks: '127.0.0.0/8', default_transport: 'discard' },
    master: `${row(kept)}${row(removed)}discard unix - - n - - discard\n`,
  });
  try {
    const idle = await ready(removed);
    const writing = await ready(kept);
    await writing.command('MAIL FROM:<a@example.net>', 250);
    await writing.command('RCPT TO:<b@example.com>', 250);
    await writing.command('DATA', 354);
    writeFileSync(join(site.configDirectory, 'master.cf'), row(kept));
    assert.equal((await site.postern('reload')).code, 0);
    await until('the removed row is closed', async () => !(await isListening(removed)));
    assert.ok(await isListening(kept));
    await idle.command('NOOP', 250);

    const master = site.masterPid();
    const before = processesOf(master, 'postern smtpd');
    const startMs = Date.now();
    const goodbye = idle.expect(421);
    const { code } = await site.postern('stop');
    assert.equal(code, 0);
    assert.match(await goodbye, /^421 4\.3\.2 .*Service shutting down/);
    assert.ok(Date.now() - startMs < 8_000, 'within stop_time_limit, whoever is in mid-message');
    assert.ok(before.length >= 2);
    for (const pid of [master, ...before]) assert.equal(titleOf(pid), '', `${pid} has ended`);
  } finally {
    await site.stop();
  }
});
