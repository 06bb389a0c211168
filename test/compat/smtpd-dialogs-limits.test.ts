/** Rates, errors, junk, pipelining and bare newlines: replies and log lines are those of Postfix. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { needs, needsRoot } from '../support/programs.ts';
import { type Both, type Case, playCases } from './both.ts';

const MAIL = 'MAIL FROM:<a@b.example>';
const RCPT = 'RCPT TO:<user@example.org>';
const many = (count: number, line: string): string[] => Array.from({ length: count }, () => line);

const CASES: Readonly<Record<string, Case>> = {
  'rates of recipients, messages and connections': {
    main: {
      smtpd_client_recipient_rate_limit: '3',
      smtpd_client_message_rate_limit: '3',
      smtpd_client_connection_rate_limit: '3',
    },
    dialogs: [
      ['EHLO c', MAIL, ...many(5, RCPT), 'RSET', MAIL, 'RSET', MAIL, 'RSET', MAIL, 'QUIT'],
      ['EHLO c', MAIL, 'QUIT'],
      ['QUIT'],
      ['QUIT'],
    ],
  },
  'clients that are excepted': {
    main: {
      smtpd_client_event_limit_exceptions: '127.0.0.0/8',
      smtpd_client_message_rate_limit: '1',
      smtpd_client_connection_rate_limit: '1',
    },
    dialogs: [['EHLO c', MAIL, 'RSET', MAIL, 'QUIT'], ['QUIT']],
  },
  'too many errors, too much junk': {
    main: {
      smtpd_soft_error_limit: '2',
      smtpd_hard_error_limit: '4',
      smtpd_junk_command_limit: '3',
    },
    dialogs: [
      ['EHLO c', 'FOO', 'RCPT TO:<a>', 'DATA', 'MAIL', 'NOOP', 'NOOP'],
      ['EHLO c', ...many(9, 'NOOP')],
      ['EHLO c', ...many(9, 'RSET')],
      ['HELO c', ...many(9, 'VRFY user@example.org')],
    ],
  },
  'guards against pipelining and other protocols': {
    main: { smtpd_forbid_unauth_pipelining: 'yes' },
    dialogs: [
      ['EHLO c', '+NOOP'],
      ['HELO c', '+NOOP'],
      ['HELO c', MAIL, `+${RCPT}`],
      ['EHLO c', MAIL, `+${RCPT}`, '+RSET', 'QUIT'],
      ['EHLO c', MAIL, RCPT, 'DATA', '+NOOP'],
      ['GET / HTTP/1.0'],
      ['EHLO c', 'POST / HTTP/1.0'],
      ['EHLO c', 'Subject: x'],
      ['EHLO c', '{"a":1}'],
    ],
  },
  reject_unauth_pipelining: {
    main: {
      smtpd_forbid_unauth_pipelining: 'no',
      smtpd_data_restrictions: 'reject_unauth_pipelining',
    },
    dialogs: [
      ['EHLO c', MAIL, RCPT, 'DATA', '+RSET', 'QUIT'],
      ['EHLO c', MAIL, RCPT, 'DATA', 'x\r\n.', 'QUIT'],
    ],
  },
  'lines that are logged, and lines that are not': {
    main: { smtpd_hard_error_limit: '100' },
    dialogs: [
      ['EHLO c', 'MAIL FROM:<a b', 'MAIL FROM:<a@b.example> SIZE=99999999', 'MAIL FROM:<a@@>'],
      ['EHLO c', MAIL, 'RCPT TO:<>', 'RCPT TO:<-x@example.org>', 'RCPT', 'RCPT TO:<a@b> X', 'DATA'],
      ['EHLO c', MAIL, 'RCPT TO:<nobody@example.org>', RCPT, 'RCPT TO:<x@remote.example>', 'QUIT'],
      ['EHLO c', `NOOP ${'x'.repeat(1500)}`, 'VRFY nobody@example.org', 'QUIT'],
    ],
  },
  'bare newlines refused': {
    main: { smtpd_forbid_bare_newline: 'reject' },
    dialogs: [
      ['EHLO c', 'NOOP\n'],
      ['EHLO c', MAIL, RCPT, 'DATA', 'a\nb\r\n.'],
    ],
  },
};

const skip = { ...needs('postfix'), ...needsRoot() };
let answers: readonly Both[] = [];
before(async () => {
  if (!skip.skip) answers = await playCases(Object.values(CASES));
});

for (const [at, name] of Object.keys(CASES).entries()) {
  test(name, skip, () => {
    const { ours, theirs } = answers[at] ?? assert.fail('not played');
    assert.deepEqual(ours.replies, theirs.replies);
    assert.deepEqual(ours.log, theirs.log);
  });
}
