import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadPolicies, mayReach, parsePolicies } from '../../src/policy/sending-policy.ts';

const parse = (text: string) => parsePolicies(text, '/p.cf');
const policy = (rules: string) => {
  const parsed = parse(`x: ${rules}\n`);
  if (!parsed.ok) throw new Error(parsed.error[0]?.text);
  return parsed.value.get('x')!;
};

test('a file of policies, with comments and continued lines', () => {
  const parsed = parse(
    '# p\nstaff: offsite=permit\n  senders=own recipients=100\n\nintern:\ndevice: auth=none senders=A@x.org,@y.org\n',
  );
  assert.ok(parsed.ok);
  assert.deepEqual([...parsed.value.keys()], ['staff', 'intern', 'device']);
  const staff = parsed.value.get('staff')!;
  assert.deepEqual(
    [staff.offsite, staff.senders.kind, staff.recipients, staff.place],
    ['permit', 'own', 100, '/p.cf:2'],
  );
  assert.equal(parsed.value.get('intern')!.offsite, 'deny');
  const device = parsed.value.get('device')!;
  assert.equal(device.withoutLogin, true);
  assert.deepEqual(device.senders, { kind: 'list', patterns: ['a@x.org', '@y.org'] });
});

test('every fault has a place and a remedy, and one fault gives no policies', () => {
  const parsed = parse(
    [
      'nonsense',
      'a: offsite=maybe',
      'b: offsite',
      'c: frob=1',
      'd: offsite_rate=200/day',
      'e: recipients=0',
      'f: senders=bob',
      'g: destinations=a@',
      'h: auth=plain',
      'i: offsite=deny offsite=deny',
      'good: offsite=deny',
      'good: offsite=permit',
      'j: hours=Mon-Fri/07:00-19:00',
      'k: size=25M',
      'l: transport=smtp:[x]',
      'm: destinations=a,,b',
    ].join('\n'),
  );
  assert.ok(!parsed.ok);
  assert.deepEqual(
    parsed.error.map(({ place, text }) => `${place} ${text}`),
    [
      '/p.cf:1 not a policy; write "name: key=value ..."',
      '/p.cf:2 policy a: offsite=maybe: use permit or deny',
      '/p.cf:3 policy b: "offsite" is not key=value without blanks',
      '/p.cf:4 policy c: frob= is unknown; use offsite, destinations, senders, recipients, auth',
      '/p.cf:5 policy d: offsite_rate= is not implemented in this version; remove it',
      '/p.cf:6 policy e: recipients=0: use a number from 1 to 1000000',
      '/p.cf:7 policy f: senders=bob: use own, any, user@domain or @domain',
      '/p.cf:8 policy g: destinations=a@: use domain, .subdomains, user@domain, or these after "!"',
      '/p.cf:9 policy h: auth=plain: only none is possible',
      '/p.cf:10 policy i: offsite= is given twice; join the two',
      '/p.cf:12 policy good is defined twice, first in /p.cf:11; remove one',
      '/p.cf:13 policy j: hours= is not implemented in this version; remove it',
      '/p.cf:14 policy k: size= is not implemented in this version; remove it',
      '/p.cf:15 policy l: transport= is not implemented in this version; remove it',
      '/p.cf:16 policy m: destinations=: use domain, .subdomains, user@domain, or these after "!"',
    ],
  );
});

test('destinations= narrows permit and widens deny; exceptions win', () => {
  const addresses = [
    'a@partner.example',
    'a@x.partner.example',
    'a@sub.example.net',
    'a@example.net',
    'Boss@Customer.example',
    'b@customer.example',
    'a@rival.example.net',
  ];
  const cases: readonly (readonly [rules: string, reached: string])[] = [
    ['offsite=permit', '1111111'],
    ['offsite=deny', '0000000'],
    ['offsite=permit destinations=partner.example,.example.net,!rival.example.net', '1010000'],
    ['offsite=permit destinations=!rival.example.net', '1111110'],
    ['offsite=deny destinations=boss@customer.example', '0000100'],
    ['offsite=deny destinations=Customer.Example,!b@customer.example', '0000100'],
    ['offsite=deny destinations=!customer.example', '0000000'],
  ];
  for (const [rules, reached] of cases) {
    const made = policy(rules);
    assert.equal(
      addresses.map((address) => Number(mayReach(made, address))).join(''),
      reached,
      rules,
    );
  }
});

test('a missing file and a table are faults; no name means no policies', () => {
  const text = (name: string) => {
    const loaded = loadPolicies(name);
    return loaded.ok ? loaded.value.size : loaded.error[0]?.text;
  };
  assert.equal(text(''), 0);
  assert.match(String(text('/nowhere/p')), /sending_policies: cannot read the file: ENOENT/);
  assert.match(String(text('ldap:/x')), /not implemented in this version; name a file/);
});
