/** postqueue and mailq without a server: rows, usage, who may read the disk. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { postqueue } from '../../src/cmd/postqueue.ts';
import { jsonLine, tableRows } from '../../src/cmd/queue-list.ts';
import type { QueueEntry } from '../../src/mail/stages.ts';
import { listedMessage } from '../../src/qmgr/showq.ts';
import { queueEntry } from '../support/queue-entry.ts';
import { commandSite } from './queue-commands.ts';

const site = await commandSite();
const cwd = process.cwd();
after(async () => {
  process.chdir(cwd);
  await site.close();
});

const DEFERRED = { status: '4.4.1', reason: 'connect to mx.example.com: refused' } as const;
const [RECIPIENT] = queueEntry('x').recipients;
assert.ok(RECIPIENT);

const entry = queueEntry('4cXyzzzzzzz1', {
  recipients: [
    { ...RECIPIENT, deferred: DEFERRED },
    { ...RECIPIENT, address: 'b@example.com', deferred: DEFERRED },
    { ...RECIPIENT, address: 'done@example.com', state: 'done' },
  ],
  content: { wireBytes: 1100, sizeBytes: 1024, has8bit: false, hasDotLines: false },
});
const rows = (changes: Partial<QueueEntry>, isActive = false, hasLongIds = true): string =>
  tableRows(listedMessage({ ...entry, ...changes }, isActive), hasLongIds);

test('tableRows() has the columns of mailq and leaves delivered recipients out', () => {
  const lines = rows({}, true).split('\n');
  assert.match(
    lines[0] ?? '',
    /^4cXyzzzzzzz1\* {9}1024 [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d sender@example\.org$/,
  );
  assert.deepEqual(lines.slice(1), [
    `${' '.repeat(42)}(${DEFERRED.reason})`,
    `${' '.repeat(47)}user@example.com`,
    `${' '.repeat(47)}b@example.com`,
    '',
    '',
  ]);
});

const MARKS: readonly [changes: Partial<QueueEntry>, isActive: boolean, start: RegExp][] = [
  [{}, false, /^4cXyzzzzzzz1 /],
  [{}, true, /^4cXyzzzzzzz1\*/],
  [{ onHold: true, sender: '' }, true, /^4cXyzzzzzzz1! .* MAILER-DAEMON\n/],
  [{ isExpired: true }, false, /^4cXyzzzzzzz1# /],
];
for (const [changes, isActive, start] of MARKS) {
  test(`a row starts with ${start}`, () => assert.match(rows(changes, isActive), start));
}

test('jsonLine() has the fields of postqueue -j', () => {
  const listed = listedMessage({ ...entry, attempts: 1, isExpired: true }, false);
  assert.deepEqual(JSON.parse(jsonLine(listed)), {
    queue_name: 'deferred',
    queue_id: '4cXyzzzzzzz1',
    arrival_time: 1_700_000_000,
    message_size: 1024,
    forced_expire: true,
    sender: 'sender@example.org',
    recipients: [
      { address: 'user@example.com', delay_reason: DEFERRED.reason },
      { address: 'b@example.com', orig_address: 'user@example.com', delay_reason: DEFERRED.reason },
    ],
  });
});

const run = (words: string) =>
  site.run((io) => postqueue(words.split(' ').filter(Boolean), io, site.config));

const WRONG: readonly [words: string, status: number, text: RegExp][] = [
  ['', 64, /^postqueue: fatal: usage: postqueue -f \| /],
  ['-x', 64, /^postqueue: invalid option -- 'x'\npostqueue: fatal: usage/],
  ['-i', 64, /^postqueue: option requires an argument -- 'i'\n/],
  ['-p -f', 64, /usage/],
  ['-p x', 64, /usage/],
  ['-i ../x', 64, /^postqueue: fatal: Cannot flush queue ID - invalid name: "\.\.\/x"/],
  ['-s [1', 64, /^postqueue: fatal: Cannot flush mail queue - invalid destination: "\[1"/],
  ['-f', 69, /^postqueue: fatal: Cannot flush mail queue - mail system is down\n$/],
  ['-i4cXyzzzzzzz1', 69, /mail system is down/],
  ['-vs example.com', 69, /mail system is down/],
];
for (const [words, status, text] of WRONG) {
  test(`postqueue ${words}: exit ${status}`, async () => {
    const result = await run(words);
    assert.equal(result.status, status, result.err);
    assert.match(result.err, text);
    assert.equal(result.out, '');
  });
}

test('while the server is down the owner of the queue gets the list from the disk', async () => {
  const empty = await run('-p');
  assert.match(
    empty.err,
    /^postqueue: warning: Mail system is down -- accessing queue directly \(/,
  );
  assert.equal(empty.out, 'Mail queue is empty\n');
  const draft = site.store.begin();
  draft.write(Buffer.from('Subject: x\r\n\r\nx\r\n'));
  assert.ok((await draft.commit({ ...entry, id: draft.id })).ok);
  const { out, status } = await run('-p');
  assert.equal(status, 0);
  assert.match(out, /^-Queue ID- {8}--Size-- ---Arrival Time---- -Sender\/Recipient-------\n4/);
  assert.match(out, /\n\n-- 1 Kbytes in 1 Request\.\n$/);
  const json = await run('-j');
  assert.equal(JSON.parse(json.out).queue_id, draft.id);
});
