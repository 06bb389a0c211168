/**
 * A process that fills a queue until it is killed: `writer-child.ts DIRECTORY WRITERS BYTES [COUNT]`.
 * It prints an id only after its commit, and a `-` with the id before the removal it then makes of
 * every third message, so that the reader of its output knows what must be there.
 */
import { writeSync } from 'node:fs';
import { openQueue } from '../support/lmdb-queue.ts';
import { queueEntry } from '../support/queue-entry.ts';

const [directory = '', writers = '1', bytes = '4096', count = 'Infinity'] = process.argv.slice(2);
const store = await openQueue(directory, {
  create: false,
  waitMs: 5000,
  unsafeNoSync: process.env['POSTERN_TEST_NO_SYNC'] === '1',
});
let left = Number(count);

/** A body that tells its own id and length. */
const bodyFor = (id: string) => Buffer.alloc(Number(bytes), `${id} `);

await Promise.all(
  Array.from({ length: Number(writers) }, async (_, writer) => {
    for (let i = 0; left > 0; i += 1) {
      left -= 1;
      const draft = store.begin();
      const more = draft.write(bodyFor(draft.id));
      if (more !== true) await more;
      const stored = await draft.commit(queueEntry(draft.id, { sender: `${writer}` }));
      if (!stored.ok) {
        writeSync(2, `${stored.error.kind}\n`);
        continue;
      }
      writeSync(1, `+${draft.id}\n`);
      if (i % 3 !== 2) continue;
      writeSync(1, `-${draft.id}\n`);
      await store.settle([{ kind: 'remove', id: draft.id }]);
    }
  }),
);
await store.close();
