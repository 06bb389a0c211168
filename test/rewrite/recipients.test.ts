import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expandVirtual } from '../../src/rewrite/virtual-alias.ts';
import { parts } from './parts.ts';

async function expand(address: string, maps: string, main: Record<string, string> = {}) {
  const { config, resolver, tables } = parts({ virtual_alias_maps: maps, ...main });
  const { virtualAliases } = tables;
  const found = await expandVirtual(address, virtualAliases, config, resolver.addressContext);
  return found.ok ? found.value.join(' ') : `! ${found.error}`;
}

const CASES: readonly [what: string, address: string, maps: string, result: string][] = [
  ['nothing', 'a@x.example', '', 'a@x.example'],
  ['one address', 'a@x.example', 'inline:{a@x.example=b@y.example}', 'b@y.example'],
  [
    'a list',
    'a@x.example',
    'inline:{{a@x.example=b@y.example, "c d"@z.example}}',
    'b@y.example c d@z.example',
  ],
  [
    'a chain',
    'a@x.example',
    'inline:{a@x.example=b@x.example, b@x.example=c@x.example}',
    'c@x.example',
  ],
  [
    'itself and another',
    'a@x.example',
    'inline:{{a@x.example=a@x.example, b@x.example}, b@x.example=c@x.example}',
    'a@x.example c@x.example',
  ],
  ['a bare name', 'a@x.example', 'inline:{a@x.example=joe}', 'joe@example.org'],
  ['a domain', 'u@x.example', 'inline:{@x.example=@y.example}', 'u@y.example'],
  [
    'a domain, the extension kept',
    'u+e@x.example',
    'inline:{@x.example=@y.example}',
    'u+e@y.example',
  ],
  ['an unmatched extension', 'u+e@x.example', 'inline:{u@x.example=v@y.example}', 'v+e@y.example'],
  ['a local name', 'joe@example.org', 'inline:{joe=j@y.example}', 'j@y.example'],
  [
    'duplicates twice: recipients are compared later',
    'a@x.example',
    'inline:{{a@x.example=b@y.example, B@y.example}}',
    'b@y.example B@y.example',
  ],
];

for (const [what, address, maps, result] of CASES) {
  test(`expandVirtual() expands to ${what}`, async () => {
    assert.equal(await expand(address, maps, { recipient_delimiter: '+' }), result);
  });
}

test('expandVirtual() refuses what fails or grows without limit', async () => {
  const loop = 'inline:{a@x.example=b@x.example, b@x.example=a@x.example}';
  assert.match(await expand('a@x.example', loop), /^! unreasonable .* nesting/);
  assert.match(await expand('a@x.example', 'fail:x'), /^! virtual_alias_maps lookup error/);
  const two = 'inline:{{a@x.example=b@x.example, c@x.example}}';
  assert.match(
    await expand('a@x.example', two, { virtual_alias_expansion_limit: '1' }),
    /^! unreas/,
  );
  const grow = 'pcre:{{/^(.*)@x/ y$$1@x}}';
  assert.match(await expand('a@x', grow), /^! unreasonable/);
  assert.match(await expand('a@x.example', 'inline:{{a@x.example=,}}'), /^! .* non-address result/);
});

const MAPS = {
  local_recipient_maps: 'inline:{joe=x, full@example.org=x}',
  relay_recipient_maps: 'inline:{r@relay.example=x}',
  virtual_mailbox_maps: 'inline:{v@boxes.example=x}',
  canonical_maps: 'inline:{renamed@example.org=x@y.example}',
  virtual_alias_maps: 'inline:{a@alias.example=joe, forwarded@example.org=x@y.example}',
  recipient_delimiter: '+',
};

const EXISTS: readonly [address: string, answer: string][] = [
  ['joe@example.org', 'yes'],
  ['joe+ext@example.org', 'yes'],
  ['full@example.org', 'yes'],
  ['forwarded@example.org', 'yes'],
  ['renamed@example.org', 'yes'],
  ['none@example.org', 'local recipient table'],
  ['r@relay.example', 'yes'],
  ['none@relay.example', 'relay recipient table'],
  ['v@boxes.example', 'yes'],
  ['none@boxes.example', 'virtual mailbox table'],
  ['a@alias.example', 'yes'],
  ['none@alias.example', 'virtual alias table'],
  ['any@far.example', 'yes'],
];

for (const [address, answer] of EXISTS) {
  test(`recipientExists() says ${answer} to ${address}`, async () => {
    const { resolver, tables } = parts(MAPS);
    const target = await resolver.classify(address);
    assert.ok(target.kind === 'resolved');
    const found = await tables.recipientExists(target);
    assert.equal(found.kind === 'no' ? found.table : found.kind, answer);
  });
}

test('recipientExists() accepts everything without tables, and never says no in doubt', async () => {
  const joe = { address: 'joe@example.org', addressClass: 'local' } as const;
  assert.equal((await parts().tables.recipientExists(joe)).kind, 'yes');
  for (const name of ['local_recipient_maps', 'virtual_alias_maps', 'canonical_maps']) {
    const { tables } = parts({ ...MAPS, [name]: 'fail:x' });
    assert.equal((await tables.recipientExists(joe)).kind, 'retry');
  }
});
