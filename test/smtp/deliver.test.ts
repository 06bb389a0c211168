import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openResolver } from '../../src/dns/resolver.ts';
import { deliver } from '../../src/smtp/deliver.ts';
import { makeBootstrap } from '../../src/tls/bootstrap.ts';
import { ok } from '../../src/util/result.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { type SinkScript, type Stage, startSink } from '../support/smtp-sink.ts';
import { makeParts, request, settings, tlsOf, told } from './parts.ts';

const directory = mkdtempSync(join(tmpdir(), 'postern-smtp-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const made = await makeBootstrap({
  directory,
  names: ['sink.example'],
  addresses: ['127.0.0.1'],
  nowMs: Date.now(),
});
assert.ok(made.ok);
const TLS = {
  cert: readFileSync(made.value.certFile, 'utf8'),
  key: readFileSync(made.value.keyFile, 'utf8'),
};
const anyTls = (level: 'may' | 'encrypt') => ({
  tlsFor: tlsOf({ smtp_tls_security_level: level }),
});

/** Run one delivery against one sink; `H` in texts stands for the host. */
async function run(
  script: SinkScript,
  options: {
    readonly to?: readonly string[];
    readonly more?: Parameters<typeof request>[2];
    readonly set?: Parameters<typeof settings>[0];
    readonly parts?: Parameters<typeof makeParts>[0];
    readonly body?: string;
  } = {},
) {
  const sink = await startSink(script);
  after(() => sink.close());
  const parts = makeParts({ settings: settings(options.set), ...options.parts }, options.body);
  const report = await deliver(
    request(`[127.0.0.1]:${sink.port}`, options.to, options.more, options.body),
    parts,
  );
  parts.cache.closeAll();
  const lines = told(report).map((text) =>
    text
      .replaceAll(`127.0.0.1[127.0.0.1]:${sink.port}`, 'H:P')
      .replaceAll('127.0.0.1[127.0.0.1]', 'H'),
  );
  return { sink, lines, report, parts };
}

test('a message is sent, its envelope pipelined, QUIT behind it', async () => {
  const { sink, lines, report } = await run({}, { to: ['b@example.com', 'c d@example.com'] });
  assert.deepEqual(lines, [
    'sent 2.0.0 250 2.0.0 Ok: queued as SINK1',
    'sent 2.0.0 250 2.0.0 Ok: queued as SINK1',
  ]);
  assert.deepEqual(sink.lines, [
    'EHLO mail.example.org',
    'MAIL FROM:<a@example.org> SIZE=42',
    'RCPT TO:<b@example.com> ORCPT=rfc822;b@example.com',
    'RCPT TO:<"c d"@example.com> ORCPT=rfc822;"c+20d"@example.com',
    'DATA',
    'QUIT',
  ]);
  assert.equal(report.outcomes[0]?.relay, `127.0.0.1[127.0.0.1]:${sink.port}`);
  assert.equal(report.outcomes[0]?.dsnPassedOn, true);
});

const at =
  (stage: Stage, reply: string, nth = 0) =>
  (where: Stage, _line: string, count: number) =>
    where === stage && (nth === 0 || count === nth) ? reply : undefined;

const STAGES: readonly [what: string, script: SinkScript, expected: readonly string[]][] = [
  [
    'greeting 554',
    { answer: at('greeting', '554 5.3.2 Go away') },
    ['deferred 4.3.2 host H refused to talk to me: 554 5.3.2 Go away', 'site failure'],
  ],
  [
    'greeting 421',
    { answer: at('greeting', '421 Busy') },
    ['deferred 4.0.0 host H refused to talk to me: 421 Busy', 'site failure'],
  ],
  [
    'greeting hang-up',
    { answer: at('greeting', '') },
    [
      'deferred 4.4.2 lost connection with H while receiving the initial server greeting',
      'site failure',
    ],
  ],
  [
    'hello refused',
    { plain: true, answer: at('hello', '550 5.7.1 Not you') },
    ['bounced 5.7.1 host H refused to talk to me: 550 5.7.1 Not you'],
  ],
  [
    'MAIL 550',
    { answer: at('mail', '550 5.7.1 No') },
    ['bounced 5.7.1 host H said: 550 5.7.1 No (in reply to MAIL FROM command)'],
  ],
  [
    'MAIL 451',
    { answer: at('mail', '451 4.3.0 Later') },
    ['deferred 4.3.0 host H said: 451 4.3.0 Later (in reply to MAIL FROM command)'],
  ],
  [
    'RCPT 550',
    { answer: at('rcpt', '550 5.1.1 <b@example.com>: unknown') },
    ['bounced 5.1.1 host H said: 550 5.1.1 <b@example.com>: unknown (in reply to RCPT TO command)'],
  ],
  [
    'RCPT 552 is 452',
    { answer: at('rcpt', '552 Too many') },
    ['deferred 4.0.0 host H said: 552 Too many (in reply to RCPT TO command)'],
  ],
  [
    'RCPT multi-line',
    { answer: at('rcpt', '550-5.1.1 one\r\n550 5.1.1 two') },
    ['bounced 5.1.1 host H said: 550-5.1.1 one 550 5.1.1 two (in reply to RCPT TO command)'],
  ],
  [
    'RCPT wrong class',
    { answer: at('rcpt', '550 4.2.2 full') },
    ['bounced 5.0.0 host H said: 550 4.2.2 full (in reply to RCPT TO command)'],
  ],
  [
    'DATA 451',
    { answer: at('data', '451 4.3.2 Not now') },
    ['deferred 4.3.2 host H said: 451 4.3.2 Not now (in reply to DATA command)'],
  ],
  [
    'DATA hang-up',
    { answer: at('data', '') },
    ['deferred 4.4.2 lost connection with H while sending DATA command', 'site failure'],
  ],
  [
    'end 554',
    { answer: at('end', '554 5.7.1 Spam') },
    ['bounced 5.7.1 host H said: 554 5.7.1 Spam (in reply to end of DATA command)'],
  ],
  [
    'end 452',
    { answer: at('end', '452 4.3.1 Full') },
    ['deferred 4.3.1 host H said: 452 4.3.1 Full (in reply to end of DATA command)'],
  ],
  [
    'end hang-up',
    { answer: at('end', '') },
    [
      'deferred 4.4.2 lost connection with H while sending end of data -- message may be sent more than once',
      'site failure',
    ],
  ],
  [
    'garbage',
    { answer: at('mail', 'hello there') },
    [
      'deferred 4.5.0 protocol error with H while sending MAIL FROM: unexpected reply: hello there',
      'site failure',
    ],
  ],
  [
    'mixed codes',
    { answer: at('mail', '250-a\r\n550 b') },
    [
      'deferred 4.5.0 protocol error with H while sending MAIL FROM: reply changes its code: 550 b',
      'site failure',
    ],
  ],
  ['HELO only', { plain: true }, ['sent 2.0.0 250 2.0.0 Ok: queued as SINK1']],
  ['no pipelining', { keywords: ['DSN'] }, ['sent 2.0.0 250 2.0.0 Ok: queued as SINK1']],
];
for (const [what, script, expected] of STAGES) {
  test(`${what}: ${expected[0]}`, async () => {
    const { lines } = await run(script);
    assert.deepEqual(lines, expected);
  });
}

for (const keywords of [['PIPELINING'], []]) {
  test(`each recipient has its own fate (${keywords.join('') || 'step by step'})`, async () => {
    const { lines, sink } = await run(
      {
        keywords,
        answer: (stage, line) =>
          stage !== 'rcpt'
            ? undefined
            : line.includes('hard')
              ? '550 5.1.1 no'
              : line.includes('soft')
                ? '450 4.2.1 later'
                : undefined,
      },
      { to: ['hard@x.test', 'good@x.test', 'soft@x.test'] },
    );
    assert.deepEqual(
      lines.map((line) => line.split(' ').slice(0, 2).join(' ')),
      ['bounced 5.1.1', 'sent 2.0.0', 'deferred 4.2.1'],
    );
    assert.equal(sink.messages.length, 1);
  });
}

test('soft_bounce turns a refusal into a deferral', async () => {
  const { lines } = await run(
    { answer: at('rcpt', '550 5.1.1 no') },
    { set: { softBounce: true } },
  );
  assert.match(lines[0] ?? '', /^deferred 4\.1\.1 host H said: 550 5\.1\.1 no/);
});

test('a silent server ends with its stage', async () => {
  const { lines } = await run(
    { keywords: [], answer: (stage) => (stage === 'mail' ? '250-' : undefined) },
    { set: { limits: { ...settings().limits, mail: 60 } } },
  );
  assert.deepEqual(lines, [
    'deferred 4.4.2 conversation with H timed out while sending MAIL FROM',
    'site failure',
  ]);
});

test('nobody listens: connection refused', async () => {
  const sink = await startSink();
  await sink.close();
  const parts = makeParts();
  const report = await deliver(request(`[127.0.0.1]:${sink.port}`), parts);
  const text = `connect to 127.0.0.1[127.0.0.1]:${sink.port}: Connection refused`;
  assert.deepEqual(told(report), [`deferred 4.4.1 ${text}`, 'site failure']);
  assert.deepEqual(parts.log, [text]);
  assert.equal(report.outcomes[0]?.relay, 'none');
});

test('dots at line starts are doubled and the message arrives as it was', async () => {
  const body = '.a\r\n..\r\nx.\r\n.\r\nMAIL FROM:<evil@x>\r\n';
  const { sink } = await run({}, { body });
  assert.equal(sink.messages[0]?.replaceAll(/^\./gm, ''), body);
  assert.equal(sink.messages.length, 1);
});

test('a large body is streamed and stuffed across chunks', async () => {
  const line = `.${'x'.repeat(70)}\r\n`;
  const body = line.repeat(20_000);
  const bytes = Buffer.from(body);
  const openBody = async () =>
    ok({
      content: { wireBytes: bytes.length },
      chunks: (async function* () {
        for (let at = 0; at < bytes.length; at += 65_531) yield bytes.subarray(at, at + 65_531);
      })(),
    });
  const { sink, lines } = await run({}, { body, parts: { openBody } });
  assert.match(lines[0] ?? '', /^sent/);
  assert.equal(sink.messages[0]?.replaceAll(/^\./gm, ''), body);
});

const POISON: readonly string[] = [
  'a\r\nRCPT TO:<evil@x>@b.c',
  'a@b.c>\r\nDATA',
  'a\u0000b@c.d',
  'a@b.c> NOTIFY=NEVER',
  'a@b c',
  'a@<b>',
  '',
];
for (const address of POISON) {
  test(`${JSON.stringify(address)} reaches no server`, async () => {
    const { lines, sink } = await run({}, { to: [address, 'ok@b.c'] });
    assert.match(lines[0] ?? '', /^bounced 5\.1\.3 bad recipient address syntax/);
    assert.deepEqual(
      sink.lines.filter((line) => line.startsWith('RCPT')),
      ['RCPT TO:<ok@b.c> ORCPT=rfc822;ok@b.c'],
    );
  });
}

const QUOTED: readonly [internal: string, wire: string][] = [
  ['a b@c.d', '<"a b"@c.d>'],
  ['@h:u@d.e', '<"@h:u"@d.e>'],
  ['a@b@c.d', '<"a@b"@c.d>'],
  ['a"b\\c@d.e', '<"a\\"b\\\\c"@d.e>'],
  ['a>b@c.d', '<"a>b"@c.d>'],
  ["o'neil+x=y@c.d", "<o'neil+x=y@c.d>"],
];
for (const [internal, wire] of QUOTED) {
  test(`${internal} goes out as ${wire}, byte by byte`, async () => {
    const { sink } = await run({ keywords: [] }, { to: [internal] });
    assert.equal(sink.lines[2], `RCPT TO:${wire}`);
  });
}

test('DSN parameters are those of each recipient', async () => {
  const { sink } = await run(
    {},
    {
      more: {
        envid: 'QQ=1',
        ret: 'HDRS',
        recipients: [
          {
            index: 0,
            address: 'b@x.test',
            original: 'o@x.test',
            orcpt: 'rfc822;o+1@x.test',
            notify: ['FAILURE', 'DELAY'],
          },
          { index: 1, address: 'c@x.test', original: '', orcpt: '', notify: ['NEVER'] },
        ],
      },
    },
  );
  assert.deepEqual(sink.lines.slice(1, 4), [
    'MAIL FROM:<a@example.org> SIZE=42 ENVID=QQ+3D1 RET=HDRS',
    'RCPT TO:<b@x.test> ORCPT=rfc822;o+2B1@x.test NOTIFY=FAILURE,DELAY',
    'RCPT TO:<c@x.test> NOTIFY=NEVER',
  ]);
});

test('SMTPUTF8 mail bounces when it is not offered, SIZE is held', async () => {
  const utf8 = await run({}, { to: ['jösé@x.test'] });
  assert.deepEqual(utf8.lines, [
    'bounced 5.6.7 message requires SMTPUTF8, but no server was found that supports SMTPUTF8. The last attempted server was H',
  ]);
  const big = await run({ keywords: ['SIZE 10'] });
  assert.deepEqual(big.lines, ['bounced 5.3.4 message size 42 exceeds size limit 10 of server H']);
  const offered = await run({ keywords: ['SMTPUTF8', '8BITMIME'] }, { to: ['b@jösé.test'] });
  assert.match(offered.sink.lines[1] ?? '', / SMTPUTF8$/);
});

test('LMTP keeps the reply of each recipient, also when the connection is lost', async () => {
  const { lines, sink } = await run(
    {
      lmtp: true,
      answer: (stage, _line, count) =>
        stage === 'end' ? ['250 2.1.5 one', '552 5.2.2 two', ''][count - 1] : undefined,
    },
    { to: ['a@x', 'b@x', 'c@x'], set: { lmtp: true } },
  );
  assert.equal(sink.lines[0], 'LHLO mail.example.org');
  assert.deepEqual(lines, [
    'sent 2.1.5 250 2.1.5 one',
    'bounced 5.2.2 host H said: 552 5.2.2 two (in reply to end of DATA command)',
    'deferred 4.4.2 lost connection with H while sending end of data -- message may be sent more than once',
    'site failure',
  ]);
});

test('STARTTLS is used when offered, and bytes injected behind the 220 are dropped', async () => {
  const { lines, sink } = await run(
    { tls: TLS, injected: '250-evil\r\n250 AUTH PLAIN' },
    { parts: anyTls('may') },
  );
  assert.match(lines[0] ?? '', /^sent/);
  assert.deepEqual(sink.lines.slice(0, 4), [
    'EHLO mail.example.org',
    'STARTTLS',
    '<TLS>',
    'EHLO mail.example.org',
  ]);
});

test('wrapper mode speaks TLS at once', async () => {
  const { lines } = await run(
    { tls: { ...TLS, wrapper: true } },
    { parts: anyTls('encrypt'), set: { wrapperMode: true } },
  );
  assert.match(lines[0] ?? '', /^sent/);
});

test('level encrypt never sends in the clear', async () => {
  const plain = await run({}, { parts: anyTls('encrypt') });
  assert.deepEqual(plain.lines, [
    'deferred 4.7.4 TLS is required, but was not offered by host H',
    'site failure',
  ]);
  const refused = await run(
    { tls: TLS, answer: at('starttls', '454 4.7.0 no') },
    { parts: anyTls('encrypt') },
  );
  assert.match(
    refused.lines[0] ?? '',
    /^deferred 4\.7\.0 TLS is required, but host H refused to start TLS: 454 4\.7\.0 no$/,
  );
  assert.ok(![...plain.sink.lines, ...refused.sink.lines].some((line) => line.startsWith('MAIL')));
});

test('level may: a refused STARTTLS goes on in the clear', async () => {
  const { lines } = await run(
    { tls: TLS, answer: at('starttls', '454 4.7.0 no') },
    { parts: anyTls('may') },
  );
  assert.match(lines[0] ?? '', /^sent/);
});

test('level may: after a failed handshake plaintext only for mail that waited', async () => {
  const broken = { keywords: ['STARTTLS'], answer: at('starttls', '220 go') };
  const set = { limits: { ...settings().limits, starttls: 60 } };
  const parts = anyTls('may');
  const fresh = await run(broken, { set, parts });
  assert.deepEqual(fresh.lines, ['deferred 4.7.5 Cannot start TLS: handshake failure']);
  const waited = await run(broken, { set, parts, more: { activeMs: 600_000 } });
  assert.match(waited.lines[0] ?? '', /^sent/);
});

const LOGINS: readonly [offer: string, sent: readonly string[]][] = [
  ['AUTH PLAIN LOGIN', ['AUTH PLAIN AHVzZXIAcGFzcw==']],
  ['AUTH LOGIN', ['AUTH LOGIN', 'dXNlcg==', 'cGFzcw==']],
];
for (const [offer, sent] of LOGINS) {
  test(`${offer}: logs in as configured`, async () => {
    const { lines, sink } = await run(
      {
        keywords: [offer],
        answer: (stage, line) =>
          stage !== 'auth'
            ? undefined
            : line === 'AUTH LOGIN'
              ? '334 VXNlcm5hbWU6'
              : line === 'dXNlcg=='
                ? '334 UGFzc3dvcmQ6'
                : undefined,
      },
      {
        set: { mechanismsClear: ['PLAIN', 'LOGIN'] },
        parts: { credentialsFor: async () => ok({ user: 'user', pass: 'pass' }) },
      },
    );
    assert.match(lines[0] ?? '', /^sent/);
    assert.deepEqual(sink.lines.slice(1, 1 + sent.length), sent);
  });
}

test('noplaintext keeps the password at home, a refused login defers', async () => {
  const parts = { credentialsFor: async () => ok({ user: 'user', pass: 'pass' }) };
  const { lines, sink } = await run({ keywords: ['AUTH PLAIN'] }, { parts });
  assert.deepEqual(lines, [
    'deferred 4.7.0 SASL authentication failed: server H offered no compatible authentication mechanisms for this type of connection security',
    'site failure',
  ]);
  assert.ok(!sink.lines.some((line) => line.startsWith('AUTH')));
  const refused = await run(
    { keywords: ['AUTH PLAIN'], answer: at('auth', '535 5.7.8 bad') },
    { parts, set: { mechanismsClear: ['PLAIN'] } },
  );
  assert.deepEqual(refused.lines, [
    'deferred 4.7.8 SASL authentication failed; server H said: 535 5.7.8 bad',
    'site failure',
  ]);
});

test('a session is used again while more mail waits, and one that died leaves no trace', async () => {
  const sink = await startSink();
  after(() => sink.close());
  const parts = makeParts();
  const send = (reuse: boolean) =>
    deliver(request(`[127.0.0.1]:${sink.port}`, ['b@x'], { reuse }), parts);
  assert.match(told(await send(true))[0] ?? '', /^sent/);
  assert.match(told(await send(true))[0] ?? '', /^sent/);
  assert.equal(sink.connections(), 1);
  assert.equal(parts.cache.size(), 1);
  assert.match(told(await send(false))[0] ?? '', /^sent/);
  assert.equal(parts.cache.size(), 0);
  assert.equal(sink.connections(), 1);
});

test('a reused session that drops the next MAIL is replaced', async () => {
  const sink = await startSink({ answer: at('mail', '', 2) });
  after(() => sink.close());
  const parts = makeParts();
  const send = () => deliver(request(`[127.0.0.1]:${sink.port}`, ['b@x'], { reuse: true }), parts);
  await send();
  assert.match(told(await send())[0] ?? '', /^sent/);
  assert.equal(sink.connections(), 2);
  parts.cache.closeAll();
});

test('the next MX is tried after a site failure and after 4xx, not after 5xx', async () => {
  const good = await startSink();
  after(() => good.close());
  const zone = await startDnsServer({
    'MX d.test': [
      { name: 'd.test', type: 'MX', ttl: 60, data: { preference: 10, exchange: 'dead.test' } },
      { name: 'd.test', type: 'MX', ttl: 60, data: { preference: 20, exchange: 'good.test' } },
    ],
    'A dead.test': [{ name: 'dead.test', type: 'A', ttl: 60, data: '127.0.0.2' }],
    'A good.test': [{ name: 'good.test', type: 'A', ttl: 60, data: '127.0.0.1' }],
  });
  after(() => zone.close());
  const resolver = openResolver({ servers: [{ address: '127.0.0.1', port: zone.port }] });
  const report = await deliver(request(`d.test:${good.port}`), makeParts({ resolver }));
  assert.match(told(report)[0] ?? '', /^sent/);
  assert.equal(report.outcomes[0]?.relay, `good.test[127.0.0.1]:${good.port}`);
});

test('an unknown domain bounces, a fallback relay takes it instead', async () => {
  const sink = await startSink();
  const zone = await startDnsServer({ 'A x.test': [] });
  after(() => Promise.all([sink.close(), zone.close()]));
  const resolver = openResolver({ servers: [{ address: '127.0.0.1', port: zone.port }] });
  const gone = await deliver(request('gone.test'), makeParts({ resolver }));
  assert.deepEqual(told(gone), [
    'bounced 5.4.4 Host or domain name not found. Name service error for name=gone.test type=A: Host not found',
  ]);
  const set = settings({ fallbackRelay: `[127.0.0.1]:${sink.port}` });
  const relayed = await deliver(request('gone.test'), makeParts({ resolver, settings: set }));
  assert.match(told(relayed)[0] ?? '', /^sent/);
});
