import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeConfig } from '../../src/conf/config.ts';
import { parseMainCf } from '../../src/conf/main-cf.ts';
import { parseMasterCf } from '../../src/conf/master-cf.ts';
import { testConfig } from '../support/config.ts';

test('parseMainCf() joins continuation lines across comments', () => {
  const { assignments } = parseMainCf('main.cf', 'a = 1\n# c\n  2\n\nb=3\n');
  assert.deepEqual(
    [...assignments].map(([name, { value, line }]) => `${line} ${name}=${value}`),
    ['1 a=1  2', '5 b=3'],
  );
});

test('parseMainCf() names file and line of what it cannot read, and a second assignment', () => {
  const { faults, warnings } = parseMainCf('main.cf', 'a = 1\nnonsense\na = 2\n');
  assert.match(faults[0]?.text ?? '', /^main\.cf, line 2: missing '='/);
  assert.match(warnings[0]?.text ?? '', /^main\.cf, line 3: overriding earlier entry: a=1$/);
});

const BAD: readonly [name: string, value: string, remedy: RegExp][] = [
  ['message_size_limit', '10M', /whole number/],
  ['smtpd_helo_required', 'maybe', /yes or no/],
  ['minimal_backoff_time', '5x', /number and a unit/],
];
for (const [name, value, remedy] of BAD) {
  test(`makeConfig() refuses ${name} = ${value} and says what to write`, () => {
    const made = makeConfig(new Map([[name, value]]));
    assert.ok(!made.ok);
    assert.match(made.error[0]?.text ?? '', remedy);
    assert.ok(made.error[0]?.text.includes(name));
  });
}

test('makeConfig() without compatibility_level means level 0, as in Postfix', () => {
  const made = makeConfig(
    new Map([
      ['myhostname', 'a.example'],
      ['mydestination', 'd.example'],
    ]),
  );
  assert.ok(made.ok);
  assert.equal(made.value.compatibility_level, '0');
  assert.equal(made.value.relay_domains, 'd.example');
  assert.equal(made.value.mynetworks_style, 'subnet');
});

test('times are seconds; lookup() finds what only the user knows', () => {
  const config = testConfig({ minimal_backoff_time: '2m', my_own: '$myhostname!' });
  assert.equal(config.minimal_backoff_time, 120);
  assert.equal(config.lookup('my_own'), 'mail.example.org!');
  assert.equal(config.lookup('never_heard_of'), undefined);
});

test('the parsers survive any text', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseMainCf('f', text);
      parseMasterCf('f', text);
    }),
  );
});
