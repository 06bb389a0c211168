/** The same commands to Debian's Postfix and to us: the replies are the same, but for a short list. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Client, startSmtpd } from '../smtpd/harness.ts';
import { freePorts, startPostfix } from '../support/instance.ts';
import { needs, needsRoot } from '../support/programs.ts';

const LIMITS = {
  smtpd_error_sleep_time: '0s',
  smtpd_hard_error_limit: '1000',
  smtpd_soft_error_limit: '1000',
};

const OPENING = [
  '',
  'FOO',
  'HELO',
  'EHLO',
  'NOOP',
  'NOOP x',
  'RSET x',
  'VRFY',
  'VRFY user@example.org',
  'VRFY nobody@example.org',
  'VRFY user',
  'EXPN a',
  'STARTTLS',
  'AUTH PLAIN x',
  'XCLIENT a=b',
  'DATA',
  'RCPT TO:<user@example.org>',
  'BDAT 0 LAST',
  'HELO c',
];
const MAILS = [
  'MAIL',
  'MAIL FROM',
  'MAIL FROM:',
  'MAIL TO:<a>',
  'MAIL FROM:<a@b.example',
  'MAIL FROM: a@b.example',
  'MAIL FROM:<a b@c>',
  'MAIL FROM:<"a b"@c>',
  'MAIL FROM:<a@b.example> FOO',
  'MAIL FROM:<a@b.example> FOO=1',
  'MAIL FROM:<a@b.example> SIZE=abc',
  'MAIL FROM:<a@b.example> BODY=FOO',
  'MAIL FROM:<a@b.example> RET=x',
  'MAIL FROM:<a@b.example> ENVID=',
  'MAIL FROM:<a@b.example> AUTH=<>',
  'MAIL FROM:<a@b.example> SIZE=1 SIZE=2',
  'MAIL FROM:<a@>',
  'MAIL FROM:<a@b@c>',
  'MAIL FROM:<a..b@c>',
  'MAIL FROM:<>',
].flatMap((line) => [line, 'RSET']);
const RCPTS = [
  'MAIL FROM:<a@b.example>',
  'MAIL FROM:<a@b.example>',
  'DATA',
  'DATA x',
  'RCPT',
  'RCPT TO',
  'RCPT TO:',
  'RCPT TO:<>',
  'RCPT TO:<user@example.org> FOO=1',
  'RCPT TO:<user@example.org> NOTIFY=FOO',
  'RCPT TO:<user@example.org> ORCPT=FOO',
  'RCPT TO:<nobody@example.org>',
  'RCPT TO:<x@remote.example>',
  'RCPT TO:<-x@example.org>',
  'RCPT TO:<user@example.org.>',
  'RCPT TO:user@example.org',
  'RCPT TO:<user@[1.2.3]>',
  'RCPT TO:<user@example..org>',
  'RCPT TO:<user@example.org',
  'RCPT TO:<<user@example.org>',
  'RCPT TO:<user@example.org>',
  'DATA x',
  'RSET',
  'MAIL FROM:<a@b.example> SIZE=99999999',
  'BDAT',
];

const shown = (text: string): string => text.replace(/queued as \w+/, 'queued as ID');

test('replies equal those of Postfix', { ...needs('postfix'), ...needsRoot() }, async () => {
  const [port = 0] = await freePorts(1);
  const postfix = await startPostfix({
    main: {
      ...LIMITS,
      mydestination: 'example.org',
      myorigin: 'example.org',
      myhostname: 'mail.example.org',
      local_recipient_maps: 'inline:{user=x,root=x}',
      alias_maps: '',
      mynetworks: '192.0.2.0/24',
      smtpd_peername_lookup: 'no',
      smtpd_relay_restrictions: 'permit_sasl_authenticated, reject_unauth_destination',
    },
    master: `127.0.0.1:${port} inet n - n - - smtpd\n`,
  });
  const own = await startSmtpd({ main: LIMITS });
  try {
    const theirs = new Client(connect({ port, host: '127.0.0.1', noDelay: true }));
    const ours = await own.client();
    assert.match(await theirs.reply(), /^220 mail\.example\.org ESMTP/);
    await ours.reply();
    const differences: string[] = [];
    for (const line of [...OPENING, ...MAILS, ...RCPTS]) {
      const want = shown(await theirs.say(line));
      const got = shown(await ours.say(line));
      if (want !== got) differences.push(`${line}\n  Postfix: ${want}\n  Postern: ${got}`);
    }
    theirs.socket.destroy();
    assert.deepEqual(differences, []);
  } finally {
    await own.close();
    await postfix.stop();
  }
});
