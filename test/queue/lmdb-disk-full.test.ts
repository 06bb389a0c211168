/** A full disk: mail is refused with `no-space`, outcomes are still written, and it resumes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { openQueue } from '../support/lmdb-queue.ts';
import { queueEntry } from '../support/queue-entry.ts';
import { bodyOf, enqueue, must } from './store-contract.ts';

/** Mount a small tmpfs; undefined where that is not allowed. */
function smallDisk(): { readonly path: string; readonly unmount: () => void } | undefined {
  const path = mkdtempSync(join(tmpdir(), 'postern-full-'));
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m,mode=0700', 'tmpfs', path]);
  if (mount.status !== 0) {
    rmSync(path, { recursive: true });
    return undefined;
  }
  return {
    path,
    unmount: () => {
      spawnSync('umount', [path]);
      rmSync(path, { recursive: true });
    },
  };
}

/** Write until nothing goes in any more. */
function fill(path: string): void {
  const { bavail, bsize } = statfsSync(dirname(path));
  try {
    writeFileSync(path, Buffer.alloc(bavail * bsize + bsize, 1));
  } catch (error) {
    assert.match(String(error), /ENOSPC/);
  }
}

describe('lmdb queue: full disk', () => {
  it('answers no-space, keeps what was acknowledged, settles, and resumes', async (t) => {
    const disk = smallDisk();
    if (!disk) return t.skip('mounting a tmpfs is not allowed');
    const lines: string[] = [];
    const directory = join(disk.path, 'queue');
    const store = await openQueue(directory, { ballastBytes: 2 ** 20 }, lines);
    try {
      assert.ok(existsSync(`${directory}/ballast`));
      const body = Buffer.alloc(20_000, 'kept');
      const large = Buffer.alloc(400_000, 'large');
      const kept: string[] = [];
      for (let i = 0; i < 20; i += 1) kept.push(await enqueue(store, body, { dueMs: 1000 + i }));
      const keptLarge = await enqueue(store, large, { dueMs: 2000 });
      must(store.acceptsMail(1000));
      const filler = join(disk.path, 'filler');
      fill(filler);
      // Sessions that were under way: small and large, several at once.
      const attempts = Array.from({ length: 30 }, async (_, i) => {
        const draft = store.begin();
        const more = draft.write(
          i % 3 === 0 ? Buffer.alloc(900_000, 'n') : Buffer.alloc(90_000, 'n'),
        );
        if (more !== true) await more;
        return { id: draft.id, result: await draft.commit(queueEntry(draft.id)) };
      });
      const outcomes = await Promise.all(attempts);
      const failed = outcomes.filter(({ result }) => !result.ok);
      assert.ok(failed.length > 0);
      for (const { id, result } of failed) {
        assert.equal(result.ok || result.error.kind, 'no-space');
        assert.equal((await store.read(id)).ok, false, 'a refused message is not there');
        assert.equal(existsSync(`${directory}/bodies/${id}`), false);
      }

      await new Promise((resolve) => setTimeout(resolve, 1100));
      const refused = store.acceptsMail(1000);
      assert.equal(refused.ok || refused.error.kind, 'no-space');

      // Outcomes are written, if need be from the ballast.
      for (const [i, id] of kept.entries()) {
        const reason = 'x'.repeat(500);
        const [recipient] = queueEntry(id).recipients;
        const recipients = Array.from({ length: 20 }, () => ({
          ...recipient!,
          deferred: { status: '4.4.1' as const, reason },
        }));
        const entry = queueEntry(id, { attempts: 1, dueMs: 1000 + i, recipients });
        must(await store.settle([{ kind: 'replace', entry }]));
      }
      t.diagnostic(lines.join('; '));
      assert.equal(existsSync(`${directory}/ballast`), false, 'the ballast was needed');

      unlinkSync(filler);
      await new Promise((resolve) => setTimeout(resolve, 1100));
      must(store.acceptsMail(1000));
      store.maintain();
      assert.ok(existsSync(`${directory}/ballast`), 'the ballast is made again');
      const after = await enqueue(store, body);
      assert.ok(body.equals(await bodyOf(store, after)));
      for (const id of kept) assert.ok(body.equals(await bodyOf(store, id)));
      assert.ok(large.equals(await bodyOf(store, keptLarge)));
      assert.equal(must(await store.recover()).corrupt, 0);
    } finally {
      await store.close();
      disk.unmount();
    }
  });
});
