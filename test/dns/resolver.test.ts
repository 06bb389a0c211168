import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { parseNameServer, parseResolvConf } from '../../src/dns/exchange.ts';
import { openHostsFile, parseHosts } from '../../src/dns/hosts.ts';
import { findMailHosts, type MxQuery } from '../../src/dns/mx.ts';
import { openResolver, reverseName } from '../../src/dns/resolver.ts';
import { startDnsServer, type Zone } from '../support/dns-server.ts';

const a = (name: string, data: string, ttl = 300) => ({ name, type: 'A', ttl, data });
const mx = (name: string, preference: number, exchange: string) => ({
  name,
  type: 'MX',
  ttl: 300,
  data: { preference, exchange },
});

const ZONE: Zone = {
  'MX one.test': [mx('one.test', 20, 'b.test'), mx('one.test', 10, 'A.test')],
  'A a.test': [a('a.test', '192.0.2.1')],
  'A b.test': [a('b.test', '192.0.2.2'), a('b.test', '192.0.2.3')],
  'MX null.test': [mx('null.test', 0, '.')],
  'A bare.test': [a('bare.test', '192.0.2.9')],
  'MX fail.test': 'SERVFAIL',
  'MX dead.test': [mx('dead.test', 10, 'gone.test')],
  'A big.test': 'TRUNCATE',
  'tcp A big.test': [a('big.test', '192.0.2.77')],
  'A alias.test': [{ name: 'alias.test', type: 'CNAME', ttl: 60, data: 'bare.test' }],
  'A loop.test': [{ name: 'loop.test', type: 'CNAME', ttl: 60, data: 'loop.test' }],
  'PTR 5.2.0.192.in-addr.arpa': [
    { name: '5.2.0.192.in-addr.arpa', type: 'PTR', ttl: 60, data: 'client.test' },
  ],
  'A client.test': [a('client.test', '192.0.2.5')],
  'PTR 6.2.0.192.in-addr.arpa': [
    { name: '6.2.0.192.in-addr.arpa', type: 'PTR', ttl: 60, data: 'client.test' },
  ],
  'PTR 7.2.0.192.in-addr.arpa': 'SERVFAIL',
};

const server = await startDnsServer(ZONE, true);
after(() => server.close());
const servers = [{ address: '127.0.0.1', port: server.port }];
const resolver = openResolver({ servers, timeoutMs: 500, attempts: 1 });

const query = (name: string, more: Partial<MxQuery> = {}): MxQuery => ({
  name,
  isHost: false,
  families: [4],
  addressLimit: 5,
  native: false,
  useDns: true,
  random: () => 0.5,
  ...more,
});

test('MX hosts come by preference, with every address', async () => {
  const hosts = await findMailHosts(resolver, query('one.test'));
  assert.deepEqual(hosts.ok && hosts.value.map(({ host, address }) => `${host} ${address}`), [
    'a.test 192.0.2.1',
    'b.test 192.0.2.2',
    'b.test 192.0.2.3',
  ]);
  const limited = await findMailHosts(resolver, query('one.test', { addressLimit: 2 }));
  assert.equal(limited.ok && limited.value.length, 2);
});

const FAULTS: readonly [name: string, more: Partial<MxQuery>, status: string, reason: RegExp][] = [
  ['null.test', {}, '5.1.10', /does not accept mail \(nullMX\)/],
  [
    'fail.test',
    {},
    '4.4.3',
    /^Host or domain name not found\. Name service error for name=fail\.test type=MX: Host not found, try again$/,
  ],
  ['nowhere.test', {}, '5.4.4', /name=nowhere\.test type=A: Host not found$/],
  ['nowhere.test', { families: [4, 6] }, '5.4.4', /type=AAAA: Host not found$/],
  ['dead.test', {}, '5.4.4', /name=gone\.test type=A: Host not found$/],
  [
    'one.test',
    { isOwnAddress: (x) => x === '192.0.2.1' },
    '5.4.6',
    /^mail for one\.test loops back to myself$/,
  ],
  ['bare.test', { isOwnAddress: () => true }, '5.4.6', /loops back to myself/],
];
for (const [name, more, status, reason] of FAULTS) {
  test(`${name} ${JSON.stringify(more)} is ${status}`, async () => {
    const hosts = await findMailHosts(resolver, query(name, more));
    assert.ok(!hosts.ok);
    assert.equal(hosts.error.status, status);
    assert.match(hosts.error.reason, reason);
  });
}

test('hosts not better than this one are cut', async () => {
  const hosts = await findMailHosts(
    resolver,
    query('one.test', { isOwnAddress: (x) => x === '192.0.2.3' }),
  );
  assert.deepEqual(hosts.ok && hosts.value.map(({ host }) => host), ['a.test']);
});

test('a domain without MX is its own exchange', async () => {
  const hosts = await findMailHosts(resolver, query('bare.test'));
  assert.deepEqual(hosts.ok && hosts.value.map(({ address }) => address), ['192.0.2.9']);
});

test('a truncated answer is asked again over TCP', async () => {
  const answer = await resolver.resolve('big.test', 'A');
  assert.equal(answer.kind === 'found' && answer.records[0]?.value, '192.0.2.77');
  assert.ok(server.queries.includes('tcp A big.test'));
});

test('an alias is followed, a loop of aliases is no data', async () => {
  const answer = await resolver.resolve('alias.test', 'A');
  assert.equal(answer.kind === 'found' && answer.records[0]?.value, '192.0.2.9');
  assert.deepEqual(await resolver.resolve('loop.test', 'A'), { kind: 'absent', why: 'no-data' });
});

test('answers are cached, absent ones too, and the AD bit is kept', async () => {
  await resolver.resolve('a.test', 'A');
  await resolver.resolve('never.test', 'A');
  const before = server.queries.length;
  const answer = await resolver.resolve('A.TEST.', 'A');
  assert.equal(answer.kind === 'found' && answer.authenticated, true);
  assert.deepEqual(await resolver.resolve('never.test', 'A'), { kind: 'absent', why: 'no-name' });
  assert.equal(server.queries.length, before);
});

test('a client name counts when it leads back to the address', async () => {
  const names = await Promise.all(
    ['192.0.2.5', '192.0.2.6', '192.0.2.7', '192.0.2.8'].map((x) => resolver.clientName(x)),
  );
  assert.deepEqual(names, [
    { name: 'client.test', reverseName: 'client.test', retry: false },
    { name: 'unknown', reverseName: 'client.test', retry: false },
    { name: 'unknown', reverseName: 'unknown', retry: true },
    { name: 'unknown', reverseName: 'unknown', retry: false },
  ]);
});

test('no answer is "retry", and the next server is asked', async () => {
  const silent = await startDnsServer({ 'A a.test': 'SILENT' });
  after(() => silent.close());
  const quiet = { address: '127.0.0.1', port: silent.port };
  const alone = openResolver({ servers: [quiet], timeoutMs: 50, attempts: 1 });
  assert.equal((await alone.resolve('a.test', 'A')).kind, 'retry');
  const both = openResolver({ servers: [quiet, ...servers], timeoutMs: 50, attempts: 1 });
  assert.equal((await both.resolve('a.test', 'A')).kind, 'found');
});

test('localhost never reaches a name server', async () => {
  const hosts = openHostsFile('/nonexistent/hosts');
  const own = openResolver({ servers: [], hosts });
  const answer = await own.addresses('localhost', [4]);
  assert.equal(answer.kind === 'found' && answer.records[0]?.value, '127.0.0.1');
});

test('hosts files and server lists are read', () => {
  const { addresses, names } = parseHosts('192.0.2.1 Big.example big # x\n::1 six\nbad line\n');
  assert.deepEqual(addresses.get('big'), ['192.0.2.1']);
  assert.equal(names.get('192.0.2.1'), 'big.example');
  assert.deepEqual(parseNameServer('[::1]:5353'), { address: '::1', port: 5353 });
  assert.deepEqual(parseResolvConf('search x\nnameserver 192.0.2.53\n'), [
    { address: '192.0.2.53', port: 53 },
  ]);
  assert.equal(reverseName('192.0.2.5'), '5.2.0.192.in-addr.arpa');
});
