/**
 * Debian's Postfix as the next hop and as the client, over verified TLS: what arrives is what was
 * sent, byte for byte below the trace headers.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '../support/instance.ts';
import {
  messagesIn,
  type Pair,
  type SinkProgram,
  startPair,
  startSinkProgram,
  submit,
  withoutTrace,
} from '../support/postfix-pair.ts';
import { needs, needsRoot } from '../support/programs.ts';

const skip = { ...needs('postfix', 'smtp-sink'), ...needsRoot() };
let pair: Pair;
let sink: SinkProgram;
let plainSink: SinkProgram;
before(async () => {
  if (skip.skip !== undefined) return;
  sink = await startSinkProgram();
  plainSink = await startSinkProgram(['-8']);
  pair = await startPair({ sinkPort: sink.port, plainSinkPort: plainSink.port });
});
after(async () => {
  if (skip.skip !== undefined) return;
  await pair.stop();
  await Promise.all([sink.stop(), plainSink.stop()]);
});

const HEAD =
  'From: a@client.example\r\nTo: b@somewhere.example\r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\nMessage-ID: <x@client.example>\r\n';
const x = (count: number): string => 'x'.repeat(count);
const ATTACHMENT = Buffer.from(Array.from({ length: 3_000 }, (_, i) => (i * 7) & 0xff))
  .toString('base64')
  .replaceAll(/.{76}/g, '$&\r\n');

/** Messages as latin1 text: a character is a byte. */
const MESSAGES: Readonly<Record<string, string>> = {
  plain: `${HEAD}Subject: plain\r\n\r\nHello.\r\n`,
  attachments: `${HEAD}Subject: two parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_b"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nSee there.\r\n--=_b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="a.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n${ATTACHMENT}\r\n--=_b--\r\n`,
  '8-bit': `${HEAD}Subject: 8 bit\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe, \xff\xfe \x80\r\n`,
  'long lines': `${HEAD}Subject: long\r\n\r\n${x(998)}\r\n${x(997)}\r\nend\r\n`,
  'leading dots': `${HEAD}Subject: dots\r\n\r\n.\r\n..\r\n. x\r\n.x\r\n...\r\nend.\r\n`,
  'null bytes': `${HEAD}Subject: null\r\n\r\na\x00b\r\n\x00\r\n\x01\x02\x7f\r\n`,
  'blank lines and blanks': `${HEAD}Subject: blanks\r\n\r\n\r\n\r\n  \r\n\t\r\ntrailing \r\n\r\n\r\n`,
  'an empty body': `${HEAD}Subject: empty\r\n\r\n`,
  'folded headers': `${HEAD}Subject: folded\r\n\tonce\r\n  twice\r\nX-Odd:no-blank\r\n\r\nx\r\n`,
};

const ROUTES = [
  ['Postern to Postfix', 'postern', 'b@example.net', 'postfixBox'],
  ['Postfix to Postern', 'postfix', 'b@example.org', 'posternBox'],
] as const;
for (const [route, port, to, box] of ROUTES) {
  for (const [what, text] of Object.entries(MESSAGES)) {
    test(`${route}, ${what}: the same bytes`, skip, async () => {
      const mark = `X-Begin: ${route} ${what}\r\n`;
      const message = Buffer.from(`${mark}${text}`, 'latin1');
      const reply = await submit(pair.ports[port], {
        from: '<a@client.example> BODY=8BITMIME',
        to: [`<${to}>`],
        message,
      });
      assert.match(reply, /^250/);
      const find = () => messagesIn(pair[box]).find((each) => each.includes(mark.trim()));
      await until('it is there', () => find() !== undefined);
      assert.equal(withoutTrace(find() ?? ''), message.toString('latin1').replaceAll('\r\n', '\n'));
    });
  }
}

test('both log a verified session alike, and Received: says with ESMTPS', skip, async () => {
  const shape = (log: string): string | undefined =>
    /Verified TLS connection established to .*/
      .exec(log)?.[0]
      ?.replaceAll(/:\d+:/g, ':P:')
      .replace(/ server-digest \S+/, '');
  assert.ok(shape(pair.postfix.log())?.includes('localhost[127.0.0.1]:P: TLSv1.3 with cipher'));
  assert.equal(shape(pair.postern.log()), shape(pair.postfix.log()));
  for (const box of [pair.posternBox, pair.postfixBox]) {
    assert.ok(
      messagesIn(box).some(
        (text) => /\twith ESMTPS id /.test(text) || / with ESMTPS id /.test(text),
      ),
    );
  }
});

test('the line of a delivery is that of Postfix', skip, async () => {
  const shape = (log: string): string | undefined =>
    /: to=<b@example\.(?:net|org)>, relay=localhost.*/
      .exec(log)?.[0]
      ?.replace(/example\.(net|org)/, 'D')
      .replace(/\]:\d+/, ']:P')
      .replace(/(conn_use=\d+, )/, '')
      .replace(/delay=[\d.]+/, 'delay=N')
      .replace(/delays=[\d.]+\/[\d.]+\/[\d.]+\/[\d.]+/, 'delays=N/N/N/N')
      .replace(/queued as \w+/, 'queued as ID');
  const line =
    ': to=<b@D>, relay=localhost[127.0.0.1]:P, delay=N, delays=N/N/N/N, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as ID)';
  assert.equal(shape(pair.postfix.log()), line);
  assert.equal(shape(pair.postern.log()), line);
});

/** Parameters as smtp-sink was told them, after both servers. */
async function dumpOf(from: SinkProgram, mark: string): Promise<string> {
  const find = () =>
    from.dumps().find((dump) => dump.includes(`X-Begin: ${mark}\n`) && dump.endsWith('\n\n'));
  await until(`${mark} is dumped`, () => find() !== undefined);
  return find() ?? '';
}
const argsOf = (dump: string): string[] =>
  dump.split('\n').filter((line) => /^X-(Mail|Rcpt)-Args/.test(line));

test('DSN parameters and SMTPUTF8 go through both servers', skip, async () => {
  for (const port of ['postfix', 'postern'] as const) {
    const mark = `dsn ${port}`;
    await submit(pair.ports[port], {
      from: '<a@client.example> RET=HDRS ENVID=id+2B1',
      to: [
        `<b@${port === 'postfix' ? 'via' : 'sink'}.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;first+2Bx@old.example`,
        `<c@${port === 'postfix' ? 'via' : 'sink'}.example> NOTIFY=NEVER`,
      ],
      message: `X-Begin: ${mark}\r\n${MESSAGES['plain']}`,
    });
    const via = port === 'postfix' ? 'via' : 'sink';
    const args = argsOf(await dumpOf(sink, mark)).map((line) =>
      line.replace(/ SIZE=\d+/, '').replace(' BODY=8BITMIME', ''),
    );
    assert.deepEqual(args, [
      'X-Mail-Args: <a@client.example> ENVID=id+2B1 RET=HDRS',
      `X-Rcpt-Args: <b@${via}.example> ORCPT=rfc822;first+2Bx@old.example NOTIFY=FAILURE,DELAY`,
      `X-Rcpt-Args: <c@${via}.example> ORCPT=rfc822;c@${via}.example NOTIFY=NEVER`,
    ]);
  }
});

test('an SMTPUTF8 address and header reach Postfix', skip, async () => {
  const message = Buffer.from(`X-Begin: utf8\r\n${HEAD}Subject: gr\u00fc\u00dfe\r\n\r\nx\r\n`);
  await submit(pair.ports.postern, {
    from: '<j\u00f6rg@client.example> SMTPUTF8',
    to: ['<b@example.net>'],
    message,
  });
  const find = () => messagesIn(pair.postfixBox).find((text) => text.includes('X-Begin: utf8'));
  await until('it is there', () => find() !== undefined);
  const text = Buffer.from(find() ?? '', 'latin1').toString();
  assert.match(text, /^Return-Path: <j\u00f6rg@client\.example>$/m);
  assert.match(text, / with UTF8SMTPS? id /);
  assert.equal(withoutTrace(text), message.toString().replaceAll('\r\n', '\n'));
});

test('SMTPUTF8 mail bounces where no server offers it, as with Postfix', skip, async () => {
  await submit(pair.ports.postern, {
    from: '<j\u00f6rg@client.example> SMTPUTF8',
    to: ['<b@sink.example>'],
    message: `X-Begin: refused\r\n${MESSAGES['plain']}`,
  });
  await until('it bounced', () => /dsn=5\.6\.7, status=bounced/.test(pair.postern.log()));
  assert.match(
    pair.postern.log(),
    /relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=bounced \(message requires SMTPUTF8, but no server was found that supports SMTPUTF8\. The last attempted server was 127\.0\.0\.1\[127\.0\.0\.1\]\)/,
  );
});

const MULTIPART = `${HEAD}Subject: mixed\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npre\xe4mble\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe = ${'\xe4 '.repeat(60)}\r\n. dot \r\n\ttab\t\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: text/html\r\n\r\n\xfcber\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n4A==\r\n--b\r\n\r\nunlabelled \xe4\r\n--b--\r\n`;
const CONVERTED: Readonly<Record<string, string>> = {
  '8-bit text': MESSAGES['8-bit'] ?? '',
  'a multipart': MULTIPART,
  'unlabelled 8-bit': `${HEAD}Subject: none\r\n\r\n\xe4\xf6\xfc\r\n`,
  'lines that are too long': `${HEAD}Subject: long\r\n\r\n${x(999)}\r\n${x(3_000)}.\r\n.${x(2_500)}\r\nend\r\n`,
  'a long line of 8-bit text': `${HEAD}Subject: both\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${'\xe4b '.repeat(700)}\r\n`,
  'a long header': `${HEAD}Subject: ${x(1_500)}\r\n\r\nx\r\n`,
};
for (const [what, text] of Object.entries(CONVERTED)) {
  test(
    `${what}: a server without 8BITMIME gets from Postern what it gets from Postfix`,
    skip,
    async () => {
      const bodies: string[] = [];
      for (const port of ['postfix', 'postern'] as const) {
        const mark = `${what} by ${port}`;
        await submit(pair.ports[port], {
          from: '<a@client.example> BODY=8BITMIME',
          to: ['<b@plain.example>'],
          message: Buffer.from(`X-Begin: ${mark}\r\n${text}`, 'latin1'),
        });
        const dump = await dumpOf(plainSink, mark);
        assert.doesNotMatch(argsOf(dump)[0] ?? '', /BODY=/);
        bodies.push(withoutTrace(dump).replace(/^X-Begin:.*\n/, ''));
      }
      assert.equal(bodies[1], bodies[0]);
    },
  );
}
