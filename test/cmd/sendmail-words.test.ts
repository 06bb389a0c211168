import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressesOf, headerRecipients } from '../../src/cmd/sendmail-header.ts';
import { parseOptions } from '../../src/cmd/sendmail-options.ts';

const OPTIONS: readonly [argv: string, expected: Record<string, unknown>][] = [
  ['-t', { extract: true, mode: 'deliver' }],
  ['-i a@b.example', { dotEnds: false, recipients: ['a@b.example'] }],
  ['-oi -f x@y.example a@b.example', { dotEnds: false, sender: 'x@y.example' }],
  ['-ti -fx@y.example', { extract: true, dotEnds: false, sender: 'x@y.example' }],
  ['-it', { extract: true, dotEnds: false }],
  ['-oem -oi -t', { extract: true, dotEnds: false }],
  ['-bs', { mode: 'smtp' }],
  ['-bp', { mode: 'queue' }],
  ['-bi', { mode: 'aliases' }],
  ['-q', { mode: 'flush' }],
  [
    '-N success,delay -R hdrs -V id1 a@b.example',
    { notify: ['SUCCESS', 'DELAY'], ret: 'HDRS', envid: 'id1' },
  ],
  ['-B8BITMIME a@b.example', { body: '8BITMIME' }],
  ['-G -v -Am -n a@b.example', { recipients: ['a@b.example'] }],
  ['-f x@y.example -- -odd@b.example', { recipients: ['-odd@b.example'] }],
  ['-qIABC', { mode: 'flush', flushId: 'ABC' }],
  ['-qRexample.com', { mode: 'flush', flushSite: 'example.com' }],
  ['-q15m', { mode: 'ignored' }],
  ['-bh', { mode: 'ignored' }],
  ['-o7 -o8 -odb a@b.example', { recipients: ['a@b.example'], dotEnds: true }],
  ['-O foo=bar -h 5 -L label a@b.example', { recipients: ['a@b.example'] }],
  ['-r x@y.example -n -v a@b.example', { sender: 'x@y.example' }],
  ['-N never,success a@b.example', { notify: [], warnings: ['bad -N option value -- ignored'] }],
  ['-N never a@b.example', { notify: ['NEVER'], warnings: [] }],
  ['-R all a@b.example', { ret: '', warnings: ['bad -R option value -- ignored'] }],
  ['-F A a@b.example', { fullName: 'A' }],
];

const WRONG: readonly [argv: string, text: string][] = [
  ['-Z', "invalid option -- 'Z'"],
  ['-f', "option requires an argument -- 'f'"],
  ['-bz', 'unsupported: -bz'],
  ['-B foo x', '-B option needs 8BITMIME or 7BIT'],
  ['-qR', 'specify: -qRsitename'],
  ['-qIx y', 'flush queue_id requires no recipient'],
  ['-bp x', 'display queue mode requires no recipient'],
  ['-t -bs', '-t can be used only in delivery mode'],
];
for (const [argv, text] of WRONG) {
  test(`parseOptions() refuses ${argv} in the words of Postfix`, () => {
    const parsed = parseOptions(argv.split(' '));
    assert.ok(!parsed.ok);
    assert.equal(parsed.error.text, text);
  });
}

for (const [argv, expected] of OPTIONS) {
  test(`parseOptions() reads ${argv}`, () => {
    const parsed = parseOptions(argv.split(' '));
    assert.ok(parsed.ok, parsed.ok ? '' : parsed.error.text);
    const { value } = parsed;
    for (const [name, want] of Object.entries(expected)) {
      assert.deepEqual(Reflect.get(value, name), want, name);
    }
  });
}

const LISTS: readonly [list: string, addresses: readonly string[]][] = [
  ['a@b.example', ['a@b.example']],
  ['A B <a@b.example>, "C, D" <c@d.example>', ['a@b.example', 'c@d.example']],
  ['a@b.example (one, two), c@d.example', ['a@b.example', 'c@d.example']],
  ['team: a@b.example, c@d.example;, e@f.example', ['a@b.example', 'c@d.example', 'e@f.example']],
  ['undisclosed-recipients:;', []],
];

for (const [list, addresses] of LISTS) {
  test(`addressesOf() finds ${addresses.length} in ${list}`, () =>
    assert.deepEqual(addressesOf(list), addresses));
}

test('headerRecipients() reads To, Cc and Bcc, folded, and stops at the body', () => {
  const text = 'To: a@x.example,\n b@x.example\nBCC: c@x.example\nSubject: s\n\nCc: d@x.example\n';
  assert.deepEqual(headerRecipients(Buffer.from(text)), [
    'a@x.example',
    'b@x.example',
    'c@x.example',
  ]);
});

test('headerRecipients() prefers Resent- fields', () => {
  const text = 'Resent-To: r@x.example\nTo: a@x.example\n\n';
  assert.deepEqual(headerRecipients(Buffer.from(text)), ['r@x.example']);
});
