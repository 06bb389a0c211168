/**
 * A process that opens and closes a queue until its input ends: `opener-child.ts DIRECTORY gate|raw`.
 * `raw` goes past the gate, as a control. Prints how often it did.
 */
import { open } from 'lmdb';
import { openQueue } from '../support/lmdb-queue.ts';

const [directory = '', way = 'gate'] = process.argv.slice(2);
let times = 0;
let isOver = false;
process.stdin.on('end', () => {
  isOver = true;
});
process.stdin.resume();

while (!isOver) {
  if (way === 'gate') {
    const store = await openQueue(directory, { create: false, readOnly: times % 2 === 0 });
    await store.close();
  } else {
    const root = open({ path: directory, noSubdir: false, maxDbs: 8, maxReaders: 1000 });
    await root.close();
  }
  times += 1;
  await new Promise((resolve) => setImmediate(resolve));
}
process.stdout.write(`${times}\n`);
