/**
 * Power loss: a copy of a mounted ext4 image holds what had reached the disk and nothing else.
 * What was acknowledged before the copy must be in it; with syncing off it is not, which shows
 * that the test would notice.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openQueue } from '../support/lmdb-queue.ts';
import { bodyOf, must } from './store-contract.ts';

const CHILD = fileURLToPath(new URL('./writer-child.ts', import.meta.url));
const IMAGES = 4;

const succeeds = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore' }).status === 0;

type Disk = { readonly image: string; readonly mounted: string; readonly top: string };

/** A fresh ext4 file system in an image file; undefined where that is not allowed. */
function makeDisk(): Disk | undefined {
  const top = mkdtempSync(join(tmpdir(), 'postern-power-'));
  const disk = { top, image: join(top, 'image'), mounted: join(top, 'mounted') };
  mkdirSync(disk.mounted);
  const isMade =
    succeeds('truncate', '-s', '64M', disk.image) &&
    succeeds('mkfs.ext4', '-q', '-F', disk.image) &&
    succeeds('mount', '-o', 'loop', disk.image, disk.mounted);
  if (isMade) return disk;
  rmSync(top, { recursive: true });
  return undefined;
}

function removeDisk(disk: Disk): void {
  succeeds('umount', disk.mounted);
  rmSync(disk.top, { recursive: true, force: true });
}

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
    const copy = join(disk.top, `copy${round}`);
    const before = output.join('');
    pauseWhile(writer, () => copyFileSync(disk.image, copy));
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
function pauseWhile(child: ChildProcess, run: () => void): void {
  child.kill('SIGSTOP');
  run();
  child.kill('SIGCONT');
}

async function check(copy: string, bytes: number, before: string, whole: string) {
  const mounted = `${copy}.mounted`;
  mkdirSync(mounted);
  assert.ok(succeeds('mount', '-o', 'loop', copy, mounted), 'the image can be mounted');
  let lost = 0;
  let acknowledged = 0;
  try {
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
  } finally {
    succeeds('umount', mounted);
  }
  return { lost, acknowledged };
}

describe('lmdb queue: power loss', () => {
  for (const bytes of [4096, 200_000]) {
    it(`loses nothing that was acknowledged, ${bytes} bytes`, { timeout: 60_000 }, async (t) => {
      const disk = makeDisk();
      if (!disk) return t.skip('mounting an image is not allowed');
      try {
        const [lost, acknowledged] = await lostOn(disk, bytes, false);
        t.diagnostic(`${acknowledged} acknowledged, ${lost} lost, ${IMAGES} images`);
        assert.ok(acknowledged > 0);
        assert.equal(lost, 0);
      } finally {
        removeDisk(disk);
      }
    });
  }

  it('control: with syncing off the same test finds losses', { timeout: 60_000 }, async (t) => {
    const disk = makeDisk();
    if (!disk) return t.skip('mounting an image is not allowed');
    try {
      const [lost, acknowledged] = await lostOn(disk, 4096, true);
      t.diagnostic(`${acknowledged} acknowledged, ${lost} lost`);
      assert.ok(lost > 0);
    } finally {
      removeDisk(disk);
    }
  });
});
