import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientNames } from '../../src/net/client-name.ts';
import { AnvilCounters, clientBlock } from '../../src/net/limits.ts';

test('connections are counted up and down, rates per window', () => {
  const anvil = new AnvilCounters(60_000);
  assert.deepEqual(anvil.event('smtp', 'a', 'connect', 0), { concurrency: 1, rate: 1 });
  assert.deepEqual(anvil.event('smtp', 'a', 'connect', 10), { concurrency: 2, rate: 2 });
  assert.deepEqual(anvil.event('smtp', 'b', 'connect', 10), { concurrency: 1, rate: 1 });
  assert.deepEqual(anvil.event('smtp', 'a', 'disconnect', 20), { concurrency: 1, rate: 0 });
  assert.deepEqual(anvil.event('smtp', 'a', 'message', 30), { concurrency: 1, rate: 1 });
  assert.deepEqual(anvil.event('smtp', 'a', 'connect', 60_001), { concurrency: 2, rate: 1 });
  anvil.forget('smtp', 'a', 5);
  assert.deepEqual(anvil.event('smtp', 'a', 'disconnect', 60_002), { concurrency: 0, rate: 0 });
});

test('a block of addresses is one client', () => {
  assert.equal(clientBlock('192.0.2.9', 32, 84), '192.0.2.9');
  assert.equal(clientBlock('192.0.2.9', 24, 84), clientBlock('192.0.2.77', 24, 84));
  assert.notEqual(clientBlock('192.0.2.9', 24, 84), clientBlock('192.0.3.9', 24, 84));
  assert.equal(clientBlock('2001:db8::1', 32, 84), clientBlock('2001:db8::fff:ffff', 32, 84));
  assert.notEqual(clientBlock('2001:db8::1', 32, 84), clientBlock('2001:db8::1:0:0:1', 32, 84));
});

test('a client that comes back costs no look-up, a failed one only for a while', async () => {
  let asked = 0;
  let now = 0;
  const names = clientNames(
    async (address) => {
      asked += 1;
      if (address === 'bad') throw new Error('resolver is down');
      return { name: 'a.example', reverseName: 'a.example', retry: false };
    },
    true,
    () => now,
  );
  const [first, second] = await Promise.all([names.lookup('192.0.2.1'), names.lookup('192.0.2.1')]);
  assert.deepEqual(first, second);
  assert.equal(asked, 1);
  assert.ok(!(names.lookup('192.0.2.1') instanceof Promise));
  assert.equal((await names.lookup('bad')).retry, true);
  now = 31_000;
  await names.lookup('bad');
  assert.equal(asked, 3);
});
