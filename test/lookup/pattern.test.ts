import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchBudget } from '../../src/lookup/types/match-budget.ts';
import { patternTable } from '../../src/lookup/types/pattern.ts';
import { logicalLines } from '../../src/util/logical-lines.ts';
import { short } from './tables.ts';

type Type = 'regexp' | 'pcre';
const build = (type: Type, source: string) => patternTable(type, 'test', logicalLines(source));

async function find(type: Type, source: string, key: string): Promise<string> {
  return short(build(type, source).table.lookup(key));
}

const CASES: readonly [type: Type, source: string, key: string, value: string][] = [
  ['pcre', '/^a.c$/ yes', 'ABC', 'yes'],
  ['pcre', '/^a.c$/i yes', 'ABC', '<absent>'],
  ['pcre', '/^a.c$/ii yes', 'ABC', 'yes'],
  ['pcre', '/^a.c$/ yes', 'a\nc', 'yes'],
  ['pcre', '/^a.c$/s yes', 'a\nc', '<absent>'],
  ['pcre', '/^a$/ yes', 'a\n', 'yes'],
  ['pcre', '/^a$/E yes', 'a\n', '<absent>'],
  ['pcre', '/^b$/m yes', 'a\nb\r\nc', '<absent>'],
  ['pcre', '/^b$/m yes', 'a\nb\nc', 'yes'],
  ['pcre', '/b/A yes', 'ab', '<absent>'],
  ['pcre', '/^(a+)/U $1', 'aaa', 'a'],
  ['pcre', '!/@example/ other', 'a@test', 'other'],
  ['pcre', '! !/@test/ twice', 'a@test', 'twice'],
  ['pcre', '/(a)(b)?/ $1-$2-${1}-$(1)-$$', 'a', 'a--a-a-$'],
  ['pcre', '/a(.)c/ [$0]', 'xabcx', '[abc]'],
  ['pcre', '/^friend@(?!my.domain).*$/ 550 $0', 'friend@x', '550 friend@x'],
  ['pcre', '/^friend@(?!my.domain).*$/ 550', 'friend@my.domain', '<absent>'],
  ['pcre', 'if /@x$/\n/^a/ ax\nendif\n/^a/ a', 'a@x', 'ax'],
  ['pcre', 'if /@x$/\n/^a/ ax\nendif\n/^a/ a', 'a@y', 'a'],
  ['pcre', 'if !/@x$/\n/./ notx\nendif', 'a@y', 'notx'],
  ['pcre', 'if /a/\nif /b/\n/./ both\nENDIF\n/c/ ac\nendif\n/./ none', 'ac', 'ac'],
  ['pcre', 'if /a/\nif /b/\n/./ both\nENDIF\n/c/ ac\nendif\n/./ none', 'bc', 'none'],
  ['pcre', 'if /a/\n/b/ ab', 'b', '<absent>'],
  ['pcre', '/^[[:alpha:]]+$/ letters', 'abc', 'letters'],
  ['pcre', '/^\\Aa\\z/ yes', 'a', 'yes'],
  ['pcre', '/^\\d{2,}$/ digits', '123', 'digits'],
  ['pcre', '/^a{,2}$/ few', 'aaa', '<absent>'],
  ['pcre', '/\\Qa.b\\E/ lit', 'axb', '<absent>'],
  ['pcre', '/^\\Qa.\\E+$/ lit', 'a...', 'lit'],
  ['pcre', '/(?P<n>a)(?P=n)/ twice', 'aA', 'twice'],
  ['pcre', '/^(?:(a)|b)*$/ <$1>', 'ab', '<a>'],
  ['pcre', '/^(a)?b\\1$/ back', 'b', '<absent>'],
  ['pcre', '/^a++b/ possessive', 'aaab', 'possessive'],
  ['pcre', '/^a++ab/ possessive', 'aaab', '<absent>'],
  ['pcre', '/^(?>a|ab)c/ atomic', 'abc', '<absent>'],
  ['pcre', '/^a(?i)b/i yes', 'aB', 'yes'],
  ['pcre', '/^(?-i:a)b/ yes', 'AB', '<absent>'],
  ['pcre', '/(?<=ab|c)d/ after', 'xabd', 'after'],
  ['pcre', '/a b # note/x yes', 'ab', 'yes'],
  ['pcre', '/\\x41\\h/ yes', 'A ', 'yes'],
  ['pcre', '/[\\w.-]+@x/ yes', 'a.b-c@x', 'yes'],
  ['pcre', '#/path/# yes', '/path/', '<absent>'],
  ['pcre', '|/path/| yes', '/path/', 'yes'],
  ['pcre', '/[a-c]x/ yes', 'BX', 'yes'],
  ['pcre', '/ÄB/ $0', 'xÄb', 'Äb'],
  ['pcre', '/^..$/ bytes', 'ä', 'bytes'],
  ['pcre', '/^(.)/ $1', 'ä', '<misconfigured>'],
  ['regexp', '/^(a|b)+$/ yes', 'abab', 'yes'],
  ['regexp', '/x(a|ab)/ $1', 'xab', 'ab'],
  ['regexp', '/^(a|ab)(c|bcd)(d*)$/ $1-$2-$3', 'abcd', 'a-bcd-'],
  ['regexp', '/(a?)(ab)?/ <$1><$2>', 'ab', '<><ab>'],
  ['pcre', '/(a?)(ab)?/ <$1><$2>', 'ab', '<a><>'],
  ['regexp', '/[\\]x/ yes', '\\x', 'yes'],
  ['regexp', '/[]a]b/ yes', ']b', 'yes'],
  ['regexp', '/[^]a]b/ yes', 'ab', '<absent>'],
  ['regexp', '/\\<word\\>/ yes', 'a word b', 'yes'],
  ['regexp', '/^x$/m yes', 'a\nx\nb', 'yes'],
  ['regexp', '/(.)\\1/ pair', 'abb', 'pair'],
  ['regexp', '/a\\/b/ yes', 'a/b', 'yes'],
  ['regexp', '/\\d/ letter', 'd', 'letter'],
  ['regexp', '/a{,2}b/ yes', 'aab', 'yes'],
  ['regexp', '/^a\\(b\\)\\{2\\}$/x basic', 'abb', 'basic'],
  ['regexp', '/^a(b)$/x basic', 'a(b)', 'basic'],
  ['regexp', '/a/!/b/ a only', 'ac', 'a only'],
  ['regexp', '/a/!/b/ a only', 'ab', '<absent>'],
];

for (const [type, source, key, value] of CASES) {
  test(`${type}: ${JSON.stringify(source)} answers ${JSON.stringify(key)} with ${value}`, async () => {
    assert.equal(await find(type, source, key), value);
  });
}

const REFUSED: readonly [type: Type, source: string, reason: RegExp][] = [
  ['pcre', '/(?R)/ x', /\(\?R\) is not supported/],
  ['pcre', '/(?(1)a)/ x', /is not supported/],
  ['pcre', '/(*UTF8)a/ x', /\(\*VERB\) is not supported/],
  ['pcre', '/a\\Kb/ x', /\\K is not supported/],
  ['pcre', '/\\p{L}/ x', /\\p is not supported/],
  ['pcre', '/(?<=a+)b/ x', /not fixed length/],
  ['pcre', '/[[:nope:]]/ x', /unknown POSIX class name/],
  ['pcre', '/(a/ x', /missing closing parenthesis/],
  ['pcre', '/a)/ x', /unmatched closing parenthesis/],
  ['pcre', '/*a/ x', /quantifier does not follow/],
  ['pcre', '/(a)\\2/ x', /non-existent subpattern/],
  ['pcre', '/a/ $1', /out of range replacement index "1"/],
  ['pcre', '/a/ $x', /non-numeric replacement index "x"/],
  ['pcre', '!/a/ $0', /\$number found in negative match/],
  ['pcre', '/open x', /no closing regexp delimiter/],
  ['pcre', '/a/q x', /unknown regexp option "q"/],
  ['regexp', '/a{x}/ x', /Invalid content/],
  ['regexp', '/*a/ x', /Invalid preceding/],
  ['regexp', '/(a/ x', /Unmatched \( or/],
  ['regexp', '/[[:nope:]]/ x', /Invalid character class name/],
  ['regexp', '/[b-a]/ x', /Invalid range end/],
  ['regexp', '/(a)\\2/ x', /Invalid back reference/],
];

for (const [type, source, reason] of REFUSED) {
  test(`${type}: ${source} is refused with its line, the rest counts`, async () => {
    const { table, faults } = build(type, `# first\n${source}\n/z/ last\n`);
    assert.deepEqual(
      faults.map(({ line, isLeftOut }) => ({ line, isLeftOut })),
      [{ line: 2, isLeftOut: true }],
    );
    assert.match(faults[0]?.reason ?? '', reason);
    assert.equal(short(table.lookup('z')), 'last');
  });
}

test('lines that are odd are warned of', () => {
  const { faults } = build('pcre', 'endif\nword x\n/a/\nif /a/ more\nif /b/\n');
  assert.deepEqual(
    faults.map(({ line, reason }) => `${line} ${reason.slice(0, 28)}`),
    [
      '1 ignoring ENDIF without match',
      '2 ignoring unrecognized reques',
      '3 no replacement text: using e',
      '4 ignoring extra text after IF',
      '4 do not prepend whitespace to',
      '5 IF has no matching ENDIF',
      '4 IF has no matching ENDIF',
    ],
  );
});

/** Patterns and keys that would keep a backtracking matcher busy for minutes. */
const HOSTILE: readonly [type: Type, pattern: string, key: string, answer: string][] = [
  ['pcre', '^(a+)+$', `${'a'.repeat(40)}b`, '<absent>'],
  ['pcre', '(x+x+)+y', 'x'.repeat(5000), '<absent>'],
  ['pcre', 'a*a*a*a*a*a*b', 'a'.repeat(3000), '<absent>'],
  ['pcre', '^(?=a)(a+)+$', `${'a'.repeat(40)}b`, '<retry>'],
  ['pcre', '(a+)+\\1c', 'a'.repeat(60), '<retry>'],
  ['pcre', '(?!z).*.*.*y', 'x'.repeat(4000), '<retry>'],
  ['pcre', '^(?=a)(?:ab?)*c', 'ab'.repeat(50_000), '<retry>'],
  ['regexp', '^(a|aa)+$', `${'a'.repeat(60)}b`, '<absent>'],
  ['regexp', '(.*)*\\1z', 'y'.repeat(2000), '<retry>'],
];

for (const [type, pattern, key, answer] of HOSTILE) {
  test(`${type}: /${pattern}/ on ${key.length} characters ends within its steps: ${answer}`, async () => {
    assert.equal(await find(type, `/${pattern}/ <$0>`, key), answer);
  });
}

test('the lookups of a message share its budget', () => {
  const { table } = build('pcre', '/^(?=a)(a+)+$/ x');
  const budget = matchBudget();
  const hostile = `${'a'.repeat(40)}b`;
  assert.equal(short(table.lookup(hostile, { budget })), '<retry>');
  assert.ok(budget.leftMs <= 0);
  assert.equal(
    short(table.lookup('aa', { budget })),
    '<retry>',
    'nothing is left for a harmless key',
  );
  assert.equal(short(table.lookup('aa')), 'x', 'another message has its own');
});

test('keys of bytes are answered with bytes', () => {
  const { table } = build('pcre', '/^subject: (.*)/ got $1 ü');
  const answer = table.lookup('Subject: \xc3\xa4', { isBytes: true });
  assert.equal(short(answer), 'got \xc3\xa4 \xc3\xbc');
  assert.equal(short(table.lookup('Subject: ä')), 'got ä ü');
});

test("the header checks of the seed's article work", () => {
  const checks = build(
    'regexp',
    '/^Subject: Make money fast/\t\tREJECT\n/^X-Mailer: Microsoft Outlook Express/\tREJECT\n',
  ).table;
  const perl = build(
    'pcre',
    '/^From: friend@(?!my\\.domain).*$/ 550 Stick this in your pipe $0\n',
  ).table;
  assert.equal(short(checks.lookup('Subject: Make Money Fast now')), 'REJECT');
  assert.equal(short(checks.lookup('X-Mailer: microsoft outlook express 5')), 'REJECT');
  assert.equal(short(checks.lookup('Subject: hello')), '<absent>');
  assert.equal(
    short(perl.lookup('From: friend@else.example')),
    '550 Stick this in your pipe From: friend@else.example',
  );
  assert.equal(short(perl.lookup('From: friend@my.domain')), '<absent>');
});

const ALPHABET = fc.constantFrom(...'ab/[]()^$*+?{},\\|.:=!<>-1x \nÄ');

test('patternTable() ends on any source and any key', () => {
  fc.assert(
    fc.property(fc.string({ unit: ALPHABET }), fc.string({ maxLength: 20 }), (source, key) => {
      build('pcre', `/${source}/ x`).table.lookup(key);
      build('regexp', `/${source}/ x`).table.lookup(key);
    }),
    { numRuns: 500 },
  );
});
