import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AddressContext, type Maps, mapsOf, openMaps } from '../../src/lookup/maps.ts';
import { NO, YES } from '../../src/lookup/match-list.ts';
import { ABSENT, type Lookup, type Table } from '../../src/lookup/table.ts';
import { bench, short } from './tables.ts';

const CONTEXT: AddressContext = {
  recipient_delimiter: '+',
  isLocal: (domain) => (domain === 'local.example' ? YES : NO),
};

/** A table that has nothing and writes down what it is asked. */
function spy(asked: string[], keys: Table['keys'], isAsync = false): Table {
  const lookup = (key: string): Lookup | Promise<Lookup> => {
    asked.push(key);
    return isAsync ? Promise.resolve(ABSENT) : ABSENT;
  };
  return { type: 'spy', name: keys, keys, lookup };
}

const ORDER: readonly [address: string, keys: string][] = [
  ['User+Ext@Remote.example', 'user+ext@remote.example user@remote.example @remote.example'],
  [
    'user+ext@local.example',
    'user+ext@local.example user@local.example user+ext user @local.example',
  ],
  ['user@local.example', 'user@local.example user @local.example'],
  ['a b@remote.example', '"a b"@remote.example a b@remote.example @remote.example'],
  ['user', 'user'],
];

for (const [address, keys] of ORDER) {
  test(`findAddress() asks for ${address} in Postfix's order`, async () => {
    for (const isAsync of [false, true]) {
      const asked: string[] = [];
      await mapsOf('x_maps', [spy(asked, 'fixed', isAsync)]).findAddress(address, CONTEXT);
      assert.equal(asked.join(' '), keys);
    }
  });
}

test('pattern tables see the whole key only, in the case it has', async () => {
  const asked: string[] = [];
  await mapsOf('x_maps', [spy(asked, 'pattern')]).findAddress('U+e@Local.example', CONTEXT);
  assert.deepEqual(asked, ['U+e@Local.example']);
});

const open = (value: string, t: Parameters<typeof bench>[0]): Maps => {
  const maps = openMaps('x_maps', value, bench(t));
  if (!maps.ok) throw new Error(maps.error[0]?.reason);
  return maps.value;
};

test('each key is tried in every table before the next', async (t) => {
  const maps = open('inline:{@d=domain}, inline:{u@d=user}', t);
  assert.equal(short(await maps.findAddress('u@d', CONTEXT)), 'user');
  assert.equal(short(await maps.findAddress('x@d', CONTEXT)), 'domain');
});

test('findAddress() says which extension did not match', async (t) => {
  const maps = open('inline:{u@d=x, v+e@d=y, @d=z}', t);
  const extension = async (address: string) =>
    (await maps.findAddress(address, CONTEXT)).extension ?? '';
  assert.equal(await extension('u+e@d'), '+e');
  assert.equal(await extension('v+e@d'), '');
  assert.equal(await extension('w+e@d'), '+e');
});

test('a table that fails stops the search', async (t) => {
  assert.equal(short(await open('inline:{a=1} fail:x', t).find('a')), '1');
  assert.equal(short(await open('fail:x inline:{a=1}', t).find('a')), '<retry>');
});

test('an empty result is a mistake, not an absence', async (t) => {
  assert.equal(short(await open('inline:{{a = }}', t).find('a')), '<misconfigured>');
});

test('a domain list that fails makes the address lookup fail', async (t) => {
  const isLocal = () => ({ kind: 'error', reason: 'down' }) as const;
  const maps = open('inline:{x=1}', t);
  assert.equal(
    short(await maps.findAddress('a@b', { recipient_delimiter: '', isLocal })),
    '<retry>',
  );
});

test('openMaps() names the parameter in its faults', (t) => {
  const maps = openMaps('virtual_alias_maps', 'nonsense', bench(t));
  assert.ok(!maps.ok && maps.error[0]?.reason.startsWith('virtual_alias_maps: '));
});
