/** XCLIENT: replies, state and log lines are those of Debian's Postfix. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needs, needsRoot } from '../support/programs.ts';
import { type Dialog, playCases } from './both.ts';

const RELAY = ['MAIL FROM:<a@b.example>', 'RCPT TO:<x@remote.example>', 'RSET'];
const FORMS = [
  'XCLIENT',
  'XCLIENT NAME',
  'XCLIENT FOO=bar',
  'XCLIENT NAME=bad+2',
  'XCLIENT ADDR=127.0.0.1 space',
  'XCLIENT NAME=-bad-',
  'XCLIENT ADDR=300.1.1.1',
  'XCLIENT ADDR=IPV6:zzz',
  'XCLIENT PORT=x',
  'XCLIENT PORT=70000',
  'XCLIENT PROTO=LMTP',
  'XCLIENT DESTADDR=x',
  'XCLIENT DESTPORT=x',
  'XCLIENT ADDR=[192.0.2.1]',
  'XCLIENT HELO=',
  `XCLIENT HELO=${'h'.repeat(300)}`,
  'XCLIENT PROTO=[UNAVAILABLE]',
  'XCLIENT LOGIN=[TEMPUNAVAIL]',
];
const DIALOGS: readonly Dialog[] = [
  ['EHLO c', ...FORMS, 'QUIT'],
  ['EHLO c', 'XCLIENT NAME=spike.example ADDR=192.0.2.7', 'EHLO after', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.8 PORT=99', 'HELO d', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT NAME=[TEMPUNAVAIL] ADDR=198.51.100.1', 'EHLO d', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT ADDR=IPV6:2001:db8::1 NAME=six.example', 'EHLO d', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT ADDR=[UNAVAILABLE]', 'EHLO d', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT HELO=given.example PROTO=ESMTP', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT HELO=x+2By PROTO=SMTP ADDR=198.51.100.2 NAME=n.example', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT LOGIN=alice ADDR=198.51.100.2 NAME=n.example', 'EHLO d', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT REVERSE_NAME=r.example NAME=n.example', 'EHLO d', ...RELAY, 'QUIT'],
  ['EHLO c', 'XCLIENT NAME=a+2Eexample ADDR=192+2E0.2.1', 'EHLO d', ...RELAY, 'QUIT'],
  [
    'EHLO c',
    'XCLIENT NAME=A.Example ADDR=127.0.0.1',
    'XCLIENT ADDR=192.0.2.66',
    'EHLO d',
    ...RELAY,
    'QUIT',
  ],
  ['EHLO c', 'MAIL FROM:<a@b.example>', 'XCLIENT NAME=a.example', 'RSET', 'QUIT'],
  ['EHLO c', 'XCLIENT ADDR=192.0.2.9 NAME=t.example', 'XCLIENT NAME=again.example', 'QUIT'],
];

const skip = { ...needs('postfix'), ...needsRoot() };

test('XCLIENT of an authorized client, and of anybody else', skip, async () => {
  const answers = await playCases([
    {
      main: {
        smtpd_authorized_xclient_hosts: '127.0.0.1',
        smtpd_hard_error_limit: '100',
        smtpd_client_restrictions: 'reject_unknown_client_hostname',
      },
      dialogs: DIALOGS,
    },
    { main: {}, dialogs: [['EHLO c', 'XCLIENT NAME=a.example ADDR=192.0.2.1', 'QUIT']] },
  ]);
  assert.equal(answers.length, 2);
  for (const { ours, theirs } of answers) {
    assert.deepEqual(ours.replies, theirs.replies);
    assert.deepEqual(ours.log, theirs.log);
  }
});
