import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeLine, seconds } from '../../src/qmgr/outcome-log.ts';

const CASES: readonly [ms: number, text: string][] = [
  [0, '0'],
  [12, '0.01'],
  [54, '0.05'],
  [1234, '1.2'],
  [15_600, '16'],
  [-5, '0'],
];

for (const [ms, text] of CASES) {
  test(`seconds() writes ${ms} ms as ${text}`, () => assert.equal(seconds(ms), text));
}

const TIMES = { arrivedMs: 0, activeMs: 20, startedMs: 20, endedMs: 50 };
const RECIPIENT = {
  address: 'bob@example.net',
  original: 'bob@example.net',
  orcpt: '',
  notify: [],
};
const SENT = {
  kind: 'sent',
  relay: 'mx.example.net[192.0.2.1]:25',
  dsn: { status: '2.0.0', reason: '250 ok' },
} as const;

test('outcomeLine() has the shape that pflogsumm reads', () => {
  assert.equal(
    outcomeLine('4cXyz', RECIPIENT, SENT, TIMES),
    '4cXyz: to=<bob@example.net>, relay=mx.example.net[192.0.2.1]:25, delay=0.05, delays=0.02/0/0/0.03, dsn=2.0.0, status=sent (250 ok)',
  );
});

test('outcomeLine() names the original recipient where it differs', () => {
  const line = outcomeLine('4cXyz', { ...RECIPIENT, original: 'info@example.org' }, SENT, TIMES);
  assert.match(line, /to=<bob@example.net>, orig_to=<info@example.org>, relay=/);
});
