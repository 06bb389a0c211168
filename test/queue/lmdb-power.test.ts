/**
 * Power loss: a copy of a mounted ext4 image holds what had reached the disk and nothing else.
 * What was acknowledged before the copy must be in it; with syncing off it is not, which shows
 * that the test would notice.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Disk, makeDisk, mountCopy } from '../support/disk.ts';
import { openQueue } from '../support/lmdb-queue.ts';
import { bodyOf, must } from './store-contract.ts';

const CHILD = fileURLToPath(new URL('./writer-child.ts', import.meta.url));
const IMAGES = 4;

/** How many acknowledged messages the disk had lost, over some crash images. */
async function lostOn(disk: Disk, bytes: number, noSync: boolean): Promise<[number, number]> {
  const directory = join(disk.mounted, 'queue');
  await (await openQueue(directory)).close();
  const writer = spawn(
    process.execPath,
    [CHILD, directory, '5', String(bytes), bytes > 100_000 ? '250' : '1500'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, POSTERN_TEST_NO_SYNC: noSync ? '1' : '0' },
    },
  );
  const output: string[] = [];
  writer.stdout.setEncoding('utf8').on('data', (text: string) => void output.push(text));
  const copies: { readonly copy: string; readonly before: string }[] = [];
  for (let round = 0; round < IMAGES; round += 1) {
    await Promise.race([once(writer.stdout, 'data'), once(writer, 'close')]);
    await new Promise((resolve) => setTimeout(resolve, 30 + round * 20));
    const before = output.join('');
    const copy = pauseWhile(writer, disk.copy);
    copies.push({ copy, before });
  }
  writer.kill('SIGKILL');
  if (writer.exitCode === null && writer.signalCode === null) await once(writer, 'close');
  let lost = 0;
  let acknowledged = 0;
  for (const { copy, before } of copies) {
    const seen = await check(copy, bytes, before, output.join(''));
    acknowledged += seen.acknowledged;
    lost += seen.lost;
  }
  return [lost, acknowledged];
}

/** The copy is of one moment: nobody writes while it is made. */
function pauseWhile<T>(child: ChildProcess, run: () => T): T {
  child.kill('SIGSTOP');
  const result = run();
  child.kill('SIGCONT');
  return result;
}

function check(copy: string, bytes: number, before: string, whole: string) {
  return mountCopy(copy, async (mounted) => {
    let lost = 0;
    let acknowledged = 0;
    const directory = join(mounted, 'queue');
    const store = existsSync(directory) ? await openQueue(directory) : undefined;
    const lines = before.slice(0, before.lastIndexOf('\n') + 1).split('\n');
    for (const id of lines.filter((line) => line[0] === '+').map((line) => line.slice(1))) {
      // Removed, or about to be when the power went: it may be there or not.
      if (whole.includes(`-${id}\n`)) continue;
      acknowledged += 1;
      const entry = await store?.read(id);
      if (!entry?.ok || !(await bodyOf(store!, id)).equals(Buffer.alloc(bytes, `${id} `)))
        lost += 1;
    }
    if (store) assert.equal(must(await store.recover()).corrupt, 0);
    await store?.close();
    return { lost, acknowledged };
  });
}

describe('lmdb queue: power loss', () => {
  for (const bytes of [4096, 200_000]) {
    it(`loses nothing that was acknowledged, ${bytes} bytes`, { timeout: 60_000 }, async (t) => {
      const disk = makeDisk(64);
      if (!disk) return t.skip('mounting an image is not allowed');
      try {
        const [lost, acknowledged] = await lostOn(disk, bytes, false);
        t.diagnostic(`${acknowledged} acknowledged, ${lost} lost, ${IMAGES} images`);
        assert.ok(acknowledged > 0);
        assert.equal(lost, 0);
      } finally {
        disk.remove();
      }
    });
  }

  it('control: with syncing off the same test finds losses', { timeout: 60_000 }, async (t) => {
    const disk = makeDisk(64);
    if (!disk) return t.skip('mounting an image is not allowed');
    try {
      const [lost, acknowledged] = await lostOn(disk, 4096, true);
      t.diagnostic(`${acknowledged} acknowledged, ${lost} lost`);
      assert.ok(lost > 0);
    } finally {
      disk.remove();
    }
  });
});
