/** `postern check`: every setting that does nothing, every fault, each with file and line. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { check } from '../../src/cmd/check.ts';
import { keptIo } from '../support/command-io.ts';

const scratch = mkdtempSync(join(tmpdir(), 'postern-check-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

async function run(main: string, master: string) {
  writeFileSync(join(scratch, 'main.cf'), main);
  writeFileSync(join(scratch, 'master.cf'), master);
  const { io, errors } = keptIo(scratch);
  const status = await check(scratch, io);
  return { status, lines: errors().replaceAll(`${scratch}/`, '').trimEnd().split('\n') };
}

const ROW = 'smtp inet n - n - - smtpd';
const LEVEL = 'compatibility_level = 3.11\n';

const WARNINGS: readonly [what: string, main: string, master: string, line: RegExp][] = [
  [
    'a parameter of Postfix without effect',
    'postscreen_greet_wait = 3s\n',
    '',
    /^postern: warning: main\.cf, line 2: postscreen_greet_wait is a parameter of Postfix that is not implemented here: there is no postscreen/,
  ],
  [
    'a parameter of a service without effect',
    'smtp_delivery_slot_cost = 3\n',
    '\nsmtp unix - - n - - smtp\n',
    /main\.cf, line 2: smtp_delivery_slot_cost is a parameter of Postfix that is not implemented/,
  ],
  [
    'a name that nothing knows',
    'relay_hsot = x\n',
    '',
    /^postern: warning: main\.cf, line 2: unused parameter: relay_hsot; /,
  ],
  [
    'a name that is going',
    '\nsmtpd_use_tls = yes\n',
    '',
    /main\.cf, line 3: support for parameter "smtpd_use_tls" will be removed; instead, specify "smtpd_tls_security_level"$/,
  ],
  [
    'a name that is gone',
    'lmtp_cache_connection = yes\n',
    '',
    /main\.cf, line 2: support for parameter lmtp_cache_connection has been removed; instead, specify "lmtp_connection_cache_on_demand"$/,
  ],
  [
    'a reference to nothing',
    'relayhost = $my_hub\n',
    '',
    /main\.cf, line 2: undefined parameter: my_hub$/,
  ],
  ['a comment after a value', 'relayhost = x # y\n', '', /main\.cf, line 2: #comment after other/],
  [
    'the second of two settings',
    'relayhost = x\nrelayhost = y\n',
    '',
    /main\.cf, line 3: overriding/,
  ],
  ['a stray line', ' x\n', '', /main\.cf, line 1: logical line must not start with whitespace/],
  ['a wrong -o', '', ` -o no_such=1\n`, /file master\.cf: line 1: -o no_such: unused parameter/],
  [
    'a -o without effect',
    '',
    ` -o smtpd_milters=x\n`,
    /file master\.cf: line 1: -o smtpd_milters: smtpd_milters is a parameter of Postfix that is not/,
  ],
  [
    'a row twice',
    '',
    `\n${ROW}\n`,
    /file master\.cf: line 1: service smtp\/inet is defined again in line 2/,
  ],
  [
    'a program that is not here',
    '',
    '\nx unix - - n - - postscreen\n',
    /line 2: command postscreen is not/,
  ],
  ['chroot', '', '\nx unix - - y - - smtp\n', /line 2: chroot = y cannot be honoured/],
];
for (const [what, main, master, line] of WARNINGS) {
  test(`check warns of ${what}`, async () => {
    const text = main.startsWith(' ') ? `${main}${LEVEL}` : `${LEVEL}${main}`;
    const done = await run(text, `${ROW}${master === '' ? '\n' : master}`);
    assert.equal(done.status, 0);
    assert.equal(done.lines.length, 1, done.lines.join('\n'));
    assert.match(done.lines[0] ?? '', line);
  });
}

const FAULTS: readonly [what: string, main: string, master: string, line: RegExp][] = [
  ['a value that does not fit', 'queue_minfree = 1M\n', '', /main\.cf, line 2: bad numerical/],
  [
    'a bad value of a parameter that a service made',
    'relay_destination_concurrency_limit = 2x\n',
    '',
    /main\.cf, line 2: bad numerical configuration: relay_destination_concurrency_limit = 2x/,
  ],
  [
    'a bad time of a service',
    'list_time_limit = 5y\n',
    '',
    /line 2: parameter list_time_limit: bad time/,
  ],
  ['a line without =', 'nonsense\n', '', /main\.cf, line 2: missing '='/],
  [
    'a reference that is not closed',
    'relayhost = ${x\n',
    '',
    /main\.cf, line 2: parameter relayhost: tr/,
  ],
  [
    'a bad column',
    '',
    '\nx unix z - n - - smtp\n',
    /file master\.cf: line 2: invalid private field "z"/,
  ],
  [
    'a private inet row',
    '',
    '\nx inet y - n - - smtpd\n',
    /line 2: inet service cannot be private/,
  ],
  ['a brace that is not closed', '', ' -o { a = b\n', /file master\.cf: line 1: missing '}'/],
  [
    'a bad -o value',
    '',
    ' -o smtpd_timeout=5x\n',
    /line 1: -o option: parameter smtpd_timeout: bad time/,
  ],
  [
    'an attribute of pipe',
    '',
    '\nx unix - n n - - pipe flag=R\n',
    /line 2: service x: unknown attribute name "flag"; write flags=/,
  ],
];
for (const [what, main, master, line] of FAULTS) {
  test(`check refuses ${what}`, async () => {
    const done = await run(`${LEVEL}${main}`, `${ROW}${master === '' ? '\n' : master}`);
    assert.equal(done.status, 1);
    assert.ok(
      done.lines.some((each) => each.startsWith('postern: error: ') && line.test(each)),
      done.lines.join('\n'),
    );
  });
}

test('check says nothing about a plain site, its own parameters and those that it uses', async () => {
  const main = `${LEVEL}my_hub = hub.example
relayhost = [$my_hub]
smtpd_restriction_classes = strict_ones
strict_ones = reject
relay_destination_concurrency_limit = 3
sending_policy_default = staff
`;
  const done = await run(main, `${ROW}\nrelay unix - - n - - smtp\n`);
  assert.deepEqual(done, { status: 0, lines: [''] });
});

test('check lists the old defaults that a low level keeps', async () => {
  const done = await run('compatibility_level = 2\nsmtp_tls_security_level = may\n', `${ROW}\n`);
  assert.deepEqual(done.lines, [
    'postern: Postern is using backwards-compatible default settings',
    'postern: See https://www.postfix.org/COMPATIBILITY_README.html for details',
    'postern: To disable backwards compatibility use "postconf compatibility_level=3.11" and "postern reload"',
    'postern: using backwards-compatible default setting smtpd_relay_before_recipient_restrictions=no',
    'postern: using backwards-compatible default setting smtp_tls_fingerprint_digest=md5',
    'postern: using backwards-compatible default setting lmtp_tls_fingerprint_digest=md5',
  ]);
});

test("the seed article's master.cf: one fault, flag=R, with its line", async () => {
  const master = readFileSync(join(import.meta.dirname, '../fixtures/seed-master.cf'), 'utf8');
  const done = await run(`${LEVEL}virtual_maps = hash:/etc/postern/virtual\n`, master);
  assert.deepEqual(
    done.lines.filter((line) => line.startsWith('postern: error:')),
    [
      'postern: error: file master.cf: line 16: service cyrus: unknown attribute name "flag"; write flags=',
    ],
  );
  assert.equal(done.status, 1);
});
