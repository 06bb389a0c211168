/**
 * What every queue engine must do. `describeStore(name, open)` runs the suite on one engine;
 * `open` gives an empty store and a way to end it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { QueueEntry } from '../../src/mail/stages.ts';
import type { Draft, EntryChange, QueueKeeper } from '../../src/queue/store.ts';
import type { Result } from '../../src/util/result.ts';
import { queueEntry } from '../support/queue-entry.ts';

export type OpenStore = () => Promise<{
  readonly store: QueueKeeper;
  readonly close: () => Promise<void>;
}>;

export function must<T, E>(result: Result<T, E>): T {
  if (!result.ok) throw new Error(`unexpected fault: ${JSON.stringify(result.error)}`);
  return result.value;
}

export async function bodyOf(store: QueueKeeper, id: string): Promise<Buffer> {
  const body = must(await store.openBody(queueEntry(id)));
  const chunks: Buffer[] = [];
  for await (const chunk of body.chunks) chunks.push(Buffer.from(chunk));
  const whole = Buffer.concat(chunks);
  assert.equal(body.content.wireBytes, whole.length);
  if (body.bytes) assert.deepEqual(Buffer.from(body.bytes), whole);
  return whole;
}

export async function enqueue(
  store: QueueKeeper,
  body: Buffer,
  changes: Partial<QueueEntry> = {},
): Promise<string> {
  const draft = store.begin();
  await fill(draft, body);
  must(await draft.commit(queueEntry(draft.id, changes)));
  return draft.id;
}

async function fill(draft: Draft, body: Buffer, step = 50_000): Promise<void> {
  for (let at = 0; at < body.length; at += step) {
    const more = draft.write(Buffer.from(body.subarray(at, at + step)));
    if (more !== true) await more;
  }
}

const SIZES = [0, 1, 4096, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 3_000_000];

export function describeStore(name: string, open: OpenStore): void {
  const test = (fact: string, run: (store: QueueKeeper) => Promise<void>) =>
    it(fact, async () => {
      const { store, close } = await open();
      try {
        await run(store);
      } finally {
        await close();
      }
    });

  describe(`${name}: QueueStore`, () => {
    test('commit() keeps body and entry, whatever the size', async (store) => {
      for (const size of SIZES) {
        const body = Buffer.alloc(size, `body of ${size}\r\n`);
        const id = await enqueue(store, body, { sender: `${size}@example.org` });
        assert.equal(must(await store.read(id)).sender, `${size}@example.org`);
        assert.ok(body.equals(await bodyOf(store, id)), `${size} bytes`);
      }
    });

    test('prepend() puts bytes before everything, last call first', async (store) => {
      for (const size of [10, 200_000]) {
        const draft = store.begin();
        draft.prepend(Buffer.from('b\r\n'));
        await fill(draft, Buffer.alloc(size, 'x'));
        draft.prepend(Buffer.from('a\r\n'));
        assert.equal(draft.wireBytes, size + 6);
        must(await draft.commit(queueEntry(draft.id)));
        assert.equal((await bodyOf(store, draft.id)).toString(), `a\r\nb\r\n${'x'.repeat(size)}`);
      }
    });

    test('abort() leaves nothing; after commit it has no effect', async (store) => {
      for (const size of [10, 200_000]) {
        const gone = store.begin();
        await fill(gone, Buffer.alloc(size));
        gone.abort();
        assert.equal((await gone.commit(queueEntry(gone.id))).ok, false);
        assert.equal((await store.read(gone.id)).ok, false);
        const kept = store.begin();
        await fill(kept, Buffer.alloc(size, 'k'));
        must(await kept.commit(queueEntry(kept.id)));
        kept.abort();
        assert.equal((await bodyOf(store, kept.id)).length, size);
      }
    });

    test('an id that is not there is absent', async (store) => {
      const entry = await store.read('nosuchid');
      assert.equal(entry.ok || entry.error.kind, 'absent');
      const body = await store.openBody(queueEntry('nosuchid'));
      assert.equal(body.ok || body.error.kind, 'absent');
    });

    test('due() gives entries not on hold, oldest first, in pages', async (store) => {
      const at = [5000, 1000, 3000, 2000, 4000];
      const ids = new Map<number, string>();
      for (const dueMs of at) ids.set(dueMs, await enqueue(store, Buffer.from('x'), { dueMs }));
      await enqueue(store, Buffer.from('x'), { dueMs: 500, onHold: true });
      const dueIds = (list: readonly { id: string }[]) => list.map(({ id }) => id);
      const expect = (...ms: number[]) => ms.map((value) => ids.get(value));
      assert.equal(await store.nextDueMs(), 1000);
      assert.deepEqual(dueIds(await store.due(4000, 10)), expect(1000, 2000, 3000, 4000));
      const first = await store.due(9000, 2);
      assert.deepEqual(dueIds(first), expect(1000, 2000));
      assert.deepEqual(dueIds(await store.due(9000, 2, first[1])), expect(3000, 4000));
      assert.deepEqual(await store.due(999, 10), []);
    });

    test('settle() replaces, removes and adds in one step', async (store) => {
      const kept = await enqueue(store, Buffer.from('kept'), { dueMs: 1000 });
      const gone = await enqueue(store, Buffer.alloc(200_000, 'g'), { dueMs: 1000 });
      const small = queueEntry(`${kept}b`, { dueMs: 3000, internal: 'bounce' });
      const large = queueEntry(`${kept}c`, { dueMs: 4000, internal: 'bounce' });
      must(
        await store.settle(
          [
            { kind: 'replace', entry: queueEntry(kept, { dueMs: 2000, attempts: 1 }) },
            { kind: 'remove', id: gone },
          ],
          [
            { entry: small, body: Buffer.from('bounce') },
            { entry: large, body: Buffer.alloc(300_000, 'L') },
          ],
        ),
      );
      assert.equal(must(await store.read(kept)).attempts, 1);
      assert.equal((await store.read(gone)).ok, false);
      assert.equal((await store.openBody(queueEntry(gone))).ok, false);
      assert.equal((await bodyOf(store, small.id)).toString(), 'bounce');
      assert.equal((await bodyOf(store, large.id)).length, 300_000);
      assert.deepEqual(
        (await store.due(9000, 10)).map(({ id, dueMs }) => [dueMs, id]),
        [
          [2000, kept],
          [3000, small.id],
          [4000, large.id],
        ],
      );
    });

    test('a large body survives many replaces and goes with its entry', async (store) => {
      const body = Buffer.alloc(200_000, 'large');
      const id = await enqueue(store, body);
      for (let attempts = 1; attempts <= 5; attempts += 1) {
        const entry = queueEntry(id, { attempts, dueMs: attempts * 1000 });
        must(await store.settle([{ kind: 'replace', entry }]));
      }
      assert.ok(body.equals(await bodyOf(store, id)));
      must(await store.settle([{ kind: 'remove', id }]));
      assert.equal(await store.nextDueMs(), undefined);
    });

    test("hold is the operator's: a replace by qmgr keeps it, and undoes no removal", async (store) => {
      const id = await enqueue(store, Buffer.from('x'), { dueMs: 1000 });
      const change = (onHold: boolean, byOperator: boolean): EntryChange => ({
        kind: 'replace',
        entry: queueEntry(id, { dueMs: 1000, onHold }),
        ...(byOperator ? { byOperator } : {}),
      });
      must(await store.settle([change(true, true)]));
      assert.deepEqual(await store.due(9000, 10), []);
      must(await store.settle([change(false, false)]));
      assert.equal(must(await store.read(id)).onHold, true);
      assert.deepEqual(await store.due(9000, 10), []);
      must(await store.settle([change(false, true)]));
      assert.equal((await store.due(9000, 10)).length, 1);
      must(await store.settle([{ kind: 'remove', id }]));
      must(await store.settle([change(false, false)]));
      assert.equal((await store.read(id)).ok, false);
      assert.deepEqual(await store.due(9000, 10), []);
    });

    test('list() gives every entry in id order', async (store) => {
      const ids: string[] = [];
      for (let i = 0; i < 250; i += 1) ids.push(await enqueue(store, Buffer.from(`${i}`)));
      const listed: string[] = [];
      for await (const entry of store.list()) listed.push(must(entry).id);
      assert.deepEqual(listed, ids.sort());
    });

    test('many sessions at once commit and settle without mixing', async (store) => {
      await Promise.all(
        Array.from({ length: 40 }, async (_, writer) => {
          for (let i = 0; i < 10; i += 1) {
            const text = `${writer}/${i} `.repeat(writer * 700);
            const id = await enqueue(store, Buffer.from(text), { sender: `${writer}/${i}` });
            assert.equal(must(await store.read(id)).sender, `${writer}/${i}`);
            assert.equal((await bodyOf(store, id)).toString(), text);
            if (i % 2) must(await store.settle([{ kind: 'remove', id }]));
          }
        }),
      );
      assert.equal((await store.due(Number.MAX_SAFE_INTEGER, 1000)).length, 200);
    });

    test('quarantine() takes a message out of due and list', async (store) => {
      const id = await enqueue(store, Buffer.from('x'));
      must(await store.quarantine(id));
      assert.equal((await store.read(id)).ok, false);
      assert.deepEqual(await store.due(Number.MAX_SAFE_INTEGER, 10), []);
      assert.equal(must(await store.recover()).entries, 0);
    });

    test('acceptsMail() and maintain() are quiet on a healthy store', async (store) => {
      must(store.acceptsMail(1000));
      store.maintain();
      assert.deepEqual(must(await store.recover()), {
        entries: 0,
        corrupt: 0,
        reindexed: 0,
        orphans: 0,
      });
    });

    test('after close() nothing is written', async (store) => {
      const draft = store.begin();
      draft.write(Buffer.from('x'));
      await store.close();
      assert.equal((await draft.commit(queueEntry(draft.id))).ok, false);
      assert.equal((await store.settle([{ kind: 'remove', id: 'x' }])).ok, false);
      assert.equal(store.acceptsMail(1).ok, false);
    });
  });
}
