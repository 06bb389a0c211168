import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { patternTable } from '../../src/lookup/types/pattern.ts';
import { logicalLines } from '../../src/util/logical-lines.ts';
import { short } from './tables.ts';

type Type = 'regexp' | 'pcre';
const build = (type: Type, source: string) => patternTable(type, 'test', logicalLines(source));

async function find(type: Type, source: string, key: string): Promise<string> {
  return short(await build(type, source).table.lookup(key));
}

const CASES: readonly [type: Type, source: string, key: string, value: string][] = [
  ['pcre', '/^a.c$/ yes', 'ABC', 'yes'],
  ['pcre', '/^a.c$/i yes', 'ABC', '<absent>'],
  ['pcre', '/^a.c$/ yes', 'a\nc', 'yes'],
  ['pcre', '/^a.c$/s yes', 'a\nc', '<absent>'],
  ['pcre', '!/@example/ other', 'a@test', 'other'],
  ['pcre', '/(a)(b)?/ $1-$2-${1}-$(1)-$$', 'a', 'a--a-a-$'],
  ['pcre', '/^friend@(?!my.domain).*$/ 550 $0', 'friend@x', '550 friend@x'],
  ['pcre', '/^friend@(?!my.domain).*$/ 550', 'friend@my.domain', '<absent>'],
  ['pcre', 'if /@x$/\n/^a/ ax\nendif\n/^a/ a', 'a@x', 'ax'],
  ['pcre', 'if /@x$/\n/^a/ ax\nendif\n/^a/ a', 'a@y', 'a'],
  ['pcre', 'if !/@x$/\n/./ notx\nendif', 'a@y', 'notx'],
  ['pcre', '/^[[:alpha:]]+$/ letters', 'abc', 'letters'],
  ['pcre', '/^\\Aa\\z/ yes', 'a', 'yes'],
  ['pcre', '/^\\d{2,}$/ digits', '123', 'digits'],
  ['pcre', '/^a{,2}$/ few', 'aaa', '<absent>'],
  ['pcre', '/\\Qa.b\\E/ lit', 'axb', '<absent>'],
  ['pcre', '/(?P<n>a)(?P=n)/ twice', 'aA', 'twice'],
  ['pcre', '/a b/x yes', 'ab', 'yes'],
  ['pcre', '/\\x41\\h/ yes', 'A ', 'yes'],
  ['pcre', '/[\\w.-]+@x/ yes', 'a.b-c@x', 'yes'],
  ['pcre', '#/path/# yes', '/path/', '<absent>'],
  ['pcre', '|/path/| yes', '/path/', 'yes'],
  ['pcre', '/[a-c]x/ yes', 'BX', 'yes'],
  ['pcre', '/ÄB/ yes', 'äb', 'yes'],
  ['regexp', '/^(a|b)+$/ yes', 'abab', 'yes'],
  ['regexp', '/[\\]x/ yes', '\\x', 'yes'],
  ['regexp', '/[]a]b/ yes', ']b', 'yes'],
  ['regexp', '/[^]a]b/ yes', 'ab', '<absent>'],
  ['regexp', '/\\<word\\>/ yes', 'a word b', 'yes'],
  ['regexp', '/^x$/m yes', 'a\nx\nb', 'yes'],
  ['regexp', '/(.)\\1/ pair', 'abb', 'pair'],
  ['regexp', '/a\\/b/ yes', 'a/b', 'yes'],
];

for (const [type, source, key, value] of CASES) {
  test(`${type}: ${JSON.stringify(source)} answers ${JSON.stringify(key)} with ${value}`, async () => {
    assert.equal(await find(type, source, key), value);
  });
}

test('patternTable() leaves out what it cannot translate and says where', () => {
  const { faults } = build(
    'pcre',
    `/a++/ x
/(?>a)/ x
/(?R)/ x
/(*UTF8)a/ x
/[[:nope:]]/ x
/a/ $1
!/a/ $0
/open x
/a/q x
/a/
endif
if /a/
word x
`,
  );
  assert.deepEqual(
    faults.map(({ line }) => line),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 12],
  );
});

test('a pattern that runs away ends: by the linear engine, or by the clock', async () => {
  const key = `${'a'.repeat(40)}b`;
  const start = performance.now();
  assert.equal(await find('pcre', '/^(a+)+$/ x', key), '<absent>');
  assert.equal(await find('pcre', '/^(?=a)(a+)+$/ x', key), '<retry>');
  assert.ok(performance.now() - start < 2000);
});

test('patternTable() ends on any source and any key', () => {
  const unit = fc.constantFrom(...'ab/[]()^$*+?{},\\|.:=!<>-1x \n');
  fc.assert(
    fc.property(fc.string({ unit }), fc.string({ maxLength: 20 }), (source, key) => {
      build('pcre', `/${source}/ x`).table.lookup(key);
      build('regexp', `/${source}/ x`).table.lookup(key);
    }),
    { numRuns: 300 },
  );
});
