import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openCleanup, type Source } from '../../src/cleanup/cleanup.ts';
import { mailDate } from '../../src/mail/received.ts';
import type { Envelope, Recipient } from '../../src/mail/stages.ts';
import { parts } from '../rewrite/parts.ts';

const AT_MS = Date.UTC(2026, 10, 25, 11, 14, 3);
const to = (address: string, more: Partial<Recipient> = {}): Recipient => ({
  address,
  original: address,
  orcpt: '',
  notify: [],
  ...more,
});
const ENVELOPE: Envelope = {
  sender: 'me@example.org',
  recipients: [to('you@far.example')],
  envid: '',
  ret: '',
  smtputf8: false,
  body: '',
};

type Options = {
  readonly main?: Record<string, string>;
  readonly source?: Partial<Source>;
  readonly envelope?: Partial<Envelope>;
};

/** Pass pieces through cleanup; what was stored, and the verdict. */
async function clean(pieces: readonly string[], options: Options = {}) {
  const { config, resolver, tables } = parts(options.main);
  const stored: Buffer[] = [];
  const draft = {
    id: '4ABC',
    write: (chunk: Buffer): true => {
      stored.push(chunk);
      return true;
    },
  };
  const cleanup = openCleanup({
    config,
    virtualAliases: tables.virtualAliases,
    addressContext: resolver.addressContext,
  });
  const cleaning = cleanup.begin({
    draft,
    trace: '',
    sender: 'me@example.org',
    isLocal: false,
    atMs: AT_MS,
    ...options.source,
  });
  for (const piece of pieces) await cleaning.write(Buffer.from(piece, 'latin1'));
  const verdict = await cleaning.finish({ ...ENVELOPE, ...options.envelope });
  const bytes = Buffer.concat(stored);
  return { text: bytes.toString('latin1'), bytes, verdict };
}

const KEPT: readonly [what: string, message: string][] = [
  ['a message', 'Subject: x\r\nFrom: a@b\r\n\r\nbody\r\n'],
  ['an empty body', 'Subject: x\r\n\r\n'],
  ['8-bit text', 'Subject: x\r\n\r\n\xe4\r\n'],
  ['dots', 'Subject: x\r\n\r\n.\r\n..\r\n'],
  ['folded fields', 'Subject: x\r\n y\r\n\tz\r\n\r\n\r\n\r\nbody\r\n'],
];

for (const [what, message] of KEPT) {
  test(`cleanup keeps ${what} as it is`, async () => {
    assert.equal((await clean([message])).text, message);
  });
}

const CHANGED: readonly [what: string, message: string, stored: string][] = [
  [
    'drops Bcc, Return-Path and Content-Length',
    'Bcc: a,\r\n b\r\nSubject: x\r\nRETURN-PATH: <>\r\nResent-Bcc: c\r\nContent-Length: 1\r\n\r\nBcc: body\r\n',
    'Subject: x\r\n\r\nBcc: body\r\n',
  ],
  ['puts a blank line before a bare body', 'hello there\r\n', '\r\nhello there\r\n'],
  [
    'puts a blank line where text ends the header',
    'A: 1\r\ntext here\r\n',
    'A: 1\r\n\r\ntext here\r\n',
  ],
  ['ends a header without a body', 'A: 1\r\n', 'A: 1\r\n\r\n'],
  ['ends the last line', 'A: 1\r\n\r\nbody', 'A: 1\r\n\r\nbody\r\n'],
  ['ends a header that stops in a line', 'A: 1', 'A: 1\r\n\r\n'],
  [
    'makes a field of a mailbox line',
    'From me Mon\r\nA: 1\r\n\r\n',
    'X-Mailbox-Line: From me Mon\r\nA: 1\r\n\r\n',
  ],
  ['stores a message of nothing', '', '\r\n'],
];

for (const [what, message, stored] of CHANGED) {
  test(`cleanup ${what}`, async () => assert.equal((await clean([message])).text, stored));
}

test('cleanup puts the trace in front and adds what a local client left out', async () => {
  const { text, verdict } = await clean(['Subject: x\r\n\r\nbody\r\n'], {
    source: { trace: 'Received: y\r\n', isLocal: true, sender: 'a b@example.org' },
  });
  assert.equal(
    text,
    'Received: y\r\nSubject: x\r\n' +
      'Message-Id: <4ABC@mail.example.org>\r\n' +
      `Date: ${mailDate(AT_MS)}\r\n` +
      'From: "a b"@example.org\r\n\r\nbody\r\n',
  );
  assert.ok(verdict.ok);
  assert.equal(verdict.value.messageId, '<4ABC@mail.example.org>');
  assert.deepEqual(verdict.value.from, ['a b@example.org']);
});

test('cleanup adds Resent- fields to a resent message', async () => {
  const message = 'Resent-To: a@b\r\nFrom: c@d\r\nMessage-ID: <x@y>\r\nDate: z\r\n\r\n';
  const { text } = await clean([message], { source: { isLocal: true } });
  assert.match(
    text,
    /Resent-Message-Id: .*\r\nResent-Date: .*\r\nResent-From: me@example.org\r\n\r\n$/,
  );
});

test('cleanup tells what the header says', async () => {
  const { verdict } = await clean([
    'Received: a\r\nReceived: b\r\nMessage-ID:\r\n <x@y>\r\nFrom: "N, M" <a@b>, c@d\r\n\r\nReceived: c\r\n',
  ]);
  assert.ok(verdict.ok);
  const { hops, messageId, from } = verdict.value;
  assert.deepEqual(
    { hops, messageId, from },
    { hops: 2, messageId: '<x@y>', from: ['a@b', 'c@d'] },
  );
});

test('cleanup measures what it stored', async () => {
  const { bytes, verdict } = await clean(['A: 1\r\n\r\nx\r\n', '.dot \xe4\r\n']);
  assert.ok(verdict.ok);
  assert.deepEqual(verdict.value.content, {
    wireBytes: bytes.length,
    sizeBytes: bytes.length - 4,
    has8bit: true,
    hasDotLines: true,
  });
});

test('cleanup refuses a loop, but not for our own notices', async () => {
  const message = `${'Received: x\r\n'.repeat(3)}\r\n`;
  const main = { hopcount_limit: '3' };
  const { verdict } = await clean([message], { main });
  assert.ok(!verdict.ok);
  assert.equal(verdict.error.reply.code, 554);
  assert.equal(verdict.error.reply.status, '5.4.0');
  assert.ok((await clean([message], { main, source: { isInternal: true } })).verdict.ok);
});

test('a header longer than its limit is stored whole, without a blank line in it', async () => {
  const main = { header_size_limit: '1024' };
  const message = `${'X-Long: yyyyyyyyyyyyyyyyyyyy\r\n'.repeat(100)}\r\nbody\r\n`;
  const pieces = message.match(/[\s\S]{1,100}/g) ?? [];
  assert.equal((await clean(pieces, { main })).text, message);
  const { text } = await clean(pieces, { main, source: { isLocal: true } });
  assert.match(text, /yyy\r\nMessage-Id: .*\r\nDate: .*\r\nFrom: .*\r\n\r\nbody\r\n$/);
});

test('the cut into pieces does not matter', async () => {
  const message = 'Bcc: x\r\nA: 1\r\n b\r\nReceived: z\r\n\r\nbody\r\n.dot\r\n\r\nend\r\n';
  const whole = await clean([message]);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(message.length), { maxLength: 6 }), async (cuts) => {
      const marks = [0, ...cuts.toSorted((a, b) => a - b), message.length];
      const pieces = marks.slice(1).map((end, at) => message.slice(marks[at], end));
      const { text, verdict } = await clean(pieces);
      assert.equal(text, whole.text);
      assert.deepEqual(verdict, whole.verdict);
    }),
    { numRuns: 60 },
  );
});

async function envelope(recipients: readonly Recipient[], main: Record<string, string>) {
  const { verdict } = await clean(['A: 1\r\n\r\n'], { main, envelope: { recipients } });
  if (!verdict.ok) return `${verdict.error.reply.code} ${verdict.error.reply.status}`;
  const states = verdict.value.recipients;
  return states.map(({ address, original }) => `${address}(${original})`).join(' ');
}

test('recipients are completed, expanded and told apart', async () => {
  const aliases = {
    virtual_alias_maps: 'inline:{{all@example.org=a, b@far.example}, b@example.org=a}',
  };
  assert.equal(await envelope([to('a')], {}), 'a@example.org(a)');
  assert.equal(
    await envelope([to('all@example.org')], aliases),
    'a@example.org(all@example.org) b@far.example(all@example.org)',
  );
  const twice = [to('a@example.org'), to('A@example.org'), to('b@example.org')];
  assert.equal(
    await envelope(twice, aliases),
    'a@example.org(a@example.org) a@example.org(b@example.org)',
  );
  const merged = { ...aliases, enable_original_recipient: 'no' };
  assert.equal(await envelope(twice, merged), 'a@example.org(a@example.org)');
  assert.equal(await envelope([to('a')], { virtual_alias_maps: 'fail:x' }), '451 4.6.0');
});

test('always_bcc goes through the aliases and wants no notice', async () => {
  const main = { always_bcc: 'log', virtual_alias_maps: 'inline:{log=archive@far.example}' };
  const { verdict } = await clean(['A: 1\r\n\r\n'], { main });
  assert.ok(verdict.ok);
  const copy = verdict.value.recipients.at(-1);
  assert.equal(copy?.address, 'archive@far.example');
  assert.deepEqual(copy?.notify, ['NEVER']);
  const internal = await clean(['A: 1\r\n\r\n'], { main, source: { isInternal: true } });
  assert.ok(internal.verdict.ok);
  assert.equal(internal.verdict.value.recipients.length, 1);
});

test('our mailer-daemon as sender becomes the null sender', async () => {
  const { verdict } = await clean(['A: 1\r\n\r\n'], { envelope: { sender: 'MAILER-DAEMON' } });
  assert.ok(verdict.ok);
  assert.equal(verdict.value.sender, '');
});
