import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAliasText, parseMapText } from '../../src/lookup/types/text.ts';

const entriesOf = (source: string) => Object.fromEntries(parseMapText(source).entries);

test('parseMapText() reads keys, continuations and quotes', () => {
  assert.deepEqual(
    entriesOf(`# comment
Key@Example.org   Value with  blanks \t
cont one
# between
   two
"a b"@x   quoted
a\\ b   escaped
colon:  value
`),
    {
      'key@example.org': 'Value with  blanks',
      cont: 'one   two',
      '"a b"@x': 'quoted',
      'a\\ b': 'escaped',
      'colon:': 'value',
    },
  );
});

test('parseMapText() says what it leaves out', () => {
  const { entries, faults } = parseMapText('  first\na 1\nlone\n"open x\nA 2\n');
  assert.deepEqual([...entries], [['a', '1']]);
  assert.deepEqual(
    faults.map(({ line, kind }) => `${line} ${kind}`),
    ['1 syntax', '3 syntax', '4 syntax', '5 duplicate'],
  );
});

test('parseAliasText() reads quoted keys and comments', () => {
  const { entries, faults } = parseAliasText(
    'Root: joe\n"a b": x,\n  y\nlist (the list) : "|/bin/cmd arg"\nbad\nempty:\n',
  );
  assert.deepEqual(
    [...entries],
    [
      ['root', 'joe'],
      ['a b', 'x,  y'],
      ['list', '"|/bin/cmd arg"'],
    ],
  );
  assert.deepEqual(
    faults.map(({ line }) => line),
    [5, 6],
  );
});

test('table texts never throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ab"\\: \t\n#(),@') }), (source) => {
      parseMapText(source);
      parseAliasText(source);
    }),
  );
});
