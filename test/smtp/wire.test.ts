/** The message in the form a server can take: broken lines, quoted-printable parts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Body } from '../../src/queue/store.ts';
import { hasUtf8Header, type WireForm, wireBody } from '../../src/smtp/wire.ts';
import { settings } from './parts.ts';

const bodyOf = (bytes: Buffer, chunkSize?: number): Body => ({
  content: { wireBytes: bytes.length },
  ...(chunkSize === undefined ? { bytes } : {}),
  chunks: (async function* () {
    for (let at = 0; at < bytes.length; at += chunkSize ?? bytes.length) {
      yield bytes.subarray(at, at + (chunkSize ?? bytes.length));
    }
  })(),
});

/** What goes out, and how often a long line was noted. */
async function wire(
  bytes: Buffer,
  form: Partial<WireForm>,
  chunkSize?: number,
): Promise<{
  readonly text: string;
  readonly breaks: number;
  readonly isSame: boolean;
  readonly hasDotLines: boolean;
}> {
  let breaks = 0;
  const body = bodyOf(bytes, chunkSize);
  const made = wireBody(body, false, {
    isConverted: false,
    lineLimit: 998,
    limits: settings().mimeLimits,
    onBreak: () => {
      breaks += 1;
    },
    ...form,
  });
  assert.ok(made.ok);
  const pieces: Buffer[] = [];
  for await (const piece of made.value.body.chunks) pieces.push(piece);
  const whole = made.value.body.bytes ?? Buffer.concat(pieces);
  return {
    text: whole.toString('latin1'),
    breaks,
    isSame: made.value.body === body,
    hasDotLines: made.value.hasDotLines,
  };
}

const x = (count: number): string => 'x'.repeat(count);
const LINES: readonly [what: string, limit: number, text: string, expected: string][] = [
  ['short lines', 10, 'abc\r\n\r\ndef\r\n', 'abc\r\n\r\ndef\r\n'],
  ['a line of just the limit', 10, `${x(10)}\r\n`, `${x(10)}\r\n`],
  ['one byte more', 10, `${x(11)}\r\n`, `${x(10)}\r\n x\r\n`],
  ['the blank counts', 10, `${x(30)}\r\n`, `${x(10)}\r\n ${x(9)}\r\n ${x(9)}\r\n ${x(2)}\r\n`],
  ['no limit', 0, `${x(5_000)}\r\n`, `${x(5_000)}\r\n`],
  ['the second line', 10, `ab\r\n${x(12)}\r\ncd\r\n`, `ab\r\n${x(10)}\r\n xx\r\ncd\r\n`],
  ['a last line without an end', 10, `ab\r\n${x(12)}`, `ab\r\n${x(10)}\r\n xx`],
  ['998', 998, `${x(998)}\r\n${x(999)}\r\n`, `${x(998)}\r\n${x(998)}\r\n x\r\n`],
];
for (const [what, lineLimit, text, expected] of LINES) {
  test(`long lines: ${what}, whole and in pieces of any size`, async () => {
    const bytes = Buffer.from(text, 'latin1');
    const whole = await wire(bytes, { lineLimit });
    assert.equal(whole.text, expected);
    assert.equal(whole.breaks, text === expected ? 0 : 1);
    assert.equal(whole.isSame, text === expected);
    for (const size of [1, 2, 3, 7, 11, 997, 999]) {
      if (size > bytes.length + 2) continue;
      assert.equal((await wire(bytes, { lineLimit }, size)).text, expected, `pieces of ${size}`);
    }
  });
}

test('broken lines: nothing is lost, none is too long, for any text and any chunks', async () => {
  const line = fc.string({ unit: fc.constantFrom('a', '.', ' ', 'é'), maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 8 }),
      fc.integer({ min: 2, max: 20 }),
      fc.integer({ min: 1, max: 50 }),
      async (lines, lineLimit, size) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\r\n`).join(''), 'latin1');
        const { text } = await wire(bytes, { lineLimit }, size);
        assert.equal(text, (await wire(bytes, { lineLimit })).text);
        const out = text.split('\r\n');
        assert.ok(out.every((each) => each.length <= lineLimit));
        let at = 0;
        for (const whole of lines) {
          let joined = out[at++] ?? '';
          while (joined.length < whole.length) joined += (out[at++] ?? '').slice(1);
          assert.equal(joined, whole);
        }
      },
    ),
    { numRuns: 200 },
  );
});

const crlf = (...lines: string[]): string => lines.map((line) => `${line}\r\n`).join('');
const PARTS: readonly [what: string, text: string, expected: string][] = [
  [
    'a text labelled 8bit',
    crlf('Content-Transfer-Encoding: 8bit', 'Subject: x', '', 'Gr\xfc\xdfe=', 'a ', '.\t', ''),
    crlf(
      'Subject: x',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'Gr=FC=DFe=3D',
      'a=20',
      '.=09',
      '',
    ),
  ],
  ['no label', crlf('Subject: x', '', 'Gr\xfc\xdfe'), crlf('Subject: x', '', 'Gr\xfc\xdfe')],
  [
    'labelled 7bit or base64',
    crlf('CONTENT-transfer-encoding : base64', '', '\xfc'),
    crlf('CONTENT-transfer-encoding: base64', '', '\xfc'),
  ],
  [
    'soft line breaks',
    crlf('Content-Transfer-Encoding: 8bit', '', `${x(73)}\xfc`, `${x(71)}\xfc\xfc`),
    crlf(
      'Content-Transfer-Encoding: quoted-printable',
      '',
      `${x(73)}=`,
      '=FC',
      `${x(71)}=FC=`,
      '=FC',
    ),
  ],
  [
    'a multipart: each part by itself, prologue and boundaries untouched',
    crlf(
      'Content-Type: multipart/mixed;',
      ' boundary="b 1"',
      'Content-Transfer-Encoding: 8bit',
      '',
      'pro\xfc',
      '--b 1',
      'Content-Type: text/plain',
      'Content-Transfer-Encoding: 8bit',
      '',
      '\xfc',
      '--b 1',
      '',
      '\xe9',
      '--b 1',
      'Content-Transfer-Encoding: binary',
      'Content-Type: application/x',
      '',
      '\xff',
      '--b 1--',
      'epi\xfc',
    ),
    crlf(
      'Content-Type: multipart/mixed;',
      ' boundary="b 1"',
      'Content-Transfer-Encoding: 7bit',
      '',
      'pro\xfc',
      '--b 1',
      'Content-Type: text/plain',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=FC',
      '--b 1',
      '',
      '\xe9',
      '--b 1',
      'Content-Type: application/x',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=FF',
      '--b 1--',
      'epi\xfc',
    ),
  ],
  [
    'a message within: its own header tells',
    crlf(
      'Content-Type: message/rfc822',
      'Content-Transfer-Encoding: 8bit',
      '',
      'Subject: y',
      'Content-Transfer-Encoding: 8bit',
      '',
      '\xfc',
    ),
    crlf(
      'Content-Type: message/rfc822',
      'Content-Transfer-Encoding: 7bit',
      '',
      'Subject: y',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=FC',
    ),
  ],
  [
    'message/global is one piece',
    crlf('Content-Type: message/global', 'Content-Transfer-Encoding: 8bit', '', 'Subject: \xfc'),
    crlf(
      'Content-Type: message/global',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'Subject: =FC',
    ),
  ],
  [
    'a header alone',
    crlf('Content-Transfer-Encoding: 8bit'),
    crlf('Content-Transfer-Encoding: quoted-printable'),
  ],
];
for (const [what, text, expected] of PARTS) {
  test(`quoted-printable: ${what}, whole and in pieces of any size`, async () => {
    const bytes = Buffer.from(text, 'latin1');
    for (const size of [undefined, 1, 5, 64]) {
      assert.equal((await wire(bytes, { isConverted: true }, size)).text, expected, `${size}`);
    }
  });
}

test('a line that begins with a dot after a soft break is one to be stuffed', async () => {
  const bytes = Buffer.from(crlf('Content-Transfer-Encoding: 8bit', '', `${x(73)}.\xfc`), 'latin1');
  for (const size of [undefined, 7]) {
    const made = await wire(bytes, { isConverted: true }, size);
    assert.match(made.text, /=\r\n\.=FC\r\n$/);
    assert.equal(made.hasDotLines, true);
  }
});

test('parts that lie too deep are an error, not half a conversion', () => {
  const levels = Array.from({ length: 110 }, (_, i) =>
    crlf(`Content-Type: multipart/mixed; boundary=b${i}`, '', `--b${i}`),
  );
  const bytes = Buffer.from(levels.join(''));
  const limits = settings().mimeLimits;
  const form = { isConverted: true, lineLimit: 998, limits, onBreak: () => undefined };
  const made = wireBody(bodyOf(bytes), false, form);
  assert.deepEqual(made, {
    ok: false,
    error: { status: '5.6.0', reason: 'MIME nesting exceeds safety limit' },
  });
});

test('a header with UTF-8 is told from a body with it', async () => {
  assert.equal(await hasUtf8Header(bodyOf(Buffer.from('Subject: é\r\n\r\nx\r\n'))), true);
  assert.equal(await hasUtf8Header(bodyOf(Buffer.from('Subject: e\r\n\r\né\r\n'))), false);
  assert.equal(await hasUtf8Header(bodyOf(Buffer.from('Subject: é\r\n\r\nx\r\n'), 3)), true);
});
