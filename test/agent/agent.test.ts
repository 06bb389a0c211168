/** The agent's side of private/qmgr against a server that speaks for qmgr. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Agent, type AgentParts, runAgent } from '../../src/agent/agent.ts';
import { BodyFault } from '../../src/agent/body.ts';
import { type Channel, openChannel } from '../../src/ipc/channel.ts';
import type { FromQmgr, ToQmgr } from '../../src/ipc/protocol.ts';
import { dsn } from '../../src/mail/dsn.ts';
import { deliveryRequest } from '../support/agent-body.ts';

const root = mkdtempSync(join(tmpdir(), 'postern-agent-'));
after(() => rmSync(root, { recursive: true, force: true }));
let count = 0;

type Peer = {
  readonly channel: Channel<FromQmgr>;
  readonly got: ToQmgr[];
  readonly next: (kind: string) => Promise<ToQmgr>;
  readonly ended: Promise<void>;
  readonly agent: Agent;
};

async function pair(deliver: AgentParts['deliver'], maxIdleMs = 60_000): Promise<Peer> {
  const path = join(root, `q${(count += 1)}`);
  const got: ToQmgr[] = [];
  const waiting = new Map<string, (message: ToQmgr) => void>();
  const accepted = Promise.withResolvers<Channel<FromQmgr>>();
  const server = createServer((socket) => {
    accepted.resolve(
      openChannel<FromQmgr>(socket, {
        onMessage: (message) => {
          got.push(message as ToQmgr);
          waiting.get((message as ToQmgr).kind)?.(message as ToQmgr);
        },
        onClose: () => server.close(),
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const ended = Promise.withResolvers<void>();
  const agent = runAgent(connect(path), {
    transport: 'local',
    slots: 1,
    maxIdleMs,
    logger: { warning() {} },
    deliver,
    onEnd: () => ended.resolve(),
  });
  return {
    channel: await accepted.promise,
    got,
    agent,
    ended: ended.promise,
    next: (kind) =>
      new Promise((resolve) => {
        const there = got.find((message) => message.kind === kind);
        if (there) resolve(there);
        else waiting.set(kind, resolve);
      }),
  };
}

const request = (bytes: number) =>
  deliveryRequest(['joe@example.org'], {
    content: { wireBytes: bytes, sizeBytes: bytes, has8bit: false, hasDotLines: false },
  });
const outcome = (reason: string) => ({
  outcomes: [{ index: 0, kind: 'sent' as const, dsn: dsn('2.0.0', reason), relay: 'local' }],
});
const reasonOf = (message: ToQmgr) =>
  message.kind === 'report' ? message.report.outcomes[0]?.dsn.reason : undefined;

test('hello, slots, a small body asked for once, a report', async () => {
  const peer = await pair(async (_request, openBody) => {
    const first = await openBody();
    const second = await openBody();
    assert.ok(first.ok && second.ok);
    return outcome(`${first.value.bytes}${second.value.bytes}`);
  });
  await peer.next('agent');
  peer.channel.send({ kind: 'deliver', seq: 7, request: request(4) });
  await peer.next('body-wanted');
  peer.channel.sendBytes(7, Buffer.from('ab'));
  peer.channel.sendBytes(7, Buffer.from('cd'));
  peer.channel.send({ kind: 'body', seq: 7, last: true });
  assert.equal(reasonOf(await peer.next('report')), 'abcdabcd');
  peer.channel.socket.destroy();
  await peer.ended;
  assert.deepEqual(
    peer.got.map(({ kind }) => kind),
    ['hello', 'agent', 'body-wanted', 'report'],
  );
});

test('a drained agent finishes and reports what it has, and takes no more', async () => {
  const gate = Promise.withResolvers<void>();
  let begun = 0;
  const peer = await pair(async () => {
    begun += 1;
    await gate.promise;
    return outcome('done');
  });
  peer.channel.send({ kind: 'deliver', seq: 1, request: request(0) });
  while (begun === 0) await new Promise(setImmediate);
  const drained = peer.agent.drain();
  peer.channel.send({ kind: 'deliver', seq: 2, request: request(0) });
  gate.resolve();
  await drained;
  assert.equal(reasonOf(await peer.next('report')), 'done');
  assert.equal(begun, 1);
});

test('an agent without work ends', async () => {
  const peer = await pair(async () => outcome('never'), 5);
  await peer.ended;
});

test('a large body streams; a second delivery of it asks again', async () => {
  const size = 3 * 1024 * 1024;
  const piece = Buffer.alloc(65_536, 'x');
  let asked = 0;
  const peer = await pair(async (_request, openBody) => {
    let total = 0;
    for (let i = 0; i < 2; i += 1) {
      const body = await openBody();
      assert.ok(body.ok);
      assert.equal(body.value.bytes, undefined);
      for await (const chunk of body.value.chunks) total += chunk.length;
    }
    return outcome(String(total));
  });
  peer.channel.send({ kind: 'deliver', seq: 1, request: request(size) });
  while (asked < 2) {
    while (peer.got.filter(({ kind }) => kind === 'body-wanted').length <= asked)
      await new Promise(setImmediate);
    asked += 1;
    for (let sent = 0; sent < size; sent += piece.length) {
      if (!peer.channel.sendBytes(1, piece)) await peer.channel.drained();
    }
    peer.channel.send({ kind: 'body', seq: 1, last: true });
  }
  assert.equal(reasonOf(await peer.next('report')), String(2 * size));
  peer.channel.socket.destroy();
  await peer.ended;
});

const FAULTS: readonly [string, (peer: Peer) => void, RegExp][] = [
  [
    'short',
    ({ channel }) => (
      channel.sendBytes(1, Buffer.from('ab')), channel.send({ kind: 'body', seq: 1, last: true })
    ),
    /^body of 2 bytes instead of 4$/,
  ],
  [
    'refused',
    ({ channel }) => channel.send({ kind: 'body', seq: 1, last: true, fault: 'CRC' }),
    /^CRC$/,
  ],
];
for (const [name, answer, reason] of FAULTS) {
  test(`a body that is ${name} is a fault`, async () => {
    const peer = await pair(async (_request, openBody) => {
      const body = await openBody();
      return outcome(body.ok ? 'ok' : body.error);
    });
    peer.channel.send({ kind: 'deliver', seq: 1, request: request(4) });
    await peer.next('body-wanted');
    answer(peer);
    assert.match(reasonOf(await peer.next('report')) ?? '', reason);
    peer.channel.socket.destroy();
  });
}

test('when qmgr goes in the middle of a stream the delivery fails and the agent ends', async () => {
  let seen: unknown;
  const peer = await pair(async (_request, openBody) => {
    const body = await openBody();
    assert.ok(body.ok);
    try {
      for await (const chunk of body.value.chunks) seen = chunk.length;
    } catch (error) {
      seen = error;
    }
    return outcome('gone');
  });
  peer.channel.send({ kind: 'deliver', seq: 1, request: request(3_000_000) });
  await peer.next('body-wanted');
  peer.channel.sendBytes(1, Buffer.alloc(200_000));
  await new Promise(setImmediate);
  peer.channel.socket.end();
  await peer.ended;
  assert.ok(seen instanceof BodyFault);
});
