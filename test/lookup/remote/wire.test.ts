/** tcp:, socketmap: and memcache: tables; and what proxy: asks for. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTable, sensitive } from '../../../src/lookup/open.ts';
import type { Table } from '../../../src/lookup/table.ts';
import { withoutProxy } from '../../../src/lookup/types/proxy.ts';
import { socketmapTable } from '../../../src/lookup/types/socketmap.ts';
import { tcpTable } from '../../../src/lookup/types/tcp.ts';
import { type Answer, startSocketmap, startTcpTable } from '../../support/lookup-servers.ts';
import { startMemcached } from '../../support/memcached.ts';
import { needs } from '../../support/programs.ts';
import { bench as lookupBench } from '../tables.ts';
import { ask, HOSTILE_TEXTS, IMPOSSIBLE_TEXTS, remoteBench } from './bench.ts';

const drop = (): void => undefined;
const silent = { info: drop, warning: drop, error: drop, fatal: drop, panic: drop, flush: drop };
const QUICK = { timeoutMs: 500, tries: 2, pauseMs: 1 };

function opened(result: ReturnType<typeof tcpTable>): Table {
  if (!result.ok) throw new Error(result.error.reason);
  return result.value;
}

const TCP_REPLIES: Readonly<Record<string, string>> = {
  found: '200 value',
  encoded: '200 a%20b%25%0a%c3%a9',
  plain: '200 a b',
  tab: '200\tvalue',
  // More than was asked for: the rest must not answer the next question.
  double: '200 first\n200 stale',
  next: '200 fresh',
  absent: '500 no',
  later: '400 later',
  strange: '300 what',
  short: '20',
  text: 'hello world',
  broken: '200 50%',
  long: `200 ${'x'.repeat(4096)}`,
};
const TCP_WANT: Readonly<Record<string, string>> = {
  found: 'value',
  encoded: 'a b%\n\u00e9',
  plain: 'a b',
  tab: 'value',
  double: 'first',
  next: 'fresh',
  absent: '<absent>',
  later: '<retry>',
  strange: '<retry>',
  short: '<retry>',
  text: '<retry>',
  broken: '<retry>',
  long: '<retry>',
  silent: '<retry>',
};

test('tcp: replies and what they mean', async (t) => {
  const server = await startTcpTable((key) => TCP_REPLIES[key]);
  t.after(server.close);
  const table = opened(tcpTable(`127.0.0.1:${server.port}`, silent, QUICK));
  for (const [key, want] of Object.entries(TCP_WANT))
    assert.equal(await ask(table, key), want, key);
  for (const name of ['x', '', '127.0.0.1:', '127.0.0.1:99999', ':x']) {
    assert.equal(tcpTable(name, silent).ok, false, name);
  }
});

test('tcp: keys arrive as they are', async (t) => {
  const server = await startTcpTable((key) => `200 ${encodeURIComponent(key)}`);
  t.after(server.close);
  const table = opened(tcpTable(`127.0.0.1:${server.port}`, silent, QUICK));
  for (const key of [...HOSTILE_TEXTS, 'UPPER@Example.ORG', '']) {
    assert.equal(await ask(table, key), key);
    assert.equal(server.asked.at(-1), key);
  }
  for (const key of IMPOSSIBLE_TEXTS) assert.equal(await ask(table, key), '<absent>');
});

test('tcp: a server that comes back is found again; many lookups share few connections', async (t) => {
  const server = await startTcpTable((key) => `200 ${key}`);
  t.after(server.close);
  const table = opened(tcpTable(`127.0.0.1:${server.port}`, silent, QUICK));
  assert.equal(await ask(table, 'a'), 'a');
  server.drop();
  assert.equal(await ask(table, 'b'), 'b');
  const keys = Array.from({ length: 100 }, (_, at) => `k${at}`);
  assert.deepEqual(await Promise.all(keys.map((key) => ask(table, key))), keys);
  assert.ok(server.connections() <= 7, `${server.connections()} connections`);
  await server.close();
  assert.equal(await ask(table, 'c'), '<retry>');
});

const SOCKETMAP: readonly (readonly [key: string, reply: string, want: string])[] = [
  ['found', 'OK value', 'value'],
  ['spaced', 'OK  a b ', ' a b '],
  ['empty', 'OK ', ''],
  ['bare', 'OK', ''],
  ['absent', 'NOTFOUND ', '<absent>'],
  ['nothing', 'NOTFOUND', '<absent>'],
  ['later', 'TEMP why', '<retry>'],
  ['slow', 'TIMEOUT why', '<retry>'],
  ['wrong', 'PERM why', '<misconfigured>'],
  ['strange', 'HELLO', '<retry>'],
  ['big', `OK ${'x'.repeat(99_997)}`, 'x'.repeat(99_997)],
  ['bigger', `OK ${'x'.repeat(99_998)}`, '<retry>'],
];

test('socketmap: replies and what they mean', async (t) => {
  const answer: Answer = (query) => SOCKETMAP.find(([key]) => `map ${key}` === query)?.[1];
  const server = await startSocketmap(answer);
  t.after(server.close);
  const table = opened(socketmapTable(`inet:127.0.0.1:${server.port}:map`, silent, 500));
  for (const [key, , want] of SOCKETMAP) assert.equal(await ask(table, key), want, key);
  assert.equal(await ask(table, 'silence'), '<retry>');
  assert.equal(await ask(table, 'x'.repeat(10_001)), '<absent>');
  for (const name of ['x', 'inet:x:map', 'inet:127.0.0.1:1:', 'unix::map', 'tcp:x:1:map']) {
    assert.equal(socketmapTable(name, silent).ok, false, name);
  }
});

test('socketmap: keys arrive as they are, over a Unix socket', async (t) => {
  const bench = remoteBench(t);
  const path = join(bench.directory, 'map:socket');
  const server = await startSocketmap((query) => `OK ${query.slice(4)}`, path);
  t.after(server.close);
  const table = opened(socketmapTable(`unix:${path}:map`, silent, 2_000));
  for (const key of HOSTILE_TEXTS) assert.equal(await ask(table, key), key);
  for (const key of IMPOSSIBLE_TEXTS) assert.equal(await ask(table, key), '<absent>');
  server.drop();
  assert.equal(await ask(table, 'again'), 'again');
});

test('memcache: hits, misses, and the table behind', needs('memcached'), async (t) => {
  const server = await startMemcached();
  t.after(server.stop);
  const bench = remoteBench(t);
  const settings = { memcache: `inet:127.0.0.1:${server.port}`, retry_pause: 1 };
  const table = bench.table('memcache', settings);
  const backed = bench.table('memcache', {
    ...settings,
    backup: 'inline:joe=cached,b\u00e9=caf\u00e9,spaced key=never',
    key_format: 'v:%s',
    ttl: 100,
    flags: 7,
  });
  assert.equal(await ask(table, 'joe'), '<absent>');
  assert.equal(await ask(backed, 'joe'), 'cached');
  assert.equal(await ask(backed, 'b\u00e9'), 'caf\u00e9');
  assert.equal(await ask(table, 'v:joe'), 'cached');
  assert.equal(await ask(table, 'v:b\u00e9'), 'caf\u00e9');
  assert.equal(await ask(backed, 'nobody'), '<absent>');
  assert.equal(await ask(backed, 'spaced key'), '<absent>');
  assert.equal(await raw(server.port, 'get v:joe\r\n'), 'VALUE v:joe 7 6\r\ncached\r\nEND\r\n');
  await raw(server.port, `set big 0 0 20000\r\n${'x'.repeat(20_000)}\r\n`);
  assert.equal(await ask(table, 'big'), '<retry>');
  const user = bench.table('memcache', { ...settings, key_format: '%u:%d', domain: 'example.org' });
  await raw(server.port, 'set joe:example.org 0 0 2\r\nhi\r\n');
  assert.equal(await ask(user, 'joe@example.org'), 'hi');
  assert.equal(await ask(user, 'joe'), '<absent>');
  assert.equal(await ask(user, 'joe@example.net'), '<absent>');
  const digest = bench.table('memcache', {
    ...settings,
    key_digest: 'sha256',
    backup: 'inline:a b=c',
  });
  assert.equal(await ask(digest, 'a b'), 'c');
  const hash = createHash('sha256').update('a b').digest('hex');
  assert.match(await raw(server.port, `get ${hash}\r\n`), /^VALUE \w{64} 0 1\r\nc\r\n/);
  for (const text of HOSTILE_TEXTS) {
    await ask(table, `${text}@example.org`);
    assert.equal(await ask(table, `${text}@x`), '<absent>', text);
  }
  await server.kill();
  assert.equal(await ask(table, 'v:joe'), '<retry>');
  assert.equal(await ask(backed, 'joe'), 'cached');
  await server.start();
  assert.equal(await ask(table, 'v:joe'), '<absent>');
});

test('memcache: settings that do not fit', (t) => {
  const bench = remoteBench(t);
  assert.match(
    bench.fault('memcache', { memcache: 'localhost' }),
    /memcache: bad server "localhost"/,
  );
  assert.match(bench.fault('memcache', { key_format: '%q' }), /key_format: invalid template/);
  assert.match(bench.fault('memcache', { key_digest: 'none' }), /write sha256/);
  assert.match(bench.fault('memcache', { backup: 'mysql:/no/such' }), /backup: open \/no\/such/);
});

test('proxy: asks proxy_read_maps', () => {
  const cases: readonly (readonly [spec: string, approved: string | undefined, want: string])[] = [
    ['hash:/a', '', 'hash:/a'],
    ['proxy:hash:/a', undefined, 'hash:/a'],
    ['proxy:hash:/a', 'x proxy:hash:/a y', 'hash:/a'],
    ['proxy:proxy:hash:/a', 'proxy:hash:/a', 'hash:/a'],
    ['proxy:hash:/a', 'reject,check_client_access proxy:hash:/a,permit', 'hash:/a'],
    ['proxy:hash:/a', 'pipemap:{proxy:hash:/a, hash:/b}', 'hash:/a'],
    ['proxy:hash:/a', 'hash:/a proxy:hash:/ab', 'refused'],
    ['proxy:hash:/a', '', 'refused'],
  ];
  for (const [spec, approved, want] of cases) {
    const bare = withoutProxy(spec, () => approved);
    assert.equal(bare.ok ? bare.value : 'refused', want, `${spec} in ${approved}`);
    if (!bare.ok) assert.match(bare.error.reason, /add proxy:hash:\/a to proxy_read_maps/);
  }
});

test('what becomes a command or a file comes from no server that proves nothing', async (t) => {
  const bench = lookupBench(t);
  for (const spec of ['tcp:127.0.0.1:1', 'socketmap:inet:127.0.0.1:1:m', 'memcache:/no/such']) {
    const table = openTable(spec, sensitive(bench));
    assert.ok(table.ok);
    const answer = await table.value.lookup('x');
    assert.equal(answer.kind, 'misconfigured', spec);
    assert.match(bench.warnings.join(), /map is not allowed for security-sensitive data/);
  }
  const plain = openTable('tcp:127.0.0.1:1', bench);
  assert.ok(plain.ok && plain.value.keys === 'pattern');
});

test('openTable() refuses proxy: tables that proxy_read_maps lacks', async (t) => {
  const bench = { ...lookupBench(t), parameter: () => 'proxy:static:yes' };
  const kinds = ['proxy:static:yes', 'proxy:static:no', 'static:no'].map(async (spec) => {
    const table = openTable(spec, bench);
    return table.ok ? (await table.value.lookup('x')).kind : 'fault';
  });
  assert.deepEqual(await Promise.all(kinds), ['found', 'misconfigured', 'found']);
});

function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${text}quit\r\n`));
    let got = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => (got += chunk));
    socket.once('close', () => resolve(got));
    socket.once('error', reject);
  });
}
