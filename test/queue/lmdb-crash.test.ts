/** Killed writers, several writers, and readers that died: nothing acknowledged is lost. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { QueueKeeper } from '../../src/queue/store.ts';
import { openQueue, temporaryQueue } from '../support/lmdb-queue.ts';
import { queueEntry } from '../support/queue-entry.ts';
import { bodyOf, enqueue, must } from './store-contract.ts';

const OPENER = fileURLToPath(new URL('./opener-child.ts', import.meta.url));
const CHILD = fileURLToPath(new URL('./writer-child.ts', import.meta.url));

type Ledger = { readonly acknowledged: Set<string>; readonly removing: Set<string> };

function startWriter(...args: string[]): { child: ChildProcess; ledger: Promise<Ledger> } {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ledger = (async () => {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    await once(child, 'close');
    const acknowledged = new Set<string>();
    const removing = new Set<string>();
    // The last line may be cut: then the id was not read, hence not acknowledged.
    for (const line of text.split('\n').slice(0, -1)) {
      (line[0] === '+' ? acknowledged : removing).add(line.slice(1));
    }
    return { acknowledged, removing };
  })();
  return { child, ledger };
}

/** Small seeded generator, so that a failure can be run again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What acknowledged messages are not there, and what removed ones still are. */
async function compare(
  store: QueueKeeper,
  ledgers: readonly Ledger[],
): Promise<{ lost: number; undead: number }> {
  const listed = new Set<string>();
  for await (const entry of store.list()) listed.add(must(entry).id);
  let lost = 0;
  let undead = 0;
  for (const { acknowledged, removing } of ledgers) {
    for (const id of acknowledged) if (!removing.has(id) && !listed.has(id)) lost += 1;
    for (const id of removing) if (listed.has(id)) undead += 1;
  }
  return { lost, undead };
}

async function writeBesideOpeners(
  way: 'gate' | 'raw',
  count: string,
): Promise<{ times: number; difference: { lost: number; undead: number } }> {
  const queue = await temporaryQueue();
  try {
    const openers = [1, 2].map(() => {
      const stdio: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit'];
      const child = spawn(process.execPath, [OPENER, queue.directory, way], { stdio });
      return { child, output: text(child.stdout) };
    });
    const writers = [1, 2].map(() => startWriter(queue.directory, '20', '1024', count));
    const ledgers = await Promise.all(writers.map(({ ledger }) => ledger));
    for (const { child } of openers) child.stdin?.end();
    const times = await Promise.all(openers.map(({ output }) => output));
    const opened = times.reduce((sum, one) => sum + Number(one), 0);
    return { times: opened, difference: await compare(queue.store, ledgers) };
  } finally {
    await queue.close();
  }
}

describe('lmdb queue: crashes', () => {
  it('has every acknowledged message, whole, after 20 kills', { timeout: 60_000 }, async (t) => {
    const queue = await temporaryQueue();
    const seed = Number(process.env['SEED'] ?? Date.now() % 100_000);
    t.diagnostic(`seed ${seed}`);
    const roll = random(seed);
    let acknowledged = 0;
    try {
      for (let round = 0; round < 20; round += 1) {
        const bytes = round % 4 === 3 ? 200_000 : 4096;
        const { child, ledger } = startWriter(queue.directory, '20', String(bytes));
        // The first output says that it writes; then it is killed at any moment.
        if (child.stdout) await once(child.stdout, 'data');
        await new Promise((resolve) => setTimeout(resolve, roll() * 60));
        child.kill('SIGKILL');
        const seen = await ledger;
        acknowledged += seen.acknowledged.size;
        queue.store.maintain();
        assert.equal(must(await queue.store.recover()).corrupt, 0);
        for (const id of seen.acknowledged) {
          const entry = await queue.store.read(id);
          if (!entry.ok) {
            assert.ok(seen.removing.has(id), `lost ${id}: ${entry.error.reason}`);
            continue;
          }
          const body = await bodyOf(queue.store, id);
          assert.ok(body.equals(Buffer.alloc(bytes, `${id} `)), `body of ${id}`);
        }
        const changes = [...seen.acknowledged].map((id) => ({ kind: 'remove' as const, id }));
        must(await queue.store.settle(changes));
      }
      t.diagnostic(`${acknowledged} messages acknowledged`);
      assert.ok(acknowledged > 200);
    } finally {
      await queue.close();
    }
  });

  it('takes three writing processes at once', { timeout: 60_000 }, async () => {
    const queue = await temporaryQueue();
    try {
      const writers = [1, 2, 3].map(() => startWriter(queue.directory, '20', '4096', '1000'));
      const ledgers = await Promise.all(writers.map(({ ledger }) => ledger));
      for (const { acknowledged } of ledgers) assert.equal(acknowledged.size, 1000);
      assert.deepEqual(await compare(queue.store, ledgers), { lost: 0, undead: 0 });
    } finally {
      await queue.close();
    }
  });

  it('loses nothing while processes open and close it', { timeout: 120_000 }, async (t) => {
    const { times, difference } = await writeBesideOpeners('gate', '1500');
    t.diagnostic(`opened ${times} times`);
    assert.ok(times > 20);
    assert.deepEqual(difference, { lost: 0, undead: 0 });
  });

  it('a sign that a killed opener left delays writers, no more', async () => {
    const queue = await temporaryQueue();
    try {
      const id = await enqueue(queue.store, Buffer.alloc(10, 'x'));
      writeFileSync(`${queue.directory}/gate.sign`, '');
      const removed = await Promise.all([
        queue.store.settle([{ kind: 'remove', id }]),
        enqueue(queue.store, Buffer.alloc(10, 'y')),
      ]);
      must(removed[0]);
      assert.equal(existsSync(`${queue.directory}/gate.sign`), false);
    } finally {
      await queue.close();
    }
  });

  it('control: past the gate the same test finds losses', { timeout: 120_000 }, async (t) => {
    for (let round = 1; round <= 10; round += 1) {
      const { times, difference } = await writeBesideOpeners('raw', '1500').catch((error) => {
        // A process may even crash on what it reads then.
        t.diagnostic(String(error));
        return { times: 0, difference: { lost: 1, undead: 0 } };
      });
      t.diagnostic(`round ${round}: opened ${times} times, ${JSON.stringify(difference)}`);
      if (difference.lost + difference.undead > 0) return;
    }
    assert.fail('no loss was seen: the test proves nothing any more');
  });

  it('frees what a killed reader pinned; the file stays small under churn', {
    timeout: 120_000,
  }, async (t) => {
    const queue = await temporaryQueue();
    try {
      // A snapshot held by a process that is then killed.
      const source = `
        import { open } from 'lmdb';
        const root = open({ path: process.argv[1], noSubdir: false, readOnly: true, mapSize: 2 ** 36, maxDbs: 8, maxReaders: 1000 });
        const held = root.useReadTransaction();
        root.getStats();
        root.get('x', { transaction: held });
        process.stdout.write('held');
        setInterval(() => held, 1000);`;
      const args = ['--input-type=module', '-e', source, queue.directory];
      const reader = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(reader.stdout, 'data');
      reader.kill('SIGKILL');
      await once(reader, 'close');
      queue.store.maintain();
      t.diagnostic(queue.lines.join('\n'));
      for (let round = 0; round < 500; round += 1) {
        const ids = await Promise.all(
          Array.from({ length: 100 }, () => enqueue(queue.store, Buffer.alloc(2048, 'c'))),
        );
        must(await queue.store.settle(ids.map((id) => ({ kind: 'remove' as const, id }))));
      }
      const { size } = statSync(`${queue.directory}/data.mdb`);
      t.diagnostic(`data.mdb after 50,000 messages: ${size} bytes`);
      assert.ok(size < 8 * 2 ** 20, `${size} bytes`);
    } finally {
      await queue.close();
    }
  });

  it('recover() removes body files without a record, but not young ones', async () => {
    const queue = await temporaryQueue();
    try {
      const id = await enqueue(queue.store, Buffer.alloc(200_000, 'k'));
      for (const name of ['OLD', 'YOUNG']) writeFileSync(`${queue.directory}/bodies/${name}`, 'x');
      for (const name of ['OLD', id]) utimesSync(`${queue.directory}/bodies/${name}`, 1, 1);
      assert.equal(must(await queue.store.recover()).orphans, 1);
      assert.ok(statSync(`${queue.directory}/bodies/YOUNG`).isFile());
      assert.equal((await bodyOf(queue.store, id)).length, 200_000);
    } finally {
      await queue.close();
    }
  });

  it('a process that does not create waits for the queue, and says when there is none', async () => {
    const queue = await temporaryQueue();
    const elsewhere = `${queue.directory}2`;
    try {
      await assert.rejects(openQueue(elsewhere, { create: false }), /absent/);
      const waiting = openQueue(elsewhere, { create: false, waitMs: 5000, readOnly: true });
      const creator = await openQueue(elsewhere);
      const id = await enqueue(creator, Buffer.from('x'));
      const reader = await waiting;
      assert.equal((await bodyOf(reader, id)).toString(), 'x');
      const draft = reader.begin();
      assert.equal((await draft.commit(queueEntry(draft.id))).ok, false);
      await reader.close();
      await creator.close();
    } finally {
      await queue.close();
      rmSync(elsewhere, { recursive: true, force: true });
    }
  });
});
