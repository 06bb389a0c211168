/** Dialogs as transcripts: what Postfix answers, we answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HarnessOptions, play, playSession, startSmtpd } from './harness.ts';

const DIALOGS: readonly (readonly [string, string, HarnessOptions?])[] = [
  [
    'a message, one command at a time',
    `S: 220 mail.example.org ESMTP Postern
     C: EHLO client.example
     S: 250-mail.example.org|250-PIPELINING|250-SIZE 10240000|250-VRFY|250-ENHANCEDSTATUSCODES|250-8BITMIME|250-DSN|250-SMTPUTF8|250 CHUNKING
     C: MAIL FROM:<a@remote.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2Dy
     S: 250 2.1.0 Ok
     C: RCPT TO:<user@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;u@x
     S: 250 2.1.5 Ok
     C: DATA
     S: 354 End data with <CR><LF>.<CR><LF>
     C: Subject: x
     C:
     C: body
     C: .
     S: 250 2.0.0 Ok: queued as MEM000000001
     C: QUIT
     S: 221 2.0.0 Bye`,
  ],
  [
    'order of commands',
    `S: 220 *
     C: RCPT TO:<user@example.org>
     S: 503 5.5.1 Error: need MAIL command
     C: DATA
     S: 503 5.5.1 Error: need RCPT command
     C: MAIL FROM:<a@b.example>
     S: 250 2.1.0 Ok
     C: MAIL FROM:<a@b.example>
     S: 503 5.5.1 Error: nested MAIL command
     C: DATA
     S: 554 5.5.1 Error: no valid recipients
     C: RCPT TO:<user@remote.example>
     S: 554 5.7.1 <user@remote.example>: Relay access denied
     C: DATA
     S: 554 5.5.1 Error: no valid recipients
     C: RSET
     S: 250 2.0.0 Ok
     C: MAIL FROM:<>
     S: 250 2.1.0 Ok
     C: HELO client
     S: 250 mail.example.org
     C: RCPT TO:<user@example.org>
     S: 503 5.5.1 Error: need MAIL command`,
  ],
  [
    'syntax as tolerant as Postfix',
    `S: 220 *
     C: EHLO
     S: 501 Syntax: EHLO hostname
     C: HELO c
     S: 250 mail.example.org
     C: mail from:a@b.example
     S: 250 2.1.0 Ok
     C: rcpt to: <user@example.org>
     S: 250 2.1.5 Ok
     C: rcpt to: <user@example.org
     S: 501 5.1.3 Bad recipient address syntax
     C: RCPT TO:<user@example..org>
     S: 501 5.1.3 Bad recipient address syntax
     C: RCPT TO:user@example.org
     S: 250 2.1.5 Ok
     C: RCPT TO:<root>
     S: 250 2.1.5 Ok
     C: RCPT TO:<@hop.example:user@example.org>
     S: 250 2.1.5 Ok
     C: RCPT TO:<"a b"@example.org>
     S: 250 2.1.5 Ok
     C: RCPT TO:<a b@example.org>
     S: 501 5.1.3 Bad recipient address syntax
     C: RCPT TO:<>
     S: 501 5.1.3 Bad recipient address syntax
     C: RCPT TO:<-x@example.org>
     S: 501 5.1.3 Bad recipient address syntax
     C: RCPT user@example.org
     S: 501 5.5.4 Syntax: RCPT TO:<address>
     C: RCPT TO:<nobody@example.org>
     S: 550 5.1.1 <nobody@example.org>: Recipient address rejected: User unknown in local recipient table
     C: RCPT TO:<down@example.org>
     S: 451 4.3.0 <down@example.org>: Temporary lookup failure`,
  ],
  [
    'options',
    `S: 220 *
     C: EHLO c
     S: 250-*
     C: MAIL FROM:<a@b.example> FOO=bar
     S: 555 5.5.4 Unsupported option: FOO=bar
     C: MAIL FROM:<a@b.example> BODY=BINARYMIME
     S: 555 5.5.4 Unsupported option: BODY=BINARYMIME
     C: MAIL FROM:<a@b.example> SIZE=x
     S: 501 5.5.4 Bad message size syntax
     C: MAIL FROM:<a@b.example> SIZE=99999999
     S: 552 5.3.4 Message size exceeds fixed limit
     C: MAIL FROM:<a@b.example> RET=ALL
     S: 501 5.5.4 Bad RET parameter syntax
     C: MAIL FROM:<ü@b.example>
     S: 553 5.6.7 Must declare SMTPUTF8 to send unicode address
     C: MAIL FROM:<ü@b.example> SMTPUTF8
     S: 250 2.1.0 Ok
     C: RCPT TO:<user@example.org> NOTIFY=NEVER,SUCCESS
     S: 501 5.5.4 Error: Bad NOTIFY parameter syntax
     C: RCPT TO:<user@example.org> ORCPT=x
     S: 501 5.5.4 Error: Bad ORCPT parameter syntax`,
  ],
  [
    'other commands',
    `S: 220 *
     C: NOOP whatever
     S: 250 2.0.0 Ok
     C: RSET x
     S: 501 5.5.4 Syntax: RSET
     C: VRFY user@example.org
     S: 252 2.0.0 user@example.org
     C: VRFY nobody@example.org
     S: 550 5.1.1 <nobody@example.org>: Recipient address rejected: User unknown in local recipient table
     C: EXPN list
     S: 500 5.5.2 Error: command not recognized
     C: WIZ
     S: 500 5.5.2 Error: command not recognized
     C:
     S: 500 5.5.2 Error: bad syntax
     C: AUTH PLAIN AGEAYg==
     S: 503 5.5.1 Error: authentication not enabled
     C: STARTTLS
     S: 502 5.5.1 Error: command not implemented
     C: XCLIENT ADDR=1.2.3.4
     S: 550 5.7.0 Error: insufficient authorization`,
  ],
  [
    'a web browser is sent away',
    `S: 220 *
     C: GET / HTTP/1.1
     S: 221 2.7.0 Error: I can break rules, too. Goodbye.
     S: `,
  ],
  [
    'HELO is required where it is',
    `S: 220 *
     C: MAIL FROM:<a@b.example>
     S: 503 5.5.1 Error: send HELO/EHLO first`,
    { main: { smtpd_helo_required: 'yes' } },
  ],
  [
    'too many recipients',
    `S: 220 *
     C: HELO c
     S: 250 *
     C: MAIL FROM:<a@b.example>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 452 4.5.3 Error: too many recipients`,
    { main: { smtpd_recipient_limit: '2' } },
  ],
  [
    'too many errors',
    `S: 220 *
     C: X
     S: 500 *
     C: X
     S: 500 *
     C: X
     S: 421 4.7.0 mail.example.org Error: too many errors
     S: `,
    { main: { smtpd_hard_error_limit: '2' } },
  ],
  [
    'an oversized message is read and refused, the session goes on',
    `S: 220 *
     C: HELO c
     S: 250 *
     C: MAIL FROM:<a@b.example>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 250 *
     C: DATA
     S: 354 *
     C: Subject: a long line that is longer than the limit says it may be, and then some
     C: .
     S: 552 5.3.4 Error: message file too big
     C: MAIL FROM:<a@b.example>
     S: 250 2.1.0 Ok`,
    { main: { message_size_limit: '30' } },
  ],
  [
    'BDAT',
    `S: 220 *
     C: EHLO c
     S: 250-*
     C: MAIL FROM:<a@b.example>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 250 *
     C: BDAT 5
     C: a:b
     S: 250 2.0.0 Ok: 5 bytes
     C: DATA
     S: 503 5.5.1 Error: DATA after BDAT
     C: RCPT TO:<user@example.org>
     S: 503 5.5.1 Error: RCPT after BDAT
     C: BDAT 2
     C:
     S: 250 2.0.0 Ok: 2 bytes
     C: BDAT 3 LAST
     C: .
     S: 250 2.0.0 Ok: queued as MEM000000001
     C: BDAT 0 LAST
     S: 503 5.5.1 Error: need RCPT command
     C: BDAT 6
     C: QUIT
     S: 503 5.5.1 Error: need RCPT command
     C: NOOP
     S: 250 2.0.0 Ok`,
  ],
  [
    'restrictions by table',
    `S: 220 *
     C: HELO bad.example
     S: 250 *
     C: MAIL FROM:<bad@spam.example>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 554 5.7.1 <bad@spam.example>: Sender address rejected: go away
     C: RSET
     S: 250 *
     C: MAIL FROM:<x@slow.example>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 450 4.7.1 <x@slow.example>: Sender address rejected: later
     C: RSET
     S: 250 *
     C: MAIL FROM:<x@down.example>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 451 4.3.5 Server configuration error
     C: RCPT TO:<Postmaster>
     S: 250 2.1.5 Ok`,
    {
      main: { smtpd_sender_restrictions: 'check_sender_access memory:senders' },
      tables: {
        senders: {
          'spam.example': 'REJECT go away',
          'slow.example': '450 later',
          'down.example': '!down',
        },
      },
    },
  ],
  [
    'an unknown restriction is a configuration error when it is reached',
    `S: 220 *
     C: HELO c
     S: 250 *
     C: MAIL FROM:<a@b.example>
     S: 250 *
     C: RCPT TO:<user@example.org>
     S: 451 4.3.5 Server configuration error`,
    { main: { smtpd_recipient_restrictions: 'reject_everything_bad' } },
  ],
  [
    'defer_unauth_destination, defer_if_permit, classes and warn_if_reject',
    `S: 220 *
     C: HELO c
     S: 250 *
     C: MAIL FROM:<a@b.example>
     S: 250 *
     C: RCPT TO:<x@remote.example>
     S: 454 4.7.1 <x@remote.example>: Relay access denied
     C: RCPT TO:<user@example.org>
     S: 250 2.1.5 Ok
     C: RCPT TO:<root@example.org>
     S: 554 5.7.1 <root@example.org>: Recipient address rejected: Access denied`,
    {
      main: {
        smtpd_relay_restrictions: 'permit_mynetworks, defer_unauth_destination',
        smtpd_restriction_classes: 'strict',
        strict: 'reject',
        smtpd_recipient_restrictions: 'warn_if_reject reject, check_recipient_access memory:rcpt',
      },
      tables: { rcpt: { 'root@example.org': 'strict' } },
    },
  ],
];

for (const [name, transcript, options] of DIALOGS) {
  test(name, () => playSession(transcript, options));
}

test('the log of a message is in the shape that pflogsumm reads', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await play(
      client,
      `S: 220 *
       C: EHLO c.example
       S: 250-*
       C: MAIL FROM:<a@b.example>
       S: 250 *
       C: RCPT TO:<x@remote.example>
       S: 554 *
       C: RCPT TO:<user@example.org>
       S: 250 *
       C: DATA
       S: 354 *
       C: Message-ID: <1@x>
       C:
       C: ..dot
       C: .
       S: 250 *
       C: QUIT
       S: 221 *`,
    );
    while (!smtpd.log.at(-1)?.startsWith('disconnect')) await new Promise((r) => setImmediate(r));
    assert.deepEqual(smtpd.log, [
      'connect from unknown[127.0.0.1]',
      'NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 554 5.7.1 <x@remote.example>: Relay access denied; from=<a@b.example> to=<x@remote.example> proto=ESMTP helo=<c.example>',
      'MEM000000001: client=unknown[127.0.0.1]',
      'MEM000000001: message-id=<1@x>',
      'disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=1/2 data=1 quit=1 commands=5/6',
    ]);
    const [entry] = smtpd.arrived;
    assert.equal(entry?.sender, 'a@b.example');
    assert.deepEqual(
      entry?.recipients.map(({ address }) => address),
      ['user@example.org'],
    );
    assert.match(
      await smtpd.body(),
      /^Received: from c\.example[\s\S]*Message-ID: <1@x>\r\n\r\n\.dot\r\n$/,
    );
  } finally {
    await smtpd.close();
  }
});

test('a client that leaves is logged and leaves nothing behind', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await play(
      client,
      `S: 220 *\nC: HELO c\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<user@example.org>\nS: 250 *\nC: DATA\nS: 354 *`,
    );
    client.write('half a line');
    client.socket.destroy();
    while (!smtpd.log.at(-1)?.startsWith('disconnect')) await new Promise((r) => setTimeout(r, 5));
    assert.match(
      smtpd.log.at(-2) ?? '',
      /^MEM000000001: lost connection after DATA \(\d+ bytes\) from unknown\[127\.0\.0\.1\]$/,
    );
    assert.equal(smtpd.arrived.length, 0);
    assert.equal(smtpd.server.connections.size, 0);
  } finally {
    await smtpd.close();
  }
});

test('a pipelined transaction is answered in full, in order', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await play(client, 'S: 220 *\nC: EHLO c\nS: 250-*');
    for (let i = 0; i < 3; i += 1) {
      client.write(
        'MAIL FROM:<a@b.example>\r\nRCPT TO:<x@remote.example>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n',
      );
      await play(client, 'S: 250 2.1.0 Ok\nS: 554 *\nS: 250 2.1.5 Ok\nS: 354 *');
      client.write('A: b\r\n\r\nc\r\n.\r\nRSET\r\n');
      await play(client, 'S: 250 2.0.0 Ok: queued as *\nS: 250 2.0.0 Ok');
    }
    assert.equal(smtpd.arrived.length, 3);
  } finally {
    await smtpd.close();
  }
});

test('a client that closes its side at once still gets every reply', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await client.reply();
    client.socket.end('EHLO c\r\n');
    assert.match(await client.reply(), /^250-/);
    assert.equal(await client.reply(), '');
  } finally {
    await smtpd.close();
  }
});

for (const [what, input, lines] of [
  [
    'behind DATA',
    'HELO c\r\n|MAIL FROM:<a@b>\r\n|RCPT TO:<user@example.org>\r\n|DATA\r\nSubject: x\r\n\r\n.\r\n',
    '554 5.5.0 Error: SMTP protocol synchronization',
  ],
  ['behind EHLO', 'EHLO c\r\nNOOP\r\n', '554 5.5.0 Error: SMTP protocol synchronization'],
] as const) {
  test(`pipelining ${what} ends the session`, async () => {
    const smtpd = await startSmtpd();
    try {
      const client = await smtpd.client();
      await client.reply();
      let last = '';
      for (const part of input.split('|')) {
        client.write(part);
        last = await client.reply();
      }
      assert.equal(last, lines);
      assert.equal(await client.reply(), '');
      assert.equal(smtpd.arrived.length, 0);
    } finally {
      await smtpd.close();
    }
  });
}

test('a full disk is 452, a broken queue 451', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await play(client, 'S: 220 *\nC: HELO c\nS: 250 *');
    smtpd.store.fault = { kind: 'no-space', reason: 'disk full' };
    assert.equal(
      await client.say('MAIL FROM:<a@b.example>'),
      '452 4.3.1 Insufficient system storage',
    );
    smtpd.store.fault = undefined;
    await play(
      client,
      'C: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<user@example.org>\nS: 250 *\nC: DATA\nS: 354 *',
    );
    smtpd.store.fault = { kind: 'busy', reason: 'io error' };
    await play(client, 'C: .\nS: 451 4.3.0 Error: queue file write error');
  } finally {
    await smtpd.close();
  }
});
