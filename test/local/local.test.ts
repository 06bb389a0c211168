/** Local delivery with aliases, .forward files, mailboxes and commands in temporary directories. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openAccounts } from '../../src/agent/passwd.ts';
import type { LocalParts } from '../../src/local/job.ts';
import { deliverLocal } from '../../src/local/local.ts';
import { openMaps } from '../../src/lookup/maps.ts';
import { lookupContext } from '../../src/lookup/open.ts';
import { openResolver } from '../../src/rewrite/resolve.ts';
import { deliveryRequest, openBodyOf } from '../support/agent-body.ts';
import { testConfig } from '../support/config.ts';

const root = mkdtempSync(join(tmpdir(), 'postern-local-'));
chmodSync(root, 0o755);
after(() => rmSync(root, { recursive: true, force: true }));
const IS_ROOT = process.getuid?.() === 0;
const UID = IS_ROOT ? 65534 : (process.getuid?.() ?? 0);
const GID = IS_ROOT ? 65534 : (process.getgid?.() ?? 0);
const BODY = Buffer.from('Subject: x\r\n\r\nFrom me\r\n');
const SILENT = { info() {}, warning() {}, error() {}, fatal() {}, panic() {}, flush() {} };

type Site = {
  readonly home: string;
  readonly warnings: string[];
  readonly deliver: (
    user: string,
    body?: Buffer,
    changes?: Parameters<typeof deliveryRequest>[1],
  ) => ReturnType<typeof deliverLocal>;
};

let count = 0;
function site(aliases: string, values: Record<string, string> = {}, forward?: string): Site {
  const directory = join(root, `s${(count += 1)}`);
  const home = join(directory, 'joe');
  mkdirSync(home, { recursive: true });
  chownSync(home, UID, GID);
  const passwd = join(directory, 'passwd');
  writeFileSync(
    passwd,
    `joe:x:${UID}:${GID}::${home}:/bin/sh\nnobody:x:${UID}:${GID}::/nonexistent:/bin/false\nroot:x:0:0::${directory}:/bin/sh\n`,
  );
  if (forward !== undefined) {
    writeFileSync(join(home, '.forward'), forward.replaceAll('HOME', home));
    chownSync(join(home, '.forward'), UID, GID);
  }
  const config = testConfig({
    alias_maps: aliases === '' ? '' : `inline:{${aliases}}`,
    alias_database: '',
    home_mailbox: 'Maildir/',
    recipient_delimiter: '+',
    mydestination: 'mail.example.org',
    local_recipient_maps: '',
    ...Object.fromEntries(
      Object.entries(values).map(([key, value]) => [key, value.replaceAll('HOME', home)]),
    ),
  });
  const context = lookupContext(config, SILENT);
  const open = (
    name:
      | 'alias_maps'
      | 'mailbox_command_maps'
      | 'mailbox_transport_maps'
      | 'fallback_transport_maps',
  ) => {
    const maps = openMaps(name, config[name], context);
    assert.ok(maps.ok);
    return maps.value;
  };
  const resolver = openResolver(config, context);
  assert.ok(resolver.ok);
  const warnings: string[] = [];
  const parts: LocalParts = {
    config,
    aliases: open('alias_maps'),
    mailboxCommands: open('mailbox_command_maps'),
    mailboxTransports: open('mailbox_transport_maps'),
    fallbackTransports: open('fallback_transport_maps'),
    resolver: resolver.value,
    accounts: openAccounts(passwd),
    logger: { warning: (text) => warnings.push(text) },
    service: 'local',
    environment: { LANG: 'C', SECRET: 'x' },
    nowMs: Date.now,
  };
  return {
    home,
    warnings,
    deliver: (user, body = BODY, changes = {}) =>
      deliverLocal(deliveryRequest([`${user}@mail.example.org`], changes), openBodyOf(body), parts),
  };
}

const mails = (home: string): string[] => {
  const directory = join(home, 'Maildir/new');
  if (!existsSync(directory)) return [];
  return readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'));
};
const verdict = ({ outcomes }: Awaited<ReturnType<Site['deliver']>>) => {
  const [outcome] = outcomes;
  return `${outcome?.kind} ${outcome?.dsn.status} ${outcome?.dsn.reason}`;
};

test('a user gets a maildir message with the rights of the user', async () => {
  const { home, deliver } = site('');
  assert.equal(verdict(await deliver('Joe+news')), 'bounced 5.1.1 unknown user: "joe"');
  assert.equal(verdict(await deliver('joe+news')), 'sent 2.0.0 delivered to maildir');
  const [mail = ''] = mails(home);
  assert.match(
    mail,
    /^Return-Path: <sender@example\.org>\nX-Original-To: joe\+news@mail\.example\.org\nDelivered-To: joe\+news@mail\.example\.org\nSubject: x\n/,
  );
  assert.equal(statSync(join(home, 'Maildir')).uid, UID);
  assert.equal(process.geteuid?.(), process.getuid?.());
});

test('the mail spool gets a mailbox file', async () => {
  const { home, deliver } = site('', { home_mailbox: '', mail_spool_directory: 'HOME' });
  assert.equal(verdict(await deliver('joe')), 'sent 2.0.0 delivered to mailbox');
  assert.match(
    readFileSync(join(home, 'joe'), 'utf8'),
    /^From sender@example\.org {2}\w{3} \w{3} [\s\S]*\n>From me\n\n$/,
  );
});

test('an unknown user bounces, reserved names do not, luser_relay catches', async () => {
  assert.equal(verdict(await site('').deliver('nope')), 'bounced 5.1.1 unknown user: "nope"');
  assert.equal(verdict(await site('').deliver('postmaster')), 'sent 2.0.0 discarded');
  const relayed = await site('', { luser_relay: '$user@far.example' }).deliver('nope+x');
  assert.deepEqual(
    relayed.forwards?.[0]?.recipients.map(({ address }) => address),
    ['nope@far.example'],
  );
  const literal = await site('', { luser_relay: '$user@far.example' }).deliver('$domain');
  assert.deepEqual(
    literal.forwards?.[0]?.recipients.map(({ address }) => address),
    ['$domain@far.example'],
    'what the sender wrote is not expanded',
  );
});

test('an alias delivers what is local and hands back the rest', async () => {
  const { home, deliver } = site('{ team = joe, far@example.com, joe@mail.example.org }');
  const report = await deliver('team');
  assert.equal(report.outcomes[0]?.kind, 'sent');
  assert.equal(mails(home).length, 1);
  assert.deepEqual(report.forwards, [
    {
      index: 0,
      sender: 'sender@example.org',
      prepend: 'Delivered-To: team@mail.example.org\r\n',
      recipients: [
        { address: 'far@example.com', original: 'team@mail.example.org', orcpt: '', notify: [] },
      ],
    },
  ]);
});

test('an alias of itself is the mailbox; aliases that go round end', async () => {
  const { home, deliver } = site('{ joe = joe }');
  assert.equal(verdict(await deliver('joe')), 'sent 2.0.0 delivered to maildir');
  assert.equal(mails(home).length, 1);
  assert.equal(verdict(await site('{ a = b }, { b = a }').deliver('a')).split(' ')[0], 'bounced');
});

test('an owner- alias becomes the sender, and everything is submitted again', async () => {
  const { home, deliver } = site(
    '{ list = joe, far@example.com }, { owner-list = boss@example.com }',
  );
  const report = await deliver('list', BODY, {});
  assert.equal(mails(home).length, 0);
  assert.equal(report.forwards?.[0]?.sender, 'owner-list@mail.example.org');
  assert.deepEqual(
    report.forwards?.[0]?.recipients.map(({ address }) => address),
    ['joe@mail.example.org', 'far@example.com'],
  );
});

test('a message that was here before bounces', async () => {
  const body = Buffer.from('Delivered-To: JOE@mail.example.org\r\n\r\nx\r\n');
  assert.equal(
    verdict(await site('').deliver('joe', body)),
    'bounced 5.4.6 mail forwarding loop for joe@mail.example.org',
  );
});

const FORWARDS: readonly [
  name: string,
  text: string,
  inMailbox: number,
  forwarded: readonly string[],
][] = [
  ['an address', 'far@example.com\n', 0, ['far@example.com']],
  ['the user and an address', '\\joe, far@example.com\n', 1, ['far@example.com']],
  ['lines and comments', '# away\nfar@example.com\njoe\n', 1, ['far@example.com']],
  ['nothing', '\n', 1, []],
];
for (const [name, text, inMailbox, forwarded] of FORWARDS) {
  test(`.forward with ${name}`, async () => {
    const { home, deliver } = site('', {}, text);
    const report = await deliver('joe');
    assert.equal(report.outcomes[0]?.kind, 'sent');
    assert.equal(mails(home).length, inMailbox);
    assert.deepEqual(
      report.forwards?.flatMap(({ recipients }) => recipients.map(({ address }) => address)) ?? [],
      forwarded,
    );
  });
}

test('a .forward that everybody may write to is not used', async () => {
  const { home, deliver, warnings } = site('', {}, 'far@example.com\n');
  chmodSync(join(home, '.forward'), 0o666);
  await deliver('joe');
  assert.equal(mails(home).length, 1);
  assert.match(warnings[0] ?? '', /world writable/);
});

test('files: an alias writes with default_privs, a forward with the rights of its user', async () => {
  const { home, deliver } = site('', {}, 'HOME/archive\n');
  assert.equal(verdict(await deliver('joe')), `sent 2.0.0 delivered to file: ${home}/archive`);
  assert.equal(statSync(`${home}/archive`).uid, UID);
  assert.equal(
    verdict(await site('{ sink = /dev/null }').deliver('sink')),
    'sent 2.0.0 delivered to file: /dev/null',
  );
  const restricted = site('{ sink = /dev/null }', { allow_mail_to_files: 'forward' });
  assert.equal(
    verdict(await restricted.deliver('sink')),
    'bounced 5.7.1 mail to file is restricted',
  );
});

test('a list of :include: is submitted again', async () => {
  const list = join(root, 'list');
  writeFileSync(list, '# members\njoe\n"a b"@example.com\n');
  chmodSync(list, 0o644);
  const report = await site(`{ l = :include:${list} }`).deliver('l');
  assert.deepEqual(
    report.forwards?.[0]?.recipients.map(({ address }) => address),
    ['joe@mail.example.org', 'a b@example.com'],
  );
  chmodSync(list, 0o666);
  assert.equal(
    (await site(`{ l = :include:${list} }`).deliver('l')).outcomes[0]?.dsn.status,
    '4.3.5',
  );
});

const EXITS: readonly [string, string][] = [
  ['exit 0', 'sent 2.0.0 delivered to command: exit 0'],
  ['exit 67', 'bounced 5.1.1 user unknown'],
  ['exit 75', 'deferred 4.3.0 temporary failure'],
  ['echo no; exit 77', 'bounced 5.7.0 permission denied. Command output: no'],
  ['echo 4.2.1 later; exit 1', 'deferred 4.2.1 later'],
  ['exit 3', 'bounced 5.3.0 Command died with status 3: "exit 3"'],
  ['kill -9 $$', 'deferred 4.3.0 Command died with signal SIGKILL: "kill -9 $$"'],
];
for (const [command, wanted] of EXITS) {
  test(`mailbox_command "${command}"`, async () => {
    const { deliver } = site('', { mailbox_command: command });
    assert.equal(verdict(await deliver('joe')), wanted);
  });
}

test('a command runs as its user, gets the message, and a filtered, small environment', async () => {
  const { home, deliver } = site(
    '',
    {},
    '"|/bin/cat > HOME/got; id -u > HOME/id; env > HOME/env"\n',
  );
  const changes = { sender: 'a`id`$(x)@example.org' };
  assert.match(verdict(await deliver('joe', BODY, changes)), /^sent 2\.0\.0 delivered to command/);
  assert.equal(readFileSync(`${home}/id`, 'utf8').trim(), String(UID));
  assert.match(
    readFileSync(`${home}/got`, 'utf8'),
    /^From .*\nReturn-Path: <.*>\nX-Original-To: .*\nDelivered-To: .*\nSubject: x\n\nFrom me\n$/,
  );
  const environment = readFileSync(`${home}/env`, 'utf8');
  assert.match(environment, /^SENDER=_a_id___x__@example\.org$|^SENDER=a_id___x_@example\.org$/m);
  assert.match(environment, /^LANG=C$/m);
  assert.doesNotMatch(environment, /SECRET/);
});

test('a command that runs too long is ended with its children', async () => {
  const { deliver } = site('', {
    mailbox_command: 'sleep 60 & sleep 60',
    command_time_limit: '1s',
  });
  assert.match(verdict(await deliver('joe')), /^deferred 4\.3\.0 Command time limit exceeded/);
});

test('nothing runs as root', { skip: !IS_ROOT }, async () => {
  const { home, deliver } = site('', { mailbox_command: '/usr/bin/id -u > HOME/id' });
  assert.match(verdict(await deliver('root')), /^sent/);
  assert.equal(readFileSync(`${home}/id`, 'utf8').trim(), '65534');
});

const PASSED: readonly [
  what: string,
  values: Record<string, string>,
  user: string,
  expected: string,
][] = [
  ['mailbox_transport', { mailbox_transport: 'lmtp:unix:/run/lmtp' }, 'joe', 'lmtp unix:/run/lmtp'],
  [
    'mailbox_transport of an address with an extension',
    { mailbox_transport: 'lmtp:' },
    'joe+x',
    'lmtp mail.example.org',
  ],
  [
    'mailbox_transport of a user without an account',
    { mailbox_transport: 'lmtp:x' },
    'nope',
    'lmtp x',
  ],
  [
    'mailbox_transport_maps before mailbox_transport',
    { mailbox_transport: 'lmtp:x', mailbox_transport_maps: 'inline:{joe=cyrus:y}' },
    'joe',
    'cyrus y',
  ],
  ['fallback_transport of an account', { fallback_transport: 'lmtp:x' }, 'joe', ''],
  ['fallback_transport', { fallback_transport: 'lmtp:x', luser_relay: 'a@b' }, 'nope', 'lmtp x'],
  ['fallback_transport_maps', { fallback_transport_maps: 'inline:{nope=old:z}' }, 'nope', 'old z'],
  ['a transport that is this one', { mailbox_transport: 'local' }, 'joe', 'deferred 4.3.5'],
];
for (const [what, values, user, expected] of PASSED) {
  test(`${what}: ${expected || 'not passed'}`, async () => {
    const { home, deliver } = site('', values);
    const report = await deliver(user);
    const passed = report.passed?.map(({ transport, nexthop }) => `${transport} ${nexthop}`);
    if (expected.startsWith('deferred')) {
      assert.ok(verdict(report).startsWith(expected), verdict(report));
    } else assert.deepEqual(passed, expected === '' ? undefined : [expected]);
    assert.equal(report.outcomes.length, passed ? 0 : 1);
    assert.equal(mails(home).length, expected === '' ? 1 : 0);
  });
}

test('mailbox_transport behind an alias: the user is submitted again, the own mailbox is passed', async () => {
  const values = { mailbox_transport: 'lmtp:x' };
  const other = await site('{ team = joe, far@example.com }', values).deliver('team');
  assert.equal(other.passed, undefined);
  assert.deepEqual(
    other.forwards?.flatMap(({ recipients }) => recipients.map(({ address }) => address)),
    ['joe@mail.example.org', 'far@example.com'],
  );
  const own = await site('{ joe = joe, far@example.com }', values).deliver('joe');
  assert.deepEqual(own.passed, [{ index: 0, transport: 'lmtp', nexthop: 'x' }]);
  assert.deepEqual(
    own.forwards?.flatMap(({ recipients }) => recipients.map(({ address }) => address)),
    ['far@example.com'],
  );
  assert.deepEqual(own.outcomes, []);
});

test('a target of an alias that is undeliverable bounces for itself, not for the alias', async () => {
  const values = { transport_maps: 'inline:{{dead.example = error:5.1.2 gone}}' };
  const report = await site('{ team = x@dead.example }', values).deliver('team');
  assert.equal(report.outcomes[0]?.kind, 'sent');
  assert.equal(report.forwards?.[0]?.recipients[0]?.address, 'x@dead.example');
});
