/**
 * SMTP smuggling: whatever is written in place of CRLF.CRLF, by DATA and by BDAT, however it is cut
 * into segments, there is one message, and what is stored holds no CR or LF that is not a CRLF.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Client, play, startSmtpd } from './harness.ts';

const BREAKS = ['\n', '\r', '\r\r\n', '\n\r', '\0\r\n', '\r\0\n', '\r\n\0', '\x85', '\f', '\v'];
const ENDS = BREAKS.flatMap((each) => [`${each}.${each}`, `${each}.\r\n`, `\r\n.${each}`]);
const SMUGGLED =
  'MAIL FROM:<evil@x>\r\nRCPT TO:<user@example.org>\r\nDATA\r\nSubject: evil\r\n\r\n';

async function begin(client: Client): Promise<void> {
  await play(
    client,
    'C: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<user@example.org>\nS: 250 *',
  );
}

/** One segment, or cut in two at every point around the suspicious bytes. */
async function send(client: Client, text: string, at: number | undefined): Promise<void> {
  if (at === undefined) {
    client.write(text);
    return;
  }
  client.write(text.slice(0, at));
  await new Promise((resolve) => setImmediate(resolve));
  client.write(text.slice(at));
}

const isClean = (body: string): boolean => !/\r(?!\n)|(?<!\r)\n/.test(body);

test('DATA: one message for every end-of-data variant and segmentation', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await play(client, 'S: 220 *\nC: EHLO c\nS: 250-*');
    for (const end of ENDS) {
      if (end.includes('\r\n.\r\n')) continue;
      for (const cut of [undefined, 0, 1, 2, 3, 4]) {
        const before = smtpd.arrived.length;
        await begin(client);
        await play(client, 'C: DATA\nS: 354 *');
        const head = 'Subject: x\r\n\r\nbody';
        const text = `${head}${end}${SMUGGLED}evil\r\n.\r\n`;
        await send(client, text, cut === undefined ? undefined : head.length + cut);
        assert.match(await client.reply(), /^250 2\.0\.0 Ok: queued/, JSON.stringify(end));
        assert.equal(smtpd.arrived.length, before + 1, JSON.stringify(end));
        const body = await smtpd.body();
        assert.ok(body.includes('evil@x') && isClean(body), JSON.stringify(end));
      }
    }
    assert.equal(await client.say('NOOP'), '250 2.0.0 Ok');
  } finally {
    await smtpd.close();
  }
});

test('BDAT: bytes are counted, nothing in them is a command or an end', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await play(client, 'S: 220 *\nC: EHLO c\nS: 250-*');
    for (const end of [...ENDS, '\r\n.\r\n']) {
      await begin(client);
      const text = `Subject: x\r\n\r\nbody${end}${SMUGGLED}`;
      const half = Math.floor(text.length / 2);
      client.write(`BDAT ${half}\r\n${text.slice(0, half)}BDAT ${text.length - half} LAST\r\n`);
      assert.match(await client.reply(), /^250 2\.0\.0 Ok: \d+ bytes/);
      client.write(text.slice(half));
      assert.match(await client.reply(), /^250 2\.0\.0 Ok: queued/, JSON.stringify(end));
      const body = await smtpd.body();
      assert.ok(body.includes('Subject: evil') && isClean(body), JSON.stringify(end));
    }
    assert.equal(smtpd.arrived.length, ENDS.length + 1);
  } finally {
    await smtpd.close();
  }
});

test('reject: a bare newline in the message or in a command ends the session', async () => {
  for (const input of ['DATA', 'NOOP']) {
    const smtpd = await startSmtpd({ main: { smtpd_forbid_bare_newline: 'reject' } });
    try {
      const client = await smtpd.client();
      await play(client, 'S: 220 *\nC: EHLO c\nS: 250-*');
      if (input === 'NOOP') client.write('NOOP\n');
      else {
        await begin(client);
        await play(client, 'C: DATA\nS: 354 *');
        client.write('a: b\n\nx\r\n.\r\n');
      }
      assert.match(
        await client.reply(),
        /^550 5\.5\.2 mail\.example\.org Error: bare <LF> received/,
      );
      assert.equal(await client.reply(), '');
      assert.equal(smtpd.arrived.length, 0);
    } finally {
      await smtpd.close();
    }
  }
});
