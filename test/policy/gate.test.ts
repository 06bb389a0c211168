/** The matrix {user} x {destination class} x {rule}, over tables in memory. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { explain } from '../../src/cmd/explain.ts';
import type { Logger } from '../../src/log/maillog.ts';
import { ABSENT, type Lookup } from '../../src/lookup/table.ts';
import type { Reply } from '../../src/mail/reply.ts';
import type { Recipient, Session } from '../../src/mail/stages.ts';
import { openRecord } from '../../src/policy/decision-record.ts';
import { type GateDeps, openPolicyGate, type PolicyGate } from '../../src/policy/gate.ts';
import { testConfig } from '../support/config.ts';

const directory = mkdtempSync(join(tmpdir(), 'postern-policy-'));
after(() => rmSync(directory, { recursive: true }));
const POLICIES = `
any:     offsite=permit
staff:   offsite=permit senders=own recipients=2
intern:  offsite=deny
sales:   offsite=permit destinations=partner.example,!rival.example
device:  offsite=deny destinations=boss@customer.example senders=printer@example.org auth=none
`.trimStart();
writeFileSync(join(directory, 'policies.cf'), POLICIES);

const warnings: string[] = [];
const warn = (text: string): void => void warnings.push(text);
const logger: Logger = {
  info: warn,
  warning: warn,
  error: warn,
  fatal: warn,
  panic: warn,
  flush: () => undefined,
};

const table =
  (entries: Readonly<Record<string, string>>) =>
  (key: string): Lookup => {
    if (key.startsWith('broken')) return { kind: 'retry', reason: 'the table is down' };
    const value = entries[key.toLowerCase()];
    return value === undefined ? ABSENT : { kind: 'found', value };
  };
const USERS = {
  'intern@example.org': 'intern',
  'sales@example.org': 'sales',
  'lost@example.org': 'nowhere',
  short: 'intern',
  '%guests': 'intern',
  '@sub.example.org': 'sales',
  '192.0.2.9': 'device',
  '192.0.2.8': 'staff',
};
const CLASSES = new Map([
  ['example.org', 'local'],
  ['alias.example', 'virtual-alias'],
  ['box.example', 'virtual-mailbox'],
  ['relay.example', 'relay'],
] as const);

const record = openRecord(directory, 1_000_000, logger);
const config = testConfig(
  {
    data_directory: directory,
    sending_policies: join(directory, 'policies.cf'),
    sending_policy_default: 'any',
    sending_policy_maps: 'memory:x',
    myorigin: 'example.org',
    recipient_delimiter: '+',
  },
  directory,
);

function deps(users: Readonly<Record<string, string>> = USERS): GateDeps {
  const find = table(users);
  return {
    logger,
    record,
    nowMs: () => 0,
    policyMaps: { tables: [{ type: 'hash', name: '/p' }], isEmpty: false, find, findPartial: find },
    classify: async (address) => {
      const domain = address.slice(address.lastIndexOf('@') + 1);
      if (domain === 'down.example') return { kind: 'retry', reason: 'down' };
      const addressClass = [...CLASSES].find(([name]) => name === domain)?.[1] ?? 'default';
      return { kind: 'resolved', address, addressClass };
    },
    isLocal: (domain) => ({ kind: domain === 'example.org' ? 'yes' : 'no' }),
    senderLogins: table({ 'press@other.example': 'alice, intern@example.org' }),
    virtualAliases: table({
      'info@alias.example': 'team@example.org',
      'loop@alias.example': 'loop@alias.example',
    }),
    localAliases: table({ team: 'bob, alice', root: '"|cmd", :include:/x' }),
  };
}

function open(
  settings: Partial<Record<string, string>> = {},
  users = USERS as Record<string, string>,
): PolicyGate {
  const gate = openPolicyGate({ ...config, ...settings }, deps(users));
  if (!gate.ok || !gate.value) throw new Error(gate.ok ? 'no gate' : gate.error.join('\n'));
  return gate.value;
}

const session = (login?: string, address = '192.0.2.1'): Session => ({
  peer: {
    address,
    port: 1,
    name: 'client.example',
    reverseName: 'client.example',
    localAddress: '',
    localPort: 25,
  },
  helo: 'x',
  protocol: 'ESMTP',
  ...(login === undefined ? {} : { login: { username: login, method: 'PLAIN' } }),
});
const recipients = (count: number): Recipient[] =>
  Array.from({ length: count }, (_, i) => ({
    address: `${i}@x`,
    original: '',
    orcpt: '',
    notify: [],
  }));

/** `pass POLICY`, `pass` without a policy, or the reply with its id left out. */
async function ask(
  gate: PolicyGate,
  who: Session,
  recipient: string,
  { sender = '', count = 0, groups = [] as string[] } = {},
): Promise<string> {
  const answer = await gate.checkRecipient(
    who,
    groups,
    { sender, recipients: recipients(count) },
    recipient,
  );
  if (answer.refusal) return show(answer.refusal);
  return answer.verdict ? `pass ${answer.verdict.policy}` : 'pass';
}
const show = ({ code, status, lines }: Reply): string =>
  `${code} ${status} ${lines[0]}`.replace(/\[[\da-f]{8}-[\da-z]+\]$/, '[id]');

const INSIDE = ['a@example.org', 'a@alias.example', 'a@box.example', 'a@relay.example'];
const no = (user: string, to: string, policy: string, rule: string): string =>
  `554 5.7.1 <${to}>: Recipient address rejected: user ${user} may not send ${rule === 'offsite=deny' ? 'off-site' : 'to this destination'} (policy ${policy}, rule ${rule}) [id]`;

test('every policy lets mail to every class of our own pass', async () => {
  for (const user of ['staff', 'intern', 'sales']) {
    for (const to of INSIDE)
      assert.match(await ask(open(), session(`${user}@example.org`), to), /^pass/);
  }
});

const MATRIX: readonly (readonly [user: string, to: string, expected: string])[] = [
  [
    'intern@example.org',
    'a@far.example',
    no('intern@example.org', 'a@far.example', 'intern', 'offsite=deny'),
  ],
  [
    'INTERN@example.org',
    'a@far.example',
    no('INTERN@example.org', 'a@far.example', 'intern', 'offsite=deny'),
  ],
  ['intern', 'a@far.example', no('intern@example.org', 'a@far.example', 'intern', 'offsite=deny')],
  ['short', 'a@far.example', no('short@example.org', 'a@far.example', 'intern', 'offsite=deny')],
  ['short@elsewhere.example', 'a@far.example', 'pass any'],
  ['sales@example.org', 'a@partner.example', 'pass sales'],
  [
    'sales@example.org',
    'a@far.example',
    no('sales@example.org', 'a@far.example', 'sales', 'destinations'),
  ],
  [
    'sales@example.org',
    'a@rival.example',
    no('sales@example.org', 'a@rival.example', 'sales', 'destinations=!rival.example'),
  ],
  ['x@sub.example.org', 'a@partner.example', 'pass sales'],
  ['nobody@example.org', 'a@far.example', 'pass any'],
  [
    'lost@example.org',
    'a@example.org',
    '451 4.3.5 <a@example.org>: Recipient address rejected: Server configuration error [id]',
  ],
  [
    'broken@example.org',
    'a@example.org',
    '451 4.3.0 <a@example.org>: Recipient address rejected: Temporary lookup failure [id]',
  ],
  [
    'nobody@example.org',
    'a@down.example',
    '451 4.3.0 <a@down.example>: Recipient address rejected: Temporary lookup failure [id]',
  ],
];
for (const [user, to, expected] of MATRIX) {
  test(`${user} to ${to}: ${expected}`, async () => {
    assert.equal(await ask(open(), session(user), to), expected);
  });
}

test('a group of the login names the policy', async () => {
  const got = await ask(open(), session('guest@example.org'), 'a@far.example', {
    groups: ['x', 'guests'],
  });
  assert.equal(got, no('guest@example.org', 'a@far.example', 'intern', 'offsite=deny'));
});

test('without a default, users that no table names may not send off-site', async () => {
  const gate = open({ sending_policy_default: '' });
  assert.match(
    await ask(gate, session('nobody@example.org'), 'a@far.example'),
    /^554 5\.7\.1 .*no sending policy for this user/,
  );
  assert.equal(await ask(gate, session('nobody@example.org'), 'a@example.org'), 'pass ');
});

test('no parameter set: no gate at all', () => {
  const gate = openPolicyGate(testConfig({}), deps());
  assert.equal(gate.ok && gate.value, undefined);
});

test('no login: only a policy with auth=none, found by the address, applies', async () => {
  const from = { sender: 'printer@example.org' };
  assert.equal(await ask(open(), session(undefined, '192.0.2.1'), 'a@far.example'), 'pass');
  assert.equal(await ask(open(), session(undefined, '192.0.2.8'), 'a@far.example'), 'pass');
  const device = session(undefined, '192.0.2.9');
  assert.equal(await ask(open(), device, 'boss@customer.example', from), 'pass device');
  assert.equal(
    await ask(open(), device, 'a@far.example', from),
    no('[192.0.2.9]', 'a@far.example', 'device', 'offsite=deny'),
  );
  assert.match(
    await ask(open(), device, 'a@example.org', { sender: 'ceo@example.org' }),
    /^553 5\.7\.1 <ceo@example\.org>: Sender address rejected: not owned by user \[192\.0\.2\.9\] \(policy device, rule senders\)/,
  );
});

test('recipients=: the third of two is refused', async () => {
  const gate = open({}, { 'alice@example.org': 'staff' });
  assert.equal(await ask(gate, session('alice'), 'a@x.example', { count: 1 }), 'pass staff');
  assert.match(
    await ask(gate, session('alice'), 'a@x.example', { count: 2 }),
    /^554 5\.5\.3 .*\(policy staff, rule recipients=2\)/,
  );
});

const OWN: readonly (readonly [sender: string, isOwn: boolean | 'retry'])[] = [
  ['', true],
  ['alice@example.org', true],
  ['Alice@Example.ORG', true],
  ['alice', true],
  ['alice+news@example.org', true],
  ['team@example.org', true],
  ['info@alias.example', true],
  ['press@other.example', true],
  ['bob@example.org', false],
  ['alice@other.example', false],
  ['loop@alias.example', false],
  ['root@example.org', false],
  ['broken@alias.example', 'retry'],
];
for (const [sender, isOwn] of OWN) {
  test(`senders=own: alice as <${sender}>: ${isOwn}`, async () => {
    const gate = open({}, { 'alice@example.org': 'staff' });
    const got = await ask(gate, session('alice@example.org'), 'a@example.org', { sender });
    const expected =
      isOwn === 'retry'
        ? /^451 4\.3\.0/
        : isOwn
          ? /^pass staff$/
          : /^553 5\.7\.1 .*not owned by user alice@example\.org \(policy staff, rule senders=own\)/;
    assert.match(got, expected);
  });
}

test('header From: own addresses pass, one foreign address or an unreadable header does not', async () => {
  const gate = open({}, { 'alice@example.org': 'staff', 'carl@example.org': 'any' });
  const verdict = { login: 'alice@example.org', policy: 'staff', credential: '', id: 'x' };
  const header = async (user: string, from: readonly string[] | undefined) => {
    const refusal = await gate.checkHeader(session(user), [], verdict, from);
    return refusal ? show(refusal) : 'pass';
  };
  assert.equal(await header('alice@example.org', ['alice@example.org']), 'pass');
  assert.equal(await header('carl@example.org', ['ceo@example.org']), 'pass');
  assert.equal(
    await header('alice@example.org', ['alice@example.org', 'ceo@example.org']),
    '554 5.7.1 <ceo@example.org>: From address rejected: not owned by user alice@example.org (policy staff, rule senders=own) [id]',
  );
  assert.match(await header('alice@example.org', undefined), /^554 5\.7\.1 .*cannot be read/);
});

test('postern explain replays a decision by the id in its reply', async () => {
  const answer = await open().checkRecipient(
    session('intern'),
    [],
    { sender: 'a@b', recipients: [] },
    'x@far.example',
  );
  const id = /\[([^\]]+)\]$/.exec(answer.refusal?.lines[0] ?? '')?.[1] ?? '';
  await record.flush();
  let out = '';
  const io = {
    stdin: Readable.from([]),
    stdout: (text: string) => void (out += text),
    stderr: (text: string) => void (out += text),
    configDirectory: directory,
  };
  assert.equal(await explain([id], io, config), 0);
  assert.match(out, /user {5}intern@example\.org\n/);
  assert.match(out, /policy {3}intern \(.*policies\.cf:3\)\noutcome {2}refused\n/);
  assert.match(out, /1\. hash:\/p intern@example\.org: intern\n/);
  assert.match(out, /offsite=deny refuses x@far\.example\n/);
  assert.equal(await explain(['0-0'], io, config), 1);
  assert.equal(await explain(['../x'], io, config), 64);
});

test('the record of decisions is bounded', async () => {
  const small = mkdtempSync(join(directory, 'small-'));
  const ring = openRecord(small, 2000, logger);
  for (let round = 0; round < 20; round += 1) {
    for (let i = 0; i < 5; i += 1) {
      ring.add({
        id: ring.newId(),
        timeMs: 0,
        client: '',
        user: '',
        sender: '',
        about: '',
        policy: '',
        place: '',
        outcome: 'pass',
        steps: ['x'.repeat(50)],
      });
    }
    await ring.flush();
  }
  const { readdirSync, statSync } = await import('node:fs');
  const names = readdirSync(small);
  assert.ok(names.length <= 2);
  for (const name of names) assert.ok(statSync(join(small, name)).size < 4000);
});
