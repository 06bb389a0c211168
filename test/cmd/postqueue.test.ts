import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonLine, tableRows } from '../../src/cmd/postqueue.ts';
import { queueEntry } from '../support/queue-entry.ts';

const DEFERRED = { status: '4.4.1', reason: 'connect to mx.example.com: refused' } as const;
const [RECIPIENT] = queueEntry('x').recipients;
assert.ok(RECIPIENT);

const entry = queueEntry('4cXyzzzzzzz1', {
  recipients: [
    { ...RECIPIENT, deferred: DEFERRED },
    { ...RECIPIENT, address: 'done@example.com', state: 'done' },
  ],
  content: { wireBytes: 1100, sizeBytes: 1024, has8bit: false, hasDotLines: false },
});

test('tableRows() has the columns of mailq and leaves delivered recipients out', () => {
  const lines = tableRows(entry, 'active').split('\n');
  assert.match(
    lines[0] ?? '',
    /^4cXyzzzzzzz1\* +1024 [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d sender@example\.org$/,
  );
  assert.equal(lines[1]?.trim(), `(${DEFERRED.reason})`);
  assert.equal(lines[2], `${' '.repeat(41)}user@example.com`);
  assert.ok(!lines.some((line) => line.includes('done@')));
});

test('tableRows() marks mail on hold, and names the null sender MAILER-DAEMON', () => {
  const rows = tableRows({ ...entry, sender: '' }, 'hold');
  assert.match(rows, /^4cXyzzzzzzz1! .*MAILER-DAEMON\n/);
});

test('jsonLine() has the fields of postqueue -j', () => {
  assert.deepEqual(JSON.parse(jsonLine(entry, 'deferred')), {
    queue_name: 'deferred',
    queue_id: '4cXyzzzzzzz1',
    arrival_time: 1_700_000_000,
    message_size: 1024,
    forced_expire: false,
    sender: 'sender@example.org',
    recipients: [{ address: 'user@example.com', delay_reason: DEFERRED.reason }],
  });
});
