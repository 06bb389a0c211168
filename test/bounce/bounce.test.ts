/** Reports as Python's email package reads them, and who gets one. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { type BounceInput, composeReports, type Report } from '../../src/bounce/bounce.ts';
import { parseTemplates } from '../../src/bounce/template.ts';
import { dsn } from '../../src/mail/dsn.ts';
import type { QueueEntry } from '../../src/mail/stages.ts';
import type { NewMessage } from '../../src/queue/store.ts';
import { testConfig } from '../support/config.ts';
import { queueEntry } from '../support/queue-entry.ts';

type Parsed = {
  readonly headers: readonly (readonly [string, string])[];
  readonly type: string;
  readonly reportType: string;
  readonly defects: readonly string[];
  readonly types: readonly string[];
  readonly text: string;
  readonly groups: readonly (readonly (readonly [string, string])[])[];
  readonly returnedSubject: string | null;
  readonly crlfOnly: boolean;
  readonly longestLine: number;
};

const BODY = Buffer.from('Subject: hello\r\nFrom: a@example.org\r\n\r\nline\r\n.dot\r\nFrom x\r\n');
const REFUSED = {
  status: '5.1.1',
  reason:
    'host mx.example.com[192.0.2.7] said: 550 5.1.1 <user@example.com>: no such user here (in reply to RCPT TO command)',
  remote: { mta: 'mx.example.com', reply: '550 5.1.1 <user@example.com>: no such user here' },
} as const;

function parse(message: NewMessage): Parsed {
  const script = join(import.meta.dirname, 'parse-report.py');
  const run = spawnSync('python3', [script], { input: message.body });
  assert.equal(run.status, 0, run.stderr.toString());
  return JSON.parse(run.stdout.toString()) as Parsed;
}

async function compose(
  entryChanges: Partial<QueueEntry> = {},
  changes: Partial<BounceInput> & { values?: Record<string, string>; templates?: string } = {},
): Promise<{
  message: NewMessage | undefined;
  reports: readonly Report[];
  warnings: string[];
}> {
  const body = changes.body ?? BODY;
  const content = {
    wireBytes: body.length,
    sizeBytes: body.length,
    has8bit: false,
    hasDotLines: true,
  };
  const entry = queueEntry('4cTest0000z1', { content, ...entryChanges });
  const warnings: string[] = [];
  const templates = parseTemplates('bounce.cf', changes.templates ?? '');
  assert.ok(templates.ok);
  const reports = await composeReports(
    {
      entry,
      kind: 'failed',
      results: entry.recipients.map((recipient) => ({ recipient, dsn: REFUSED })),
      ...changes,
      body,
    },
    {
      config: testConfig(changes.values),
      nowMs: 1_700_000_100_000,
      newId: () => '4cReport000z2',
      logger: { warning: (text) => warnings.push(text) },
      templates: templates.value,
    },
  );
  return { message: reports[0], reports, warnings };
}

const header = ({ headers }: Parsed, name: string) => headers.find(([key]) => key === name)?.[1];
const recipient = (notify: QueueEntry['recipients'][0]['notify'], orcpt = '') => ({
  address: 'user@example.com',
  original: 'list@example.org',
  orcpt,
  notify,
  state: 'pending' as const,
});

test('a failure report is multipart/report that Python reads without defects', async () => {
  const { message } = await compose({ envid: 'QQ314159' });
  assert.ok(message);
  const parsed = parse(message);
  assert.deepEqual(parsed.defects, []);
  assert.equal(parsed.type, 'multipart/report');
  assert.equal(parsed.reportType, 'delivery-status');
  assert.deepEqual(parsed.types, ['text/plain', 'message/delivery-status', 'message/rfc822']);
  assert.equal(header(parsed, 'subject'), 'Undelivered Mail Returned to Sender');
  assert.equal(header(parsed, 'auto-submitted'), 'auto-replied');
  assert.match(header(parsed, 'from') ?? '', /MAILER-DAEMON@mail\.example\.org/);
  assert.equal(header(parsed, 'to'), 'sender@example.org');
  assert.match(header(parsed, 'message-id') ?? '', /^<\d{14}\.4cReport000z2@mail\.example\.org>$/);
  assert.match(parsed.text, /^This is the mail system at host mail\.example\.org\.\r?\n/);
  assert.match(parsed.text, /<user@example\.com>: host mx\.example\.com\[192\.0\.2\.7\] said: 550/);
  assert.equal(parsed.returnedSubject, 'hello');
  assert.ok(parsed.crlfOnly);
  assert.ok(message.body.includes(BODY));
});

test('the status part has the fields of Postfix, in its order', async () => {
  const { message } = await compose({
    envid: 'QQ314159',
    recipients: [recipient([], 'rfc822;Orig@example.net')],
  });
  assert.ok(message);
  const [about, one] = parse(message).groups;
  assert.deepEqual(
    about?.map(([name]) => name),
    [
      'reporting-mta',
      'original-envelope-id',
      'x-postfix-queue-id',
      'x-postfix-sender',
      'arrival-date',
    ],
  );
  assert.deepEqual(one, [
    ['final-recipient', 'rfc822; user@example.com'],
    ['original-recipient', 'rfc822;Orig@example.net'],
    ['action', 'failed'],
    ['status', '5.1.1'],
    ['remote-mta', 'dns; mx.example.com'],
    ['diagnostic-code', 'smtp; 550 5.1.1 <user@example.com>: no such user here'],
  ]);
});

test('the entry is a null-sender message of our own, measured as it is stored', async () => {
  const { message } = await compose();
  assert.ok(message);
  const { entry, body } = message;
  assert.equal(entry.sender, '');
  assert.equal(entry.internal, 'bounce');
  assert.equal(entry.id, '4cReport000z2');
  assert.deepEqual(
    entry.recipients.map(({ address }) => address),
    ['sender@example.org'],
  );
  assert.equal(entry.content.wireBytes, body.length);
  assert.equal(entry.content.hasDotLines, true);
  assert.match(
    body.toString(),
    /^Received: by mail\.example\.org \(Postern\)\r\n\tid 4cReport000z2; /,
  );
});

const HEADER_ONLY: readonly [
  name: string,
  entry: Partial<QueueEntry>,
  more: Parameters<typeof compose>[1],
][] = [
  ['RET=HDRS', { ret: 'HDRS' }, {}],
  ['a message above bounce_size_limit', {}, { values: { bounce_size_limit: '20' } }],
  ['a delay', {}, { kind: 'delayed' }],
];
for (const [name, entry, more] of HEADER_ONLY) {
  test(`${name} returns the header only`, async () => {
    const { message } = await compose(entry, more);
    assert.ok(message);
    assert.equal(parse(message).types[2], 'text/rfc822-headers');
    assert.ok(message.body.includes('Subject: hello\r\nFrom: a@example.org\r\n'));
    assert.ok(!message.body.includes('.dot'));
  });
}

test('a delay warning says until when', async () => {
  const { message } = await compose({}, { kind: 'delayed' });
  assert.ok(message);
  const parsed = parse(message);
  assert.equal(header(parsed, 'subject'), 'Delayed Mail (still being retried)');
  const fields = new Map(parsed.groups[1]);
  assert.equal(fields.get('action'), 'delayed');
  assert.match(fields.get('will-retry-until') ?? '', /2023/);
});

const NOTIFY: readonly [QueueEntry['recipients'][0]['notify'], BounceInput['kind'], boolean][] = [
  [[], 'failed', true],
  [[], 'delayed', true],
  [[], 'delivered', false],
  [['NEVER'], 'failed', false],
  [['SUCCESS'], 'failed', false],
  [['SUCCESS'], 'delivered', true],
  [['FAILURE'], 'delayed', false],
  [['DELAY'], 'delayed', true],
  [['FAILURE', 'DELAY'], 'failed', true],
];
for (const [notify, kind, isSent] of NOTIFY) {
  test(`NOTIFY=${notify.join() || '(none)'}: ${kind} is ${isSent ? '' : 'not '}reported`, async () => {
    const { message } = await compose({ recipients: [recipient(notify)] }, { kind });
    assert.equal(message !== undefined, isSent);
  });
}

test('a bounce that fails is dropped with a warning, or goes to the postmaster', async () => {
  const dropped = await compose({ sender: '' });
  assert.equal(dropped.message, undefined);
  assert.equal(dropped.warnings.length, 1);
  const sent = await compose({ sender: '' }, { values: { notify_classes: 'resource, 2bounce' } });
  assert.equal(sent.message?.entry.sender, 'double-bounce@mail.example.org');
  assert.equal(sent.message?.entry.internal, 'double-bounce');
  assert.equal(sent.message?.entry.recipients[0]?.address, 'postmaster@mail.example.org');
  assert.ok(sent.message);
  const parsed = parse(sent.message);
  assert.equal(header(parsed, 'subject'), 'Postmaster Copy: Undelivered Mail');
  assert.equal(header(parsed, 'auto-submitted'), 'auto-generated');
  assert.doesNotMatch(parsed.text, /mail system at host/);
  assert.match(parsed.text, /<user@example\.com>: host mx/);
  assert.equal(parsed.types[2], 'message/rfc822');
  assert.deepEqual(parsed.groups[0]?.[2], [
    'x-postfix-sender',
    'rfc822; MAILER-DAEMON@mail.example.org',
  ]);
});

test('a double bounce that fails ends there', async () => {
  for (const entry of [
    { sender: 'double-bounce@mail.example.org' },
    { sender: '', internal: 'double-bounce' as const },
  ]) {
    const { message, warnings } = await compose(entry, { values: { notify_classes: '2bounce' } });
    assert.equal(message, undefined);
    assert.match(warnings[0] ?? '', /discarded/);
  }
});

test('no foreign text can add a line', async () => {
  const evil = 'a\r\nBcc: victim@example.net\r\n\r\nb';
  const { message } = await compose(
    {
      envid: evil,
      sender: 'se nder\r\nX: y@example.org',
      recipients: [{ ...recipient([], `rfc822;${evil}`), address: `${evil}@example.com` }],
    },
    {
      results: [
        {
          recipient: { ...recipient([], `rfc822;${evil}`), address: `${evil}@example.com` },
          dsn: { ...REFUSED, reason: evil, remote: { mta: evil, reply: evil } },
        },
      ],
    },
  );
  assert.ok(message);
  const parsed = parse(message);
  assert.ok(!/^(?:bcc|x):/im.test(message.body.toString('latin1')));
  assert.ok(!parsed.groups[0]?.some(([name]) => name === 'original-envelope-id'));
  assert.deepEqual(parsed.types.length, 3);
});

test('8-bit mail is returned as 8bit, byte by byte; SMTPUTF8 mail in global types', async () => {
  const body = Buffer.concat([
    Buffer.from('Subject: x\r\n\r\n'),
    Buffer.from([0xe4, 0xff, 0x0d, 0x0a]),
  ]);
  const { message } = await compose({}, { body });
  assert.ok(message);
  assert.ok(message.body.includes(body));
  assert.match(message.body.toString('latin1'), /Content-Transfer-Encoding: 8bit/i);
  const global = await compose({ smtputf8: true, sender: 'gr\u00fc\u00dfe@example.org' });
  assert.ok(global.message);
  const parsed = global.message.body.toString();
  assert.match(parsed, /message\/global-delivery-status/);
  assert.match(parsed, /X-Postfix-Sender: utf-8; gr\u00fc\u00dfe@example\.org/);
});

test('a long diagnostic is folded', async () => {
  const { message } = await compose(
    {},
    {
      results: [{ recipient: recipient([]), dsn: dsn('5.0.0', 'word '.repeat(1000)) }],
    },
  );
  assert.ok(message);
  assert.ok(parse(message).longestLine < 100);
});

test('the parts are described as Postfix describes them, a preamble in front', async () => {
  const { message } = await compose();
  const text = message?.body.toString('latin1') ?? '';
  assert.match(text, /\r\n\r\nThis is a MIME-encapsulated message\.\r\n\r\n--/);
  assert.deepEqual(
    [...text.matchAll(/^Content-Description: (.*)\r$/gm)].map((match) => match[1]),
    ['Notification', 'Delivery report', 'Undelivered Message'],
  );
  assert.match(text, /\r\n\r\nReturn-Path: <sender@example\.org>\r\nSubject: hello\r\n/);
  assert.match(text, /^From: Mail Delivery System <MAILER-DAEMON@mail\.example\.org>\r$/m);
});

test('a success report says what each recipient was, and returns the header', async () => {
  const text = { status: '2.0.0', reason: 'delivery via local: delivered to mailbox' } as const;
  const { message } = await compose(
    { envid: 'id7', ret: 'FULL' },
    {
      kind: 'delivered',
      results: [
        { recipient: recipient(['SUCCESS']), dsn: text, action: 'delivered' },
        {
          recipient: recipient(['SUCCESS', 'FAILURE']),
          dsn: {
            status: '2.1.5',
            reason: '250 Ok',
            remote: { mta: 'mx.example', reply: '250 Ok' },
          },
          action: 'relayed',
        },
        { recipient: recipient(['SUCCESS']), dsn: text, action: 'expanded' },
        { recipient: recipient(['FAILURE']), dsn: text, action: 'delivered' },
      ],
    },
  );
  assert.ok(message);
  const parsed = parse(message);
  assert.deepEqual(parsed.defects, []);
  assert.equal(header(parsed, 'subject'), 'Successful Mail Delivery Report');
  assert.deepEqual(
    parsed.groups.slice(1).map((group) => new Map(group).get('action')),
    ['delivered', 'relayed', 'expanded'],
  );
  assert.deepEqual(parsed.groups[2]?.slice(-2), [
    ['remote-mta', 'dns; mx.example'],
    ['diagnostic-code', 'smtp; 250 Ok'],
  ]);
  assert.equal(new Map(parsed.groups[0]).get('original-envelope-id'), 'id7');
  assert.equal(parsed.types[2], 'text/rfc822-headers');
});

const COPIES: readonly [
  classes: string,
  kind: BounceInput['kind'],
  sender: string,
  reports: readonly string[],
][] = [
  ['', 'failed', 'a@b.example', ['sender a@b.example']],
  ['bounce', 'failed', 'a@b.example', ['sender a@b.example', 'postmaster one@x.example']],
  ['bounce, delay', 'delivered', 'a@b.example', []],
  ['Bounce,2bounce', 'failed', '', ['postmaster two@x.example']],
  ['bounce', 'failed', '', []],
  ['delay', 'delayed', 'a@b.example', ['sender a@b.example', 'postmaster three@x.example']],
  ['bounce', 'delayed', 'a@b.example', ['sender a@b.example']],
  ['bounce, 2bounce, delay', 'failed', 'double-bounce@mail.example.org', []],
];
for (const [classes, kind, sender, expected] of COPIES) {
  test(`notify_classes = ${classes}: ${kind} for <${sender}>`, async () => {
    const { reports } = await compose(
      { sender },
      {
        kind,
        values: {
          notify_classes: classes,
          bounce_notice_recipient: 'one@x.example',
          '2bounce_notice_recipient': 'two@x.example',
          delay_notice_recipient: 'three@x.example',
        },
      },
    );
    assert.deepEqual(
      reports.map(({ to, entry }) => `${to} ${entry.recipients[0]?.address}`),
      expected,
    );
  });
}

test('the postmaster gets a copy with the header only, also where the sender wants none', async () => {
  const { reports } = await compose(
    { recipients: [recipient(['NEVER'])] },
    { values: { notify_classes: 'bounce' } },
  );
  assert.deepEqual(
    reports.map(({ to }) => to),
    ['postmaster'],
  );
  assert.ok(reports[0]);
  assert.equal(parse(reports[0]).types[2], 'text/rfc822-headers');
});

const FILE = `# words of this site
failure_template = <<EOF
Charset: utf-8
From: postmaster (Poststelle)
Subject: Nicht zustellbar
Postmaster-Subject: Kopie

F\u00fcr $myhostname, nach $maximal_queue_lifetime_days Tagen, 5$$.
EOF
`;

test('bounce_template_file gives the words, with parameters and units', async () => {
  const { message } = await compose(
    {},
    { templates: FILE, values: { maximal_queue_lifetime: '49h' } },
  );
  assert.ok(message);
  const parsed = parse(message);
  assert.deepEqual(parsed.defects, []);
  assert.equal(header(parsed, 'subject'), 'Nicht zustellbar');
  assert.equal(header(parsed, 'from'), 'Poststelle <postmaster@mail.example.org>');
  assert.match(parsed.text, /^F\u00fcr mail\.example\.org, nach 2 Tagen, 5\$\.\r?\n/);
});

const BAD_FILES: readonly [what: string, source: string, fault: RegExp][] = [
  ['other text', 'hello\n', /^t\.cf, line 1: expected/],
  ['an unknown name', '\nother_template = <<E\n\nx\nE\n', /^t\.cf, line 2: unknown template/],
  ['no end', 'delay_template = <<E\n\nx\n', /line 1: no line "E"/],
  ['no empty line', 'delay_template = <<E\nSubject: x\nE\n', /missing empty line/],
  ['an unknown header', 'delay_template = <<E\nTo: x\n\nx\nE\n', /unknown header: To: x/],
  ['8-bit text in us-ascii', 'delay_template = <<E\n\n\u00fc\nE\n', /8-bit characters/],
];
for (const [what, source, fault] of BAD_FILES) {
  test(`a template file with ${what} is refused with its line`, () => {
    const parsed = parseTemplates('t.cf', source);
    assert.ok(!parsed.ok);
    assert.match(parsed.error, fault);
  });
}
