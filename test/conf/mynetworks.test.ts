import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeConfig } from '../../src/conf/config.ts';
import type { Host } from '../../src/conf/defaults.ts';
import { defaultNetworks } from '../../src/conf/mynetworks.ts';

const ADDRESSES = [
  { address: '127.0.0.1', bits: 8 },
  { address: '::1', bits: 128 },
  { address: '192.0.2.77', bits: 26 },
  { address: '192.0.2.78', bits: 26 },
  { address: '10.1.2.3', bits: 20 },
  { address: '172.16.5.6', bits: 30 },
  { address: '191.1.2.3', bits: 32 },
  { address: '2001:db8:0:12::7', bits: 60 },
  { address: 'fe80::fc:ff:fe00:1', bits: 64 },
];

const CASES: readonly [style: string, interfaces: string, protocols: string, networks: string][] = [
  [
    'host',
    'all',
    'all',
    '127.0.0.1/32 192.0.2.77/32 192.0.2.78/32 10.1.2.3/32 172.16.5.6/32 191.1.2.3/32 ' +
      '[::1]/128 [2001:db8:0:12::7]/128 [fe80::fc:ff:fe00:1]/128',
  ],
  [
    'subnet',
    'all',
    'all',
    '127.0.0.0/8 192.0.2.64/26 10.1.0.0/20 172.16.5.4/30 191.1.2.3/32 ' +
      '[::1]/128 [2001:db8:0:10::]/60 [fe80::]/64',
  ],
  ['class', 'all', 'ipv4', '127.0.0.0/8 192.0.2.0/24 10.0.0.0/8 172.16.0.0/16 191.1.0.0/16'],
  ['subnet', 'loopback-only', 'all', '127.0.0.0/8 [::1]/128'],
  ['host', 'localhost', 'ipv6', '[::1]/128'],
  [
    'host',
    '[2001:DB8:0:12:0:0:0:7], 192.0.2.78',
    'ipv6, ipv4',
    '192.0.2.78/32 [2001:db8:0:12::7]/128',
  ],
  ['subnet', '198.51.100.1', 'all', ''],
];
for (const [mynetworks_style, inet_interfaces, inet_protocols, networks] of CASES) {
  test(`mynetworks of style ${mynetworks_style}, ${inet_interfaces}, ${inet_protocols}`, () => {
    const settings = { mynetworks_style, inet_interfaces, inet_protocols };
    assert.equal(defaultNetworks(settings, ADDRESSES), networks);
  });
}

const HOST: Host = { hostname: 'box', addresses: ADDRESSES };
const NAMES: readonly [
  settings: Record<string, string>,
  hostname: string,
  myhostname: string,
  mydomain: string,
][] = [
  [{}, 'box', 'box.localdomain', 'localdomain'],
  [{}, 'box.example.org', 'box.example.org', 'example.org'],
  [{ mydomain: 'd.example' }, 'box', 'box.d.example', 'd.example'],
  [{ my_own: 'd.example', mydomain: '$my_own' }, 'box', 'box.d.example', 'd.example'],
  [{ my_own: 'x.y.example', myhostname: 'm.$my_own' }, 'box', 'm.x.y.example', 'x.y.example'],
  [{ myhostname: 'bare' }, 'box.example.org', 'bare', 'localdomain'],
  [{ mydomain: '$myhostname' }, 'box', 'box.', 'box.'],
];
for (const [settings, hostname, myhostname, mydomain] of NAMES) {
  test(`names of host ${hostname} with ${JSON.stringify(settings)}`, () => {
    const made = makeConfig(new Map(Object.entries(settings)), '/etc/postern', {
      ...HOST,
      hostname,
    });
    assert.ok(made.ok);
    assert.equal(made.value.myhostname, myhostname);
    assert.equal(made.value.mydomain, mydomain);
  });
}

test('mynetworks that is set ignores mynetworks_style', () => {
  const made = makeConfig(
    new Map([
      ['mynetworks', '10.0.0.0/8'],
      ['mynetworks_style', 'subnet'],
    ]),
    '/etc/postern',
    HOST,
  );
  assert.ok(made.ok && made.value.mynetworks === '10.0.0.0/8');
});
