import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openAuthClient } from '../../src/auth/client.ts';
import type { Passdb } from '../../src/auth/passdb.ts';
import { serveAuth } from '../../src/auth/serve.ts';
import type { Logger } from '../../src/log/maillog.ts';

const directory = mkdtempSync(join(tmpdir(), 'postern-auth-'));
after(() => rmSync(directory, { recursive: true }));
const lines: string[] = [];
const add = (text: string): void => void lines.push(text);
const logger: Logger = {
  info: add,
  warning: add,
  error: add,
  fatal: add,
  panic: add,
  flush: () => undefined,
};

/** Answers by the name: `yes`, `no`, `down`, `never`, `slow`. */
const passdb: Passdb = {
  verify: async (username) => {
    if (username === 'never') return new Promise(() => undefined);
    if (username === 'slow') await new Promise((resolve) => setTimeout(resolve, 30));
    if (username === 'down') return { kind: 'unavailable', reason: 'no disk' };
    return username === 'no'
      ? { kind: 'rejected' }
      : { kind: 'accepted', username: 'yes@x', groups: ['g'] };
  },
};

async function listen(path: string): Promise<{ server: Server; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    serveAuth(socket, { passdb, logger });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { server, sockets };
}

const client = (path: string) => openAuthClient({ path, service: 'submission', deadlineMs: 200 });

test('answers come back to their questions, in any order, over one connection', async () => {
  const path = join(directory, 'a');
  const { server, sockets } = await listen(path);
  const auth = client(path);
  const answers = await Promise.all(
    ['slow', 'yes', 'no', 'down'].map((name) => auth.verify(name, 's3cret', '192.0.2.1')),
  );
  const accepted = { kind: 'accepted', username: 'yes@x', groups: ['g'] };
  assert.deepEqual(answers, [accepted, accepted, { kind: 'rejected' }, { kind: 'unavailable' }]);
  assert.equal(sockets.length, 1);
  assert.match(lines.join('\n'), /cannot check the password of down from 192.0.2.1: no disk/);
  assert.doesNotMatch(lines.join('\n'), /s3cret/);
  auth.close();
  server.close();
});

test('no process, no answer in time, a broken connection: unavailable; then it connects again', async () => {
  const path = join(directory, 'b');
  const auth = client(path);
  assert.deepEqual(await auth.verify('yes', 's', ''), { kind: 'unavailable' });
  const { server, sockets } = await listen(path);
  assert.equal((await auth.verify('yes', 's', '')).kind, 'accepted');
  assert.deepEqual(await auth.verify('never', 's', ''), { kind: 'unavailable' });
  const cut = auth.verify('never', 's', '');
  for (const socket of sockets) socket.destroy();
  assert.deepEqual(await cut, { kind: 'unavailable' });
  assert.equal((await auth.verify('yes', 's', '')).kind, 'accepted');
  auth.close();
  assert.deepEqual(await auth.verify('yes', 's', ''), { kind: 'unavailable' });
  server.close();
});

test('a question that a closing connection left unanswered is put to the next process once', async () => {
  const path = join(directory, 'c');
  const { server, sockets } = await listen(path);
  const auth = client(path);
  assert.equal((await auth.verify('yes', 's3cret', '192.0.2.1')).kind, 'accepted');
  const late = auth.verify('slow', 's3cret', '192.0.2.1');
  for (const socket of sockets) socket.destroy();
  assert.equal((await late).kind, 'accepted');
  assert.equal(sockets.length, 2);
  auth.close();
  server.close();
});
