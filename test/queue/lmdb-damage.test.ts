/** Rotten bytes: each is noticed, reported as corrupt, and the other messages are kept. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  decodeBody,
  decodeEntry,
  encodeEntry,
  encodeFileBody,
  encodeWholeBody,
  entryHead,
} from '../../src/queue/lmdb/records.ts';
import { openQueue, temporaryQueue } from '../support/lmdb-queue.ts';
import { queueEntry } from '../support/queue-entry.ts';
import { bodyOf, enqueue, must } from './store-contract.ts';

describe('queue records', () => {
  const entry = queueEntry('ID1', { dueMs: 1234.5, onHold: true, sender: 'grüße@example.org' });
  const whole = encodeWholeBody('ID1', [Buffer.from('ab'), Buffer.from('c')], 3);
  const file = encodeFileBody('ID1', [Buffer.from('head')], { crc: 0xfedcba98, bytes: 2 ** 40 });

  it('give back what was put in', () => {
    const record = encodeEntry(entry, true);
    assert.deepEqual(decodeEntry('ID1', record), entry);
    assert.deepEqual(entryHead('ID1', record), { dueMs: 1234.5, onHold: true, inFile: true });
    assert.deepEqual(decodeBody('ID1', whole), { kind: 'whole', bytes: Buffer.from('abc') });
    assert.deepEqual(decodeBody('ID1', file), {
      kind: 'file',
      head: Buffer.from('head'),
      fileCrc: 0xfedcba98,
      fileBytes: 2 ** 40,
    });
  });

  it('notice every flipped byte, every truncation, and a swap with another id', () => {
    const decoders = [
      [encodeEntry(entry, false), decodeEntry],
      [whole, decodeBody],
      [file, decodeBody],
    ] as const;
    for (const [record, decode] of decoders) {
      assert.ok(decode('ID1', record));
      assert.equal(decode('ID2', record), undefined);
      for (let at = 0; at < record.length; at += 1) {
        const flipped = Buffer.from(record);
        flipped[at] = (flipped[at] ?? 0) ^ 0x10;
        assert.equal(decode('ID1', flipped), undefined, `byte ${at}`);
        assert.equal(decode('ID1', record.subarray(0, at)), undefined, `length ${at}`);
      }
    }
  });
});

describe('lmdb queue: damage', () => {
  it('a rotten body or entry is corrupt; recover() sets it aside and keeps the others', async () => {
    const queue = await temporaryQueue();
    const good = await enqueue(queue.store, Buffer.alloc(9000, 'good'));
    const badBody = await enqueue(queue.store, Buffer.alloc(9000, 'ROTTENBODY'));
    const badEntry = await enqueue(queue.store, Buffer.from('x'), { sender: 'ROTTENENTRY@x' });
    await queue.store.close();
    const path = `${queue.directory}/data.mdb`;
    const bytes = readFileSync(path);
    for (const mark of ['ROTTENBODY', 'ROTTENENTRY']) {
      for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1))
        bytes[at] = 0x2a;
    }
    writeFileSync(path, bytes);
    const lines: string[] = [];
    const store = await openQueue(queue.directory, {}, lines);
    try {
      const body = await store.openBody(queueEntry(badBody));
      assert.equal(body.ok || body.error.kind, 'corrupt');
      const entry = await store.read(badEntry);
      assert.equal(entry.ok || entry.error.kind, 'corrupt');
      const listed: string[] = [];
      for await (const item of store.list()) {
        listed.push(item.ok ? item.value.id : `${item.error.kind} ${item.error.id}`);
      }
      assert.deepEqual(listed, [good, badBody, `corrupt ${badEntry}`]);
      const report = must(await store.recover());
      assert.deepEqual([report.entries, report.corrupt], [1, 2]);
      assert.equal(lines.filter((line) => line.includes('set aside')).length, 2);
      assert.equal(must(await store.recover()).corrupt, 0);
      assert.equal((await bodyOf(store, good)).length, 9000);
      const due = await store.due(Number.MAX_SAFE_INTEGER, 10);
      assert.deepEqual(
        due.map(({ id }) => id),
        [good],
      );
    } finally {
      await store.close();
      await queue.close();
    }
  });

  it('a body file that was changed, cut or lost is corrupt', async () => {
    const queue = await temporaryQueue();
    try {
      for (const damage of ['flip', 'cut', 'grow'] as const) {
        const id = await enqueue(queue.store, Buffer.alloc(300_000, damage));
        const path = `${queue.directory}/bodies/${id}`;
        if (damage === 'cut') truncateSync(path, statSync(path).size - 1);
        else {
          const bytes = readFileSync(path);
          if (damage === 'flip') bytes[150_000] = 0;
          writeFileSync(path, damage === 'grow' ? Buffer.concat([bytes, bytes]) : bytes);
        }
        const body = await queue.store.openBody(queueEntry(id));
        assert.equal(body.ok || body.error.kind, 'corrupt', damage);
      }
    } finally {
      await queue.close();
    }
  });
});
