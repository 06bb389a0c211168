import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  externalizeList,
  externalizeTokens,
  internalize,
  parseAddressList,
  parseTokens,
  quoteAddress,
  scanTokens,
} from '../../src/mail/tok822.ts';

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

const ODD = fc.string({ unit: fc.constantFrom(...'a@.,;:<>()"\\[] %!|\n\t\x00\x7f\xe4') });

test('what a list is written as is read as the same list', () => {
  fc.assert(
    fc.property(ODD, (text) => {
      const once = externalizeList(parseTokens(text));
      const twice = externalizeList(parseTokens(once));
      assert.equal(externalizeList(parseTokens(twice)), twice);
    }),
  );
});

test('an address that needs no more quotes keeps its form', () => {
  fc.assert(
    fc.property(ODD, (text) => {
      const internal = internalize(scanTokens(quoteAddress(text)));
      assert.equal(typeof externalizeTokens(scanTokens(quoteAddress(internal))), 'string');
    }),
  );
});

const LISTS: readonly [text: string, written: string][] = [
  ['Name <a@b>, c', 'Name <a@b>,\nc'],
  ['a b', 'a,\nb'],
  ['a@b (comment), c', 'a@b (comment),\nc'],
  ['me (comment) @b', 'me@b (comment)'],
  ['group: a, b;', 'group: a,\nb;'],
  // Postfix loses the blank too.
  ['a <b@c> d <e@f>', 'a <b@c>d <e@f>'],
  ['"q \\" q" <a@b>', '"q \\" q" <a@b>'],
  [`${'(c) '.repeat(80)}a@b`, '<a@b>'],
];

for (const [text, written] of LISTS) {
  test(`a list ${JSON.stringify(text.slice(0, 30))} is written anew`, () => {
    assert.equal(externalizeList(parseTokens(text)), written);
  });
}
