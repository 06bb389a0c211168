import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { postsuper } from '../../src/cmd/postsuper.ts';
import { openChannel } from '../../src/ipc/channel.ts';
import { enqueue, must } from '../queue/store-contract.ts';
import { type CommandSite, commandSite } from './queue-commands.ts';

let site: CommandSite;
beforeEach(async () => {
  site = await commandSite();
});
afterEach(() => site.close());

const run = (words: string, stdin = '') =>
  site.run((io) => postsuper(words.split(' ').filter(Boolean), io, site.config), stdin);
const put = (changes: Parameters<typeof enqueue>[2] = {}) =>
  enqueue(site.store, Buffer.from('Subject: x\r\n\r\nbody\r\n'), changes);

describe('postsuper', () => {
  it('-d removes one message, and says so', async () => {
    const [id, other] = [await put(), await put()];
    const { status, err } = await run(`-d ${id}`);
    assert.equal(status, 0);
    assert.equal(err, `postsuper: ${id}: removed\npostsuper: Deleted: 1 message\n`);
    assert.equal((await site.store.read(id)).ok, false);
    assert.equal((await site.store.read(other)).ok, true);
  });

  it('-d ALL deferred leaves the other queues alone', async () => {
    const [fresh, deferred, held] = [
      await put(),
      await put({ attempts: 2 }),
      await put({ onHold: true }),
    ];
    await put({ attempts: 1 });
    assert.match((await run('-d ALL deferred')).err, /Deleted: 2 messages\n$/);
    assert.equal((await site.store.read(deferred)).ok, false);
    must(await site.store.read(fresh));
    must(await site.store.read(held));
    assert.match((await run('-d ALL')).err, /Deleted: 2 messages\n$/);
    assert.equal((await run('-d ALL')).err, 'postsuper: Deleted: 0 messages\n');
  });

  it('-h holds and -H releases; what is so already is not counted', async () => {
    const id = await put();
    assert.match(
      (await run(`-h ${id}`)).err,
      /placed on hold\npostsuper: Placed on hold: 1 message/,
    );
    assert.equal((await run(`-h ${id}`)).err, 'postsuper: Placed on hold: 0 messages\n');
    assert.equal(must(await site.store.read(id)).onHold, true);
    assert.deepEqual(await site.store.due(Number.MAX_SAFE_INTEGER, 9), []);
    assert.match((await run(`-H ${id}`)).err, /Released from hold: 1 message/);
    assert.equal((await site.store.due(Number.MAX_SAFE_INTEGER, 9)).length, 1);
  });

  it('-r makes a deferred message due at once, with ids from standard input', async () => {
    const id = await put({ attempts: 3, dueMs: Date.now() + 1e9 });
    const { err } = await run('-r -', `${id}\n../x\nNOSUCHMESSAGE\n\n`);
    assert.match(err, /invalid mail queue id: \.\.\/x[\s\S]*Requeued: 1 message\n$/);
    const entry = must(await site.store.read(id));
    assert.equal(entry.attempts, 0);
    assert.ok(entry.dueMs <= Date.now());
  });

  it('tells qmgr what it changed', async () => {
    const id = await put();
    const seen: unknown[] = [];
    const server = createServer((socket) => {
      openChannel(socket, { onMessage: (message) => seen.push(message), onClose: () => undefined });
    });
    await new Promise<void>((resolve) => server.listen(`${site.root}/public/qmgr`, resolve));
    await run(`-h ${id}`);
    await new Promise((resolve) => server.close(resolve));
    assert.deepEqual(seen, [{ kind: 'changed', id, change: 'held' }]);
  });

  it('-e marks a message to be returned, -f lets it go from hold too', async () => {
    const dueMs = Date.now() + 1e9;
    const [id, held] = [await put({ dueMs }), await put({ dueMs, onHold: true })];
    const { err } = await run(`-e ${id}`);
    assert.equal(err, `postsuper: ${id}: expired\npostsuper: Force-expired: 1 message\n`);
    const entry = must(await site.store.read(id));
    assert.equal(entry.isExpired, true);
    assert.ok(entry.dueMs <= Date.now());
    assert.match(
      (await run('-f ALL hold')).err,
      /Force-expired: 1 message\n.*released from hold\n.*Released from hold: 1 message\n$/,
    );
    const released = must(await site.store.read(held));
    assert.deepEqual([released.isExpired, released.onHold], [true, false]);
  });

  it('-p removes what sendmail left unfinished a week ago, and no mail', async () => {
    const maildrop = `${site.root}/maildrop`;
    mkdirSync(maildrop);
    for (const name of ['old.tmp', 'old.ask', 'old.mail', 'new.tmp']) {
      writeFileSync(`${maildrop}/${name}`, '');
      if (name.startsWith('old')) utimesSync(`${maildrop}/${name}`, 1000, 1000);
    }
    assert.deepEqual(await run('-p'), { status: 0, out: '', err: '' });
    assert.deepEqual(readdirSync(maildrop).sort(), ['new.tmp', 'old.mail']);
  });

  it('what is no queue id is a warning, and the others go on', async () => {
    const id = await put();
    const { status, err } = await run(`-d ../../etc -d ${id}`);
    assert.equal(status, 0);
    assert.match(
      err,
      /^postsuper: warning: invalid mail queue id: \.\.\/\.\.\/etc\n.*\npostsuper: Deleted: 1 message\n$/,
    );
  });

  for (const words of ['-d', '-x', 'nosuchqueue', '-d ALL nosuchqueue']) {
    it(`refuses "${words}"`, async () => {
      const { status, err } = await run(words);
      assert.equal(status, 1);
      assert.match(err, /^(?:postsuper: (?:option|invalid option) .*\n)?postsuper: fatal: /);
    });
  }
});
