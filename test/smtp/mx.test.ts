/** What a stranger's DNS may name: ourselves, nothing, an alias. No connection goes out. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { orderHosts } from '../../src/dns/mx.ts';
import { openResolver } from '../../src/dns/resolver.ts';
import { deliver } from '../../src/smtp/deliver.ts';
import { isThisHost } from '../../src/smtp/this-host.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { startSink } from '../support/smtp-sink.ts';
import { makeParts, request, settings, told } from './parts.ts';

const mx = (name: string, preference: number, exchange: string) => ({
  name,
  type: 'MX' as const,
  ttl: 60,
  data: { preference, exchange },
});
const a = (name: string, data: string) => ({ name, type: 'A' as const, ttl: 60, data });
const aaaa = (name: string, data: string) => ({ name, type: 'AAAA' as const, ttl: 60, data });

const zone = await startDnsServer({
  'MX loopback.test': [mx('loopback.test', 10, 'lo.test')],
  'A lo.test': [a('lo.test', '127.0.0.1')],
  'MX other-loopback.test': [mx('other-loopback.test', 10, 'lo2.test')],
  'A lo2.test': [a('lo2.test', '127.9.9.9')],
  'MX unspecified.test': [mx('unspecified.test', 10, 'zero.test')],
  'A zero.test': [a('zero.test', '0.0.0.0')],
  'MX unspecified6.test': [mx('unspecified6.test', 10, 'zero6.test')],
  'AAAA zero6.test': [aaaa('zero6.test', '::')],
  'MX mapped.test': [mx('mapped.test', 10, 'mapped-host.test')],
  'AAAA mapped-host.test': [aaaa('mapped-host.test', '::ffff:127.0.0.1')],
  'A bare-loopback.test': [a('bare-loopback.test', '127.0.0.1')],
  'MX own.test': [mx('own.test', 10, 'me.test')],
  'A me.test': [a('me.test', '192.0.2.7')],
  'MX backup.test': [mx('backup.test', 10, 'gone.test'), mx('backup.test', 20, 'me.test')],
  'MX null.test': [mx('null.test', 0, '.')],
  'MX alias.test': [mx('alias.test', 10, 'nick.test')],
  'A nick.test': [
    { name: 'nick.test', type: 'CNAME', ttl: 60, data: 'real.test' },
    a('real.test', '127.0.0.1'),
  ],
});
after(() => zone.close());
const resolver = openResolver({ servers: [{ address: '127.0.0.1', port: zone.port }] });
const parts = (set: Parameters<typeof settings>[0] = {}) =>
  makeParts({
    resolver,
    settings: settings({ families: [4, 6], ...set }),
    isOwnAddress: (address) => address === '192.0.2.7',
  });

const LOOP = (name: string): string => `bounced 5.4.6 mail for ${name} loops back to myself`;
const CASES: readonly [nexthop: string, outcome: string][] = [
  ['loopback.test', LOOP('loopback.test')],
  ['other-loopback.test', LOOP('other-loopback.test')],
  ['unspecified.test', LOOP('unspecified.test')],
  ['unspecified6.test', LOOP('unspecified6.test')],
  ['mapped.test', LOOP('mapped.test')],
  ['bare-loopback.test', LOOP('bare-loopback.test')],
  ['own.test', LOOP('own.test')],
  ['[192.0.2.7]', LOOP('192.0.2.7')],
  ['backup.test', 'deferred 4.4.4 unable to find primary relay for backup.test'],
  ['null.test', 'bounced 5.1.10 Domain null.test does not accept mail (nullMX)'],
];
for (const [nexthop, outcome] of CASES) {
  test(`${nexthop}: ${outcome}`, async () => {
    const report = await deliver(request(nexthop), parts());
    assert.equal(told(report)[0], outcome);
    assert.equal(report.outcomes[0]?.relay, 'none');
  });
}

test('a loop is not passed on to a fallback relay; that there is no host is', async () => {
  const sink = await startSink();
  after(() => sink.close());
  const fallbackRelay = `[127.0.0.1]:${sink.port}`;
  const loop = await deliver(request('loopback.test'), parts({ fallbackRelay }));
  assert.equal(told(loop)[0], LOOP('loopback.test'));
  assert.equal(sink.connections(), 0);
  const nothing = await deliver(request('null.test'), parts({ fallbackRelay }));
  assert.match(told(nothing)[0] ?? '', /^sent/);
});

for (const what of ['relayhost', 'smtp_fallback_relay']) {
  test(`a ${what} that cannot be found is our fault: mail waits`, async () => {
    const set =
      what === 'relayhost' ? { relayhost: 'nowhere.test' } : { fallbackRelay: 'nowhere.test' };
    const nexthop = what === 'relayhost' ? 'nowhere.test' : 'null.test';
    const own = parts(set);
    const report = await deliver(request(nexthop), own);
    assert.match(told(report)[0] ?? '', /^deferred 4\.3\.5 Host or domain name not found/);
    assert.deepEqual(own.log, [`${what} configuration problem`]);
  });
}

test('an exchange that is an alias is reached, by the name that the MX record has', async () => {
  const sink = await startSink();
  after(() => sink.close());
  const report = await deliver(request(`alias.test:${sink.port}`), parts());
  assert.match(told(report)[0] ?? '', /^sent/);
  assert.equal(report.outcomes[0]?.relay, `nick.test[127.0.0.1]:${sink.port}`);
});

test('addresses that mean this host', () => {
  for (const here of [
    '127.0.0.1',
    '127.255.0.1',
    '0.0.0.0',
    '0.1.2.3',
    '::',
    '::1',
    '::ffff:127.0.0.1',
  ]) {
    assert.equal(isThisHost(here), true, here);
  }
  for (const there of [
    '128.0.0.1',
    '10.0.0.1',
    '192.0.2.1',
    '::2',
    'fe80::1',
    '::ffff:192.0.2.1',
  ]) {
    assert.equal(isThisHost(there), false, there);
  }
});

test('smtp_address_preference orders hosts of the same preference, and no others', () => {
  const host = (address: string, preference: number) => ({ host: 'x', address, preference });
  const hosts = [
    host('192.0.2.1', 10),
    host('2001:db8::1', 10),
    host('2001:db8::2', 5),
    host('192.0.2.2', 10),
  ];
  let turn = 0;
  const random = (): number => [0.1, 0.9, 0.5, 0.3][turn++ % 4] ?? 0;
  const order = (preferred?: 4 | 6): string[] => {
    turn = 0;
    return orderHosts(hosts, random, preferred).map(({ address }) => address);
  };
  assert.deepEqual(order(), ['2001:db8::2', '192.0.2.1', '192.0.2.2', '2001:db8::1']);
  assert.deepEqual(order(6), ['2001:db8::2', '2001:db8::1', '192.0.2.1', '192.0.2.2']);
  turn = 0;
  assert.deepEqual(order(4).slice(0, 2), ['2001:db8::2', '192.0.2.1']);
});
