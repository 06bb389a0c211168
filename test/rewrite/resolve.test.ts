import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parts } from './parts.ts';

type Case = readonly [
  what: string,
  recipient: string,
  route: string,
  main?: Record<string, string>,
];

/** `class transport:nexthop recipient [routed]`, or `status reason`. */
async function route(recipient: string, main: Record<string, string>, sender = 'me@here.example') {
  const found = await parts(main).resolver.resolve(sender, recipient);
  if (!found.ok) return `${found.error.status} ${found.error.reason}`;
  const { addressClass, transport, nexthop, recipient: to, routed } = found.value;
  return `${addressClass} ${transport}:${nexthop} ${to}${routed ? ' routed' : ''}`;
}

const LOCAL = 'local local:mail.example.org';
const CASES: readonly Case[] = [
  ['a local user', 'user@example.org', `${LOCAL} user@example.org`],
  ['a bare user', 'user', `${LOCAL} user@example.org`],
  ['any letter case', 'User@EXAMPLE.org', `${LOCAL} User@EXAMPLE.org`],
  ['a trailing dot', 'user@example.org.', `${LOCAL} user@example.org`],
  ['our own address literal', 'user@[192.0.2.1]', `${LOCAL} user@[192.0.2.1]`],
  ['our own IPv6 literal', 'user@[IPv6:2001:DB8::1]', `${LOCAL} user@[IPv6:2001:DB8::1]`],
  ["somebody else's literal", 'u@[192.0.2.9]', 'default smtp:[192.0.2.9] u@[192.0.2.9]'],
  ['a remote user', 'u@far.example', 'default smtp:far.example u@far.example'],
  ['a relay user', 'u@relay.example', 'relay relay:relay.example u@relay.example'],
  [
    'a subdomain of a relay domain',
    'u@a.relay.example',
    'relay relay:a.relay.example u@a.relay.example',
  ],
  ['a virtual mailbox', 'u@boxes.example', 'virtual-mailbox virtual:boxes.example u@boxes.example'],
  ['a virtual alias domain', 'u@alias.example', '5.1.1 User unknown in virtual alias table'],
  ['percent to elsewhere', 'u%far.example@example.org', 'default smtp:far.example u@far.example'],
  [
    'a bang path to elsewhere',
    'far.example!u@example.org',
    'default smtp:far.example u@far.example',
  ],
  ['a quoted address', 'u@far.example@example.org', 'default smtp:far.example u@far.example'],
  ['a source route', '@example.org:u@far.example', 'default smtp:far.example u@far.example'],
  [
    'nested percents',
    'u%far.example%localhost@example.org',
    'default smtp:far.example u@far.example',
  ],
  [
    'percent at a relay domain',
    'u%far.example@relay.example',
    'relay relay:relay.example u%far.example@relay.example routed',
  ],
  [
    'a bang at a relay domain',
    'far!u@relay.example',
    'relay relay:relay.example far!u@relay.example routed',
  ],
  [
    'a quoted @ at a relay domain',
    'u@far@relay.example',
    'relay relay:relay.example u@far@relay.example routed',
  ],
  [
    'the null address',
    '',
    `${LOCAL} MAILER-DAEMON@mail.example.org`,
    { mydestination: 'mail.example.org' },
  ],
  ['our domain alone', '@example.org', `${LOCAL} MAILER-DAEMON@example.org`],
  ['a numeric domain', 'u@192.0.2.9', '5.1.3 bad address syntax'],
  [
    'a numeric domain that is allowed',
    'u@192.0.2.9',
    'default smtp:[192.0.2.9] u@[192.0.2.9]',
    { resolve_numeric_domain: 'yes' },
  ],
  ['a domain with blanks', 'u@a b.example', '5.1.3 bad address syntax'],
  ['a broken literal', 'u@[mail.example]', '5.1.3 bad address syntax'],
  ['no local part', '@far.example', 'default smtp:far.example @far.example'],
  ['empty labels', 'u@a..example', '5.1.3 bad address syntax'],
  [
    'relayhost',
    'u@far.example',
    'default smtp:[hub]:587 u@far.example',
    { relayhost: '[hub]:587' },
  ],
  [
    'relayhost for relay domains',
    'u@relay.example',
    'relay relay:[hub] u@relay.example',
    { relayhost: '[hub]' },
  ],
  [
    'a next hop in default_transport',
    'u@far.example',
    'default smtp:[x] u@far.example',
    { relayhost: '[hub]', default_transport: 'smtp:[x]' },
  ],
  [
    'local before virtual',
    'u@example.org',
    `${LOCAL} u@example.org`,
    { virtual_alias_domains: 'example.org' },
  ],
  [
    'a transport for an address',
    'u@far.example',
    'default slow:[x]:26 u@far.example',
    { transport_maps: 'inline:{u@far.example=slow:[x]:26}' },
  ],
  [
    'a transport without the extension',
    'u+e@far.example',
    'default slow:far.example u+e@far.example',
    { transport_maps: 'inline:{u@far.example=slow:}', recipient_delimiter: '+' },
  ],
  [
    'a transport for a domain',
    'u@far.example',
    'default smtp:[x] u@far.example',
    { transport_maps: 'inline:{far.example=:[x]}' },
  ],
  [
    'no transport for a subdomain by its parent',
    'u@a.far.example',
    'default smtp:a.far.example u@a.far.example',
    { transport_maps: 'inline:{far.example=:[x]}' },
  ],
  [
    'a transport for subdomains',
    'u@a.b.far.example',
    'default smtp:[x] u@a.b.far.example',
    { transport_maps: 'inline:{.far.example=:[x]}' },
  ],
  [
    'a transport for everything',
    'u@far.example',
    'default uucp:hub u@far.example',
    { transport_maps: 'inline:{*=uucp:hub}' },
  ],
  [
    'an empty entry',
    'u@far.example',
    'default smtp:[hub] u@far.example',
    { transport_maps: 'inline:{far.example=:, *=x:y}', relayhost: '[hub]' },
  ],
  [
    'a transport that drops relayhost',
    'u@far.example',
    'default smtp:far.example u@far.example',
    { transport_maps: 'inline:{far.example=smtp:}', relayhost: '[hub]' },
  ],
  [
    'error:',
    'u@far.example',
    '5.0.0 go away',
    { transport_maps: 'inline:{{far.example=error:go away}}' },
  ],
  [
    'error: with a status',
    'u@far.example',
    '5.7.1 go away',
    { transport_maps: 'inline:{{far.example=error:5.7.1 go away}}' },
  ],
  [
    'retry:',
    'u@far.example',
    '4.0.0 later',
    { transport_maps: 'inline:{far.example=retry:later}' },
  ],
  [
    'error: without text',
    'u@far.example',
    '5.0.0 Address is undeliverable',
    { transport_maps: 'inline:{far.example=error:}' },
  ],
  [
    'relocated users',
    'u@example.org',
    '5.1.6 User has moved to u@new.example',
    { relocated_maps: 'inline:{u=u@new.example}' },
  ],
  [
    'a table that is down',
    'u@far.example',
    '4.3.0 address resolver failure',
    { transport_maps: 'fail:x' },
  ],
  [
    'a domain list that is down',
    'u@far.example',
    '4.3.0 address resolver failure',
    { relay_domains: 'fail:x' },
  ],
];

for (const [what, recipient, expected, main = {}] of CASES) {
  test(`resolve() routes ${what}`, async () =>
    assert.equal(await route(recipient, main), expected));
}

test('resolve() routes by sender', async () => {
  const main = {
    relayhost: '[hub]',
    sender_dependent_relayhost_maps:
      'inline:{a@here.example=[one], @here.example=[two], d@here.example=DUNNO, <>=[null]}',
    sender_dependent_default_transport_maps: 'inline:{t@here.example=slow:}',
  };
  const nexthop = async (sender: string) =>
    (await route('u@far.example', main, sender)).split(' ')[1];
  assert.equal(await nexthop('a@here.example'), 'smtp:[one]');
  assert.equal(await nexthop('b@here.example'), 'smtp:[two]');
  assert.equal(await nexthop('d@here.example'), 'smtp:[hub]');
  assert.equal(await nexthop('t@here.example'), 'slow:[two]');
  assert.equal(await nexthop(''), 'smtp:[null]');
  assert.equal(await nexthop('x@other.example'), 'smtp:[hub]');
});

test('classify() judges an address by where it leads', async () => {
  const { resolver } = parts();
  const judge = async (address: string) => {
    const found = await resolver.classify(address);
    return found.kind === 'resolved'
      ? `${found.addressClass}${found.isRouted ? ' routed' : ''}`
      : found.kind;
  };
  const tricks = [
    'u%far.example@example.org',
    '@example.org:u@far.example',
    'u@far.example@[192.0.2.1]',
  ];
  for (const trick of tricks) assert.equal(await judge(trick), 'default');
  assert.equal(await judge('u@far.example@relay.example'), 'relay routed');
  assert.equal(await judge('u@192.0.2.9'), 'invalid');
  assert.equal(await judge(`u${'%localhost'.repeat(200)}@localhost`), 'local');
  assert.equal(await judge(`u${'%localhost'.repeat(2000)}@localhost`), 'invalid');
});
