/** The two ends of a session: greeting, EHLO and what they decide; RSET and QUIT. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SmtpClient } from '../../src/smtp/client.ts';
import { openDeadlines } from '../../src/smtp/deadline.ts';
import { deliver } from '../../src/smtp/deliver.ts';
import type { ClientSettings } from '../../src/smtp/session.ts';
import { ok } from '../../src/util/result.ts';
import { until } from '../support/instance.ts';
import { type SinkScript, type Stage, startSink } from '../support/smtp-sink.ts';
import { makeParts, request, settings, told } from './parts.ts';

const at =
  (stage: Stage, reply: string, nth = 0) =>
  (where: Stage, _line: string, count: number) =>
    where === stage && (nth === 0 || count === nth) ? reply : undefined;

async function run(
  script: SinkScript,
  set: Parameters<typeof settings>[0] = {},
  more: Parameters<typeof request>[2] = {},
  to?: readonly string[],
) {
  const sink = await startSink(script);
  after(() => sink.close());
  const parts = makeParts({ settings: settings(set) });
  const report = await deliver(request(`[127.0.0.1]:${sink.port}`, to, more), parts);
  const lines = told(report).map((text) => text.replaceAll('127.0.0.1[127.0.0.1]', 'H'));
  return { sink, lines, report, parts };
}

const HELLOS: readonly [hello: ClientSettings['hello'], greeting: string, verb: string][] = [
  ['always', '220 sink.example hello', 'EHLO'],
  ['esmtp', '220 sink.example ESMTP', 'EHLO'],
  ['esmtp', '220-sink.example hello\r\n220 and esmtp', 'EHLO'],
  ['esmtp', '220 sink.example hello', 'HELO'],
  ['esmtp', '220 ESMTP.example hello', 'HELO'],
  ['never', '220 sink.example ESMTP', 'HELO'],
];
for (const [hello, greeting, verb] of HELLOS) {
  test(`${hello}: ${JSON.stringify(greeting)} is answered with ${verb}`, async () => {
    const { sink, lines } = await run({ answer: at('greeting', greeting) }, { hello });
    assert.match(lines[0] ?? '', /^sent/);
    assert.match(sink.lines[0] ?? '', new RegExp(`^${verb} `));
  });
}

test('a 5xx greeting bounces where smtp_skip_5xx_greeting = no', async () => {
  const { lines, report } = await run(
    { answer: at('greeting', '554 5.3.2 Go away') },
    { isGreetingSoft: false },
  );
  assert.deepEqual(lines, ['bounced 5.3.2 host H refused to talk to me: 554 5.3.2 Go away']);
  assert.match(report.outcomes[0]?.relay ?? '', /^127\.0\.0\.1\[127\.0\.0\.1\]:\d+$/);
});

test('soft_bounce keeps what the greeting would bounce', async () => {
  const { lines } = await run(
    { answer: at('greeting', '554 5.3.2 Go away') },
    { isGreetingSoft: false, softBounce: true },
  );
  assert.equal(lines[0], 'deferred 4.3.2 host H refused to talk to me: 554 5.3.2 Go away');
});

test('a session that failed has its host in relay=, all its time in the third figure', async () => {
  const { report } = await run({ answer: at('greeting', '421 Busy') });
  const [outcome] = report.outcomes;
  assert.match(outcome?.relay ?? '', /^127\.0\.0\.1\[127\.0\.0\.1\]:\d+$/);
  assert.equal(outcome?.timesMs?.transmission, 0);
});

test('an offer of STARTTLS that is not used is noted when asked for', async () => {
  const script = { keywords: ['STARTTLS'] };
  const silent = await run(script);
  assert.deepEqual(silent.parts.log, []);
  const noted = await run(script, { notesStarttlsOffer: true });
  assert.deepEqual(noted.parts.log, ['Host offered STARTTLS: [127.0.0.1]']);
});

test('a transaction that came to nothing is reset before the session is used again', async () => {
  for (const keywords of [['PIPELINING'], []]) {
    const sink = await startSink({ keywords, answer: at('rcpt', '450 4.2.1 later', 1) });
    after(() => sink.close());
    const parts = makeParts();
    const to = `[127.0.0.1]:${sink.port}`;
    const first = await deliver(request(to, ['a@x.test'], { reuse: true }), parts);
    assert.match(told(first)[0] ?? '', /^deferred 4\.2\.1/);
    const second = await deliver(request(to, ['b@x.test'], { reuse: true }), parts);
    assert.match(told(second)[0] ?? '', /^sent/);
    assert.equal(second.outcomes[0]?.connectionUse, 2);
    assert.equal(first.outcomes[0]?.connectionUse, undefined);
    parts.cache.closeAll();
    const verbs = sink.lines.map((line) => line.split(' ')[0]);
    assert.equal(verbs[verbs.indexOf('RSET') + 1], 'MAIL');
    assert.equal(sink.connections(), 1);
  }
});

test('a session that refuses RSET is not used again', async () => {
  const sink = await startSink({
    answer: (stage, line) =>
      stage === 'rcpt' ? '450 later' : line === 'RSET' ? '502 What?' : undefined,
  });
  after(() => sink.close());
  const parts = makeParts();
  await deliver(request(`[127.0.0.1]:${sink.port}`, ['a@x.test'], { reuse: true }), parts);
  assert.equal(parts.cache.size(), 0);
});

for (const waitsForQuit of [true, false]) {
  test(`the reply to QUIT is ${waitsForQuit ? '' : 'not '}waited for`, async () => {
    const sink = await startSink({ keywords: [] });
    after(() => sink.close());
    const socket = connect(sink.port, '127.0.0.1');
    const client = new SmtpClient(socket, { ...CLIENT, deadlines: openDeadlines(), waitsForQuit });
    assert.equal(await client.open(), undefined);
    client.close();
    assert.equal(socket.writableEnded, !waitsForQuit);
    await until('it is closed', () => socket.writableEnded);
    await until('QUIT was heard', () => sink.lines.includes('QUIT'));
  });
}

test('a server that does not answer QUIT is left after its time limit', async () => {
  const sink = await startSink({
    keywords: [],
    answer: (_stage, line) => (line === 'QUIT' ? '' : undefined),
  });
  after(() => sink.close());
  const deadlines = openDeadlines(5);
  const socket = connect(sink.port, '127.0.0.1');
  const client = new SmtpClient(socket, {
    ...CLIENT,
    deadlines,
    waitsForQuit: true,
    limits: { ...settings().limits, quit: 30 },
  });
  assert.equal(await client.open(), undefined);
  // The server hears nothing more: its answer will not come.
  socket.pause();
  client.close();
  assert.equal(client.isIdle, false);
  assert.equal(socket.writableEnded, false);
  await until('the session is over', () => socket.writableEnded || socket.destroyed, 5_000);
});

const CLIENT: Omit<ClientSettings, 'deadlines'> = {
  host: 'sink.example',
  port: 25,
  where: 'sink.example[127.0.0.1]',
  relay: 'sink.example[127.0.0.1]:25',
  helo: 'mail.example.org',
  lmtp: false,
  hello: 'always',
  isGreetingSoft: true,
  tls: 'none',
  tlsOptions: {},
  judge: () => ({ status: 'Untrusted', isEnough: true }),
  tlsLogLevel: 0,
  notesStarttlsOffer: false,
  discardKeywords: new Set(),
  limits: settings().limits,
  waitsForQuit: false,
  logger: { info: () => undefined, warning: () => undefined },
};

for (const isBestHost of [true, false]) {
  test(`a host with our own name is a loop; ${isBestHost ? 'for good' : 'for now'}`, async () => {
    const sink = await startSink({
      answer: (stage) =>
        stage === 'greeting'
          ? '220 Mail.Example.org ESMTP'
          : stage === 'hello'
            ? '250-mail.example.ORG at your service\r\n250 PIPELINING'
            : undefined,
    });
    after(() => sink.close());
    const warnings: string[] = [];
    const loop = { myhostname: 'mail.example.org', nexthop: 'far.example', isBestHost };
    const logger = { info: () => undefined, warning: (text: string) => warnings.push(text) };
    const deadlines = openDeadlines();
    const socket = connect(sink.port, '127.0.0.1');
    const client = new SmtpClient(socket, { ...CLIENT, deadlines, loop, logger });
    const failure = await client.open();
    assert.deepEqual(failure?.dsn, {
      status: isBestHost ? '5.4.6' : '4.4.6',
      reason: 'mail for far.example loops back to myself',
    });
    assert.deepEqual(warnings, [
      'host sink.example[127.0.0.1]:25 greeted me with my own hostname mail.example.org',
      'host sink.example[127.0.0.1]:25 replied to HELO/EHLO with my own hostname mail.example.org',
    ]);
  });
}

test('a final reply in the midst of the message ends the session, its verdict stands', async () => {
  const sink = await startSink({ answer: at('data', '354 go\r\n552 5.3.4 Too much') });
  after(() => sink.close());
  const body = async () =>
    ok({
      content: { wireBytes: 1 },
      chunks: (async function* () {
        yield Buffer.from('Subject: x\r\n\r\n');
        await sleep(30);
        yield Buffer.from('MAIL FROM:<evil@x>\r\n');
        await sleep(30);
        yield Buffer.from('RCPT TO:<evil@x>\r\n');
      })(),
    });
  const parts = makeParts({ openBody: body });
  const report = await deliver(
    request(`[127.0.0.1]:${sink.port}`, ['a@x.test'], { reuse: true }),
    parts,
  );
  assert.match(told(report)[0] ?? '', /^bounced 5\.3\.4 host .* said: 552 5\.3\.4 Too much/);
  assert.equal(parts.cache.size(), 0);
  assert.deepEqual(sink.messages, []);
});

test('SMTPUTF8 mail looks for another server that offers it', async () => {
  const plain = await startSink();
  const able = await startSink({ keywords: ['SMTPUTF8'] });
  after(() => Promise.all([plain.close(), able.close()]));
  const parts = makeParts();
  const both = `[127.0.0.1]:${plain.port}, [127.0.0.1]:${able.port}`;
  const report = await deliver(request(both, ['j\u00f6rg@x.test']), parts);
  assert.match(told(report)[0] ?? '', /^sent/);
  assert.equal(parts.log.length, 1);
  assert.match(parts.log[0] ?? '', /^4cTest00001: message requires SMTPUTF8/);
  assert.match(able.lines[2] ?? '', /^RCPT TO:<j/);
});

test('mail sent as SMTPUTF8 that is ASCII throughout goes to any server', async () => {
  const { lines, sink } = await run({}, {}, { smtputf8: true });
  assert.match(lines[0] ?? '', /^sent/);
  assert.doesNotMatch(sink.lines[1] ?? '', /SMTPUTF8/);
});
