import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { rewriteAddress, rewriteSender } from '../../src/rewrite/rewrite.ts';

const SETTINGS = {
  append_at_myorigin: true,
  append_dot_mydomain: true,
  swap_bangpath: true,
  allow_percent_hack: true,
  myorigin: 'origin.example',
  mydomain: 'my.example',
};

const CASES: readonly [address: string, canonical: string][] = [
  ['', ''],
  ['user', 'user@origin.example'],
  ['user@host', 'user@host.my.example'],
  ['user@host.example', 'user@host.example'],
  ['user@host.example.', 'user@host.example'],
  ['user@host..', 'user@host..'],
  ['user@[192.0.2.1]', 'user@[192.0.2.1]'],
  ['host.example!user', 'user@host.example'],
  ['a!b!user', 'b!user@a.my.example'],
  ['user%host.example', 'user@host.example'],
  ['a%b%c.d', 'a%b@c.d'],
  ['a!b%c', 'b%c@a.my.example'],
  ['a!b@c.d', 'a!b@c.d'],
  ['a b!c', 'a b!c@origin.example'],
  ['user@', 'user@'],
];

for (const [address, canonical] of CASES) {
  test(`rewriteAddress() makes ${canonical} of "${address}"`, () => {
    assert.equal(rewriteAddress(address, SETTINGS), canonical);
  });
}

test('rewriteAddress() does what the settings say', () => {
  const off = {
    ...SETTINGS,
    append_at_myorigin: false,
    append_dot_mydomain: false,
    swap_bangpath: false,
    allow_percent_hack: false,
  };
  for (const address of ['user', 'a!b', 'a%b', 'a@b']) {
    assert.equal(rewriteAddress(address, off), address);
  }
});

test('rewriteSender() makes the null sender of our mailer-daemon', () => {
  assert.equal(rewriteSender('MAILER-DAEMON', SETTINGS), '');
  assert.equal(
    rewriteSender('mailer-daemon@other.example', SETTINGS),
    'mailer-daemon@other.example',
  );
});

test('a canonical address with a domain stays as it is', () => {
  const settings = { ...SETTINGS, append_dot_mydomain: false };
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ab!%@. ') }), (address) => {
      const once = rewriteAddress(address, settings);
      if (!once.endsWith('.') && once.includes('@') && once !== '@') {
        assert.equal(rewriteAddress(once, settings), once);
      }
    }),
  );
});
