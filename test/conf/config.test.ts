import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeConfig } from '../../src/conf/config.ts';
import { parseMainCf } from '../../src/conf/main-cf.ts';
import { checkPipeArguments, inetAddresses, parseMasterCf } from '../../src/conf/master-cf.ts';
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
  assert.match(faults[0]?.text ?? '', /^main\.cf line 2: missing '='/);
  assert.match(
    warnings[0]?.text ?? '',
    /^main\.cf line 3: overriding earlier entry: a=1 \(line 1\)/,
  );
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

const SEED = join(import.meta.dirname, '../fixtures/seed-master.cf');

test("the seed article's master.cf loads, and its flag=R is named with its line", () => {
  const rows = parseMasterCf('master.cf', readFileSync(SEED, 'utf8'));
  assert.ok(rows.ok);
  assert.equal(rows.value.length, 14);
  const faults = checkPipeArguments('master.cf', rows.value);
  assert.deepEqual(
    faults.map(({ text }) => text),
    ['master.cf line 16: service cyrus: unknown attribute name "flag"; write flags='],
  );
});

test('parseMasterCf() reads -o in both forms and arguments in braces', () => {
  const rows = parseMasterCf(
    'm',
    'smtp inet n - n - 5 smtpd\n  -v -o a=b,c\n -o { d = e f } { x y }\n',
  );
  assert.ok(rows.ok);
  const [row] = rows.value;
  assert.deepEqual(
    [...(row?.overrides ?? [])],
    [
      ['a', 'b,c'],
      ['d', 'e f'],
    ],
  );
  assert.deepEqual(row?.args, ['x y']);
  assert.equal(row?.maxproc, 5);
});

test('parseMasterCf() names what is wrong with a row', () => {
  const rows = parseMasterCf('m', 'smtp inet n - n\nx bad n - n - - y\n');
  assert.ok(!rows.ok);
  assert.match(rows.error[0]?.text ?? '', /^m line 1: bad field count/);
  assert.match(rows.error[1]?.text ?? '', /^m line 2: bad type "bad"/);
});

const ADDRESSES: readonly [service: string, listens: string[]][] = [
  ['25', ['127.0.0.1:25']],
  ['192.0.2.1:submission', ['192.0.2.1:587']],
  ['[::1]:2525', ['::1:2525']],
  ['localhost:smtps', ['127.0.0.1:465']],
];
for (const [service, listens] of ADDRESSES) {
  test(`inetAddresses() of ${service}`, () => {
    const found = inetAddresses(service, testConfig({ inet_interfaces: '127.0.0.1' }));
    assert.ok(found.ok);
    assert.deepEqual(
      found.value.map(({ host, port }) => `${host}:${port}`),
      listens,
    );
  });
}

test('the parsers survive any text', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseMainCf('f', text);
      parseMasterCf('f', text);
    }),
  );
});
