import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseMasterCf } from '../../src/conf/master-cf.ts';
import { checkPipeArguments, inetAddresses } from '../../src/conf/master-words.ts';
import { testConfig } from '../support/config.ts';

const SEED = join(import.meta.dirname, '../fixtures/seed-master.cf');

test("the seed article's master.cf loads, and its flag=R is named with its line", () => {
  const rows = parseMasterCf('master.cf', readFileSync(SEED, 'utf8'));
  assert.ok(rows.ok);
  assert.equal(rows.value.length, 14);
  const faults = checkPipeArguments('master.cf', rows.value);
  assert.deepEqual(
    faults.map(({ text }) => text),
    ['file master.cf: line 16: service cyrus: unknown attribute name "flag"; write flags='],
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
  assert.match(rows.error[0]?.text ?? '', /^file m: line 1: bad field count/);
  assert.match(rows.error[1]?.text ?? '', /^file m: line 2: invalid type field "bad"/);
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
