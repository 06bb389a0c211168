import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nextHeaderTokens } from '../../src/mail/header-token.ts';
import { type MimeEvent, MimeWalk } from '../../src/mail/mime.ts';

const LIMITS = { header_size_limit: 1000, mime_nesting_limit: 3, mime_boundary_length_limit: 20 };

function walk(message: string, options: Partial<ConstructorParameters<typeof MimeWalk>[0]> = {}) {
  const events: MimeEvent[] = [];
  const faults: string[] = [];
  const walker = new MimeWalk({ ...LIMITS, onFault: (fault) => faults.push(fault), ...options });
  for (const line of message.split('\n')) walker.line(line, events);
  walker.end(events);
  return { events, faults };
}

/** `primary A: 1`, `.` for the end of the header, `0 text` for body lines with their offset. */
const brief = (events: readonly MimeEvent[]): string[] =>
  events.map((event) => {
    if (event.kind === 'field') return `${event.headerClass} ${event.text}`;
    return event.kind === 'body' ? `${event.offset} ${event.text}` : '.';
  });

const CASES: readonly [what: string, message: string, events: readonly string[]][] = [
  [
    'a plain message',
    'A: 1\n b\nC : 2\n\nx\ny',
    ['primary A: 1\n b', 'primary C: 2', '.', '0 ', '1 x', '3 y'],
  ],
  ['text that ends the header', 'A: 1\nx y', ['primary A: 1', '.', '0 ', '0 x y']],
  [
    'parts',
    'Content-Type: multipart/x; boundary=b\n\n--b\nP: 1\n\nq\n--b--\nend',
    [
      'primary Content-Type: multipart/x; boundary=b',
      '.',
      '0 ',
      '0 --b',
      'mime P: 1',
      '0 ',
      '1 q',
      '0 --b--',
      '6 end',
    ],
  ],
  [
    'an enclosed message',
    'Content-Type: message/rfc822\n\nS: 1\n\nx',
    ['primary Content-Type: message/rfc822', '.', '0 ', 'nested S: 1', '0 ', '1 x'],
  ],
];

for (const [what, message, events] of CASES) {
  test(`MimeWalk reads ${what}`, () => assert.deepEqual(brief(walk(message).events), events));
}

test('MimeWalk looks at no parts without MIME', () => {
  const { events } = walk('Content-Type: multipart/x; boundary=b\n\n--b\nP: 1', { isMime: false });
  assert.deepEqual(brief(events).slice(1), ['.', '0 ', '1 --b', '5 P: 1']);
});

test('MimeWalk bounds depth, boundaries and fields', () => {
  const deep = 'Content-Type: multipart/x; boundary=b\n\n--b\n'.repeat(6);
  assert.ok(walk(deep).faults.includes('nesting'));
  const long = `Content-Type: multipart/x; boundary=${'b'.repeat(50)}\n\n--${'b'.repeat(20)}ccc\nP: 1\n\n`;
  assert.ok(brief(walk(long).events).includes('mime P: 1'));
  const [field] = walk(`A: 1\n${` ${'x'.repeat(99)}\n`.repeat(50)}\n`).events;
  assert.ok(field?.kind === 'field' && field.text.length <= 1100);
});

test('MimeWalk hands on every body byte, whatever comes', () => {
  const unit = fc.constantFrom(
    'a',
    ':',
    ' ',
    '\n',
    '--b',
    'Content-Type: multipart/x; boundary=b',
    'Content-Type: message/rfc822',
    '"',
    '\\',
    ';',
    '(',
  );
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 40 }), (message) => {
      const { events } = walk(message);
      const lines = events.flatMap((event) =>
        event.kind === 'header-end' ? [] : event.text.split('\n'),
      );
      const plain = (text: string): string => text.replaceAll(/[ \n]/g, '');
      assert.equal(plain(lines.join('')), plain(message));
    }),
  );
});

test('nextHeaderTokens() reads words, quotes and comments', () => {
  const tokens = (value: string) =>
    nextHeaderTokens(value, 0, '/;=', ';', 3)?.tokens.map(({ kind, text }) => `${kind} ${text}`);
  assert.deepEqual(tokens(' text / (a (nested) comment) "pl\\"ain" ; x'), [
    'token text',
    'special /',
    'quoted pl"ain',
  ]);
  assert.deepEqual(tokens('a="x\n y"'), ['token a', 'special =', 'quoted x y']);
  assert.equal(tokens('  '), undefined);
  assert.deepEqual(tokens(';'), []);
});
