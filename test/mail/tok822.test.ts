import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddressList } from '../../src/mail/tok822.ts';

const CASES: readonly [text: string, addresses: readonly string[] | undefined][] = [
  ['user@example.org', ['user@example.org']],
  ['a@b.c, d@e.f', ['a@b.c', 'd@e.f']],
  ['User Name <user@example.org>', ['user@example.org']],
  ['"Name, with comma" <user@example.org>, b@c', ['user@example.org', 'b@c']],
  ['user@example.org (a comment (nested))', ['user@example.org']],
  ['"quoted local"@example.org', ['quoted local@example.org']],
  ['group: a@b, c@d;', ['a@b', 'c@d']],
  ['undisclosed-recipients:;', []],
  ['<@relay,@other:user@example.org>', ['user@example.org']],
  ['user @ example . org', ['user@example.org']],
  ['root', ['root']],
  ['root joe', ['root', 'joe']],
  ['user@[192.0.2.1]', ['user@[192.0.2.1]']],
  ['<>', []],
  ['', []],
  ['"open', undefined],
  ['(open', undefined],
  ['<open', undefined],
  ['a\\@b@c', ['a@b@c']],
];

for (const [text, addresses] of CASES) {
  test(`parseAddressList() reads ${JSON.stringify(text)}`, () => {
    assert.deepEqual(parseAddressList(text), addresses);
  });
}

test('parseAddressList() ends on any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'a@.,;:<>()"\\[] %!\n') }), (text) => {
      const found = parseAddressList(text);
      assert.ok(found === undefined || Array.isArray(found));
    }),
  );
});
