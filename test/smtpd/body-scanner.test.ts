import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type BareNewline, BodyScanner } from '../../src/smtpd/body-scanner.ts';

type Outcome = { body: string; rest: string | undefined; bare: boolean };

function scan(mode: BareNewline, chunks: readonly string[]): Outcome {
  const scanner = new BodyScanner('data', mode);
  let body = '';
  for (const [at, chunk] of chunks.entries()) {
    const { pieces, rest } = scanner.push(Buffer.from(chunk, 'latin1'));
    body += Buffer.concat(pieces).toString('latin1');
    if (rest) {
      const behind = rest.toString('latin1') + chunks.slice(at + 1).join('');
      return { body, rest: behind, bare: scanner.hasBareNewline };
    }
  }
  return { body, rest: undefined, bare: scanner.hasBareNewline };
}

/** Straight from the rules, a line at a time: the slow truth. */
function model(input: string): Outcome {
  let body = '';
  let at = 0;
  let afterCrlf = true;
  let bare = false;
  for (;;) {
    const lf = input.indexOf('\n', at);
    if (lf < 0) return { body, rest: undefined, bare };
    const isCrlf = lf > at && input[lf - 1] === '\r';
    const line = input.slice(at, isCrlf ? lf - 1 : lf);
    at = lf + 1;
    if (line === '.' && isCrlf && afterCrlf) return { body, rest: input.slice(at), bare };
    if (!isCrlf) bare = true;
    body += `${line.replaceAll('\r', ' ').replace(/^\./, '')}\r\n`;
    afterCrlf = isCrlf;
  }
}

const CASES: readonly (readonly [string, string, string | undefined])[] = [
  ['.\r\n', '', ''],
  ['a\r\n.\r\nQUIT\r\n', 'a\r\n', 'QUIT\r\n'],
  ['..\r\n.\r\n', '.\r\n', ''],
  ['.x\r\n..y\r\n.\r\n', 'x\r\n.y\r\n', ''],
  ['a\n.\nb\r\n.\r\n', 'a\r\n\r\nb\r\n', ''],
  ['a\n.\r\nb\r\n.\r\n', 'a\r\n\r\nb\r\n', ''],
  ['a\r\n.\nb\r\n.\r\n', 'a\r\n\r\nb\r\n', ''],
  ['a\r.\r\nb\r\n.\r\n', 'a .\r\nb\r\n', ''],
  ['a\r\n.\rb\r\n.\r\n', 'a\r\n b\r\n', ''],
  ['a\r\r\n.\r\n', 'a \r\n', ''],
  ['a\0\r\n.\0\r\n.\r\n', 'a\0\r\n\0\r\n', ''],
  ['a\r\n.\r\r\nb\r\n.\r\n', 'a\r\n \r\nb\r\n', ''],
];

for (const [input, body, rest] of CASES) {
  test(`${JSON.stringify(input)} however it is cut`, () => {
    for (let first = 0; first <= input.length; first += 1) {
      for (let second = first; second <= input.length; second += 1) {
        const cut = [input.slice(0, first), input.slice(first, second), input.slice(second)];
        const got = scan('normalize', cut);
        assert.deepEqual([got.body, got.rest], [body, rest], JSON.stringify(cut));
      }
    }
  });
}

test('no end-of-data variant but CRLF.CRLF ends a message', () => {
  const ends = ['\n', '\r', '\r\n', '\r\r\n', '\n\r', '\0\r\n', '\x85', '\f'];
  for (const before of ends) {
    for (const behind of ends) {
      const got = scan('normalize', [`x${before}.${behind}MAIL FROM:<e@e>\r\n`]);
      const isEnd = before.endsWith('\r\n') && behind === '\r\n';
      assert.equal(got.rest !== undefined, isEnd, JSON.stringify([before, behind]));
    }
  }
});

test('mode no ends at LF.LF as well', () => {
  assert.deepEqual(scan('no', ['a\n', '.', '\nQUIT']), { body: 'a\r\n', rest: 'QUIT', bare: true });
});

test('BDAT keeps dots and makes line ends whole', () => {
  const scanner = new BodyScanner('bdat', 'normalize');
  const pieces = ['.a\r', '\n..b\nc\r', 'd\r\n.\r\n\r'].flatMap((part) => [
    ...scanner.push(Buffer.from(part)).pieces,
  ]);
  assert.equal(
    Buffer.concat([...pieces, ...scanner.finish()]).toString('latin1'),
    '.a\r\n..b\r\nc d\r\n.\r\n ',
  );
  assert.equal(scanner.hasBareNewline, true);
});

test('random input: the scanner says what the line-by-line model says', () => {
  const piece = fc.constantFrom('\r', '\n', '.', 'a', '\r\n', '\r\n.\r\n', '\0', 'MAIL');
  fc.assert(
    fc.property(fc.array(fc.array(piece, { maxLength: 6 }), { maxLength: 8 }), (parts) => {
      const chunks = parts.map((part) => part.join(''));
      const whole = chunks.join('');
      const want = model(whole);
      const got = scan('normalize', chunks);
      assert.equal(got.rest, want.rest);
      if (want.rest !== undefined) assert.equal(got.body, want.body);
      else assert.ok(!/\r(?!\n)|(?<!\r)\n/.test(got.body));
    }),
    { numRuns: 3000 },
  );
});

test('a megabyte of stuffed lines takes milliseconds', () => {
  const chunk = Buffer.from('..x\r\n'.repeat(13_000));
  const scanner = new BodyScanner('data', 'normalize');
  const started = performance.now();
  for (let i = 0; i < 16; i += 1) scanner.push(chunk);
  assert.ok(performance.now() - started < 400);
});
