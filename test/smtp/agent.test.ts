import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { runAgent } from '../../src/agent/agent.ts';
import { openChannel } from '../../src/ipc/channel.ts';
import { deliver } from '../../src/smtp/deliver.ts';
import { freePort, isListening, startProgram, until } from '../support/instance.ts';
import { needs } from '../support/programs.ts';
import { makeParts, request, told } from './parts.ts';

async function socketPair(): Promise<readonly [Socket, Socket]> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const other = await accepted;
  server.close();
  return [socket, other];
}

test('an agent says hello, offers slots, reports each delivery and ends when idle', async () => {
  const [mine, theirs] = await socketPair();
  const seen: unknown[] = [];
  const ended = Promise.withResolvers<void>();
  const qmgr = openChannel<unknown>(theirs, {
    onMessage: (message) => seen.push(message),
    onClose: () => undefined,
  });
  runAgent(mine, {
    transport: 'relay',
    slots: 100,
    maxIdleMs: 30,
    logger: { warning: () => undefined },
    deliver: async () => ({ outcomes: [] }),
    onEnd: () => ended.resolve(),
  });
  qmgr.send({ kind: 'deliver', seq: 7, request: request('x') });
  await ended.promise;
  await until('three messages', () => seen.length === 3);
  assert.deepEqual(seen.slice(1), [
    { kind: 'agent', transport: 'relay', slots: 100 },
    { kind: 'report', seq: 7, report: { outcomes: [] } },
  ]);
  theirs.destroy();
});

test('smtp-sink takes a hundred messages over reused sessions', needs('smtp-sink'), async () => {
  const port = await freePort();
  const owner = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const sink = startProgram('smtp-sink', [...owner, `127.0.0.1:${port}`, '100']);
  after(() => sink.stop());
  await until('smtp-sink listens', () => isListening(port));
  const parts = makeParts();
  const reports = await Promise.all(
    Array.from({ length: 100 }, () =>
      deliver(request(`[127.0.0.1]:${port}`, ['b@x.test'], { reuse: true }), parts),
    ),
  );
  for (const report of reports) assert.match(told(report)[0] ?? '', /^sent 2\.0\.0 250 2\.0\.0 Ok/);
  parts.cache.closeAll();
});
