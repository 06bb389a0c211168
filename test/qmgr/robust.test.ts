/** Errors, limits and losses that must stay where they are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QmgrParts } from '../../src/qmgr/active.ts';
import { ok } from '../../src/util/result.ts';
import { addAgent, openHarness, outcome, put, recipients, sent, turns } from './harness.ts';

const count = (lines: readonly string[], part: string) =>
  lines.filter((line) => line.includes(part)).length;

test('deliveries of a lost agent are given to the next one', async () => {
  const { qmgr, store } = openHarness();
  const lost = addAgent(qmgr);
  const entry = await put(store, {});
  qmgr.arrived(entry);
  await turns();
  assert.equal(lost.requests.length, 1);
  qmgr.removeAgent(lost.agent);
  const next = addAgent(qmgr, sent);
  await turns();
  assert.equal(next.requests.length, 1);
  assert.equal(store.entries.size, 0);
  await qmgr.drain();
});

test('a full disk delays the record and loses nothing', async () => {
  const { qmgr, store } = openHarness();
  addAgent(qmgr, sent);
  const entry = await put(store, {});
  store.fault = { kind: 'no-space', reason: 'full' };
  qmgr.arrived(entry);
  await turns();
  assert.equal(store.entries.size, 1);
  store.fault = undefined;
  await qmgr.drain();
  assert.equal(store.entries.size, 0);
});

test('an agent that never answers is cut off after qmgr_daemon_timeout', async () => {
  const { qmgr, store, clock } = openHarness();
  let isCut = false;
  const { agent } = addAgent(qmgr);
  agent.channel.socket.destroy = () => {
    isCut = true;
    return agent.channel.socket;
  };
  qmgr.arrived(await put(store, {}));
  await turns();
  clock.nowMs += 999_000;
  await qmgr.scan();
  assert.equal(isCut, false);
  clock.nowMs += 2_000;
  await qmgr.scan();
  assert.equal(isCut, true);
});

test('an error that one message causes puts that one off, and stops no other', async () => {
  const resolve: QmgrParts['resolve'] = async (_sender, recipient) => {
    if (recipient === 'bad@x.example') throw new TypeError('no such thing');
    return ok({ transport: 'smtp', nexthop: 'x.example', recipient });
  };
  const { qmgr, store, lines, clock } = openHarness({}, { resolve });
  addAgent(qmgr, sent);
  const bad = await put(store, { recipients: recipients('bad@x.example') });
  const good = await put(store, { recipients: recipients('good@x.example') });
  qmgr.arrived(bad);
  qmgr.arrived(good);
  await turns();
  assert.deepEqual([...store.entries.keys()], [bad.id]);
  assert.equal(store.entries.get(bad.id)?.dueMs, clock.nowMs + 4_000_000);
  assert.equal(qmgr.isActive(bad.id), false);
  assert.equal(
    count(lines, `${bad.id}: internal error, message is put off: TypeError: no such`),
    1,
  );
  await qmgr.drain();
});

test('an entry that lacks what every message has is set aside', async () => {
  const { qmgr, store, lines } = openHarness();
  addAgent(qmgr, sent);
  const entry = await put(store, { recipients: undefined as unknown as [] });
  const good = await put(store, {});
  await qmgr.scan();
  await turns();
  assert.equal(store.entries.size, 0);
  assert.equal(count(lines, `${entry.id}: damaged queue entry, set aside`), 1);
  assert.equal(count(lines, `${good.id}: removed`), 1);
  await qmgr.drain();
});

test('a report that cannot be composed delays its message only', async () => {
  const compose: QmgrParts['compose'] = async () => {
    throw new Error('out of paper');
  };
  const { qmgr, store } = openHarness({}, { compose });
  addAgent(qmgr, (request) =>
    request.nexthop === 'bad.example' ? outcome('bounced')(request) : sent(request),
  );
  const bad = await put(store, { recipients: recipients('a@bad.example') });
  qmgr.arrived(bad);
  qmgr.arrived(await put(store, {}));
  await turns();
  assert.deepEqual([...store.entries.keys()], [bad.id]);
  assert.equal(store.entries.get(bad.id)?.recipients[0]?.state, 'pending');
  await qmgr.drain();
});

test('never more messages are active than the limit; a flush goes on as they end', async () => {
  const { qmgr, store, clock } = openHarness({
    qmgr_message_active_limit: '3',
    default_destination_concurrency_limit: '100',
  });
  const { agent, requests } = addAgent(qmgr);
  const ids: string[] = [];
  for (let i = 0; i < 10; i += 1) {
    const entry = await put(store, {
      dueMs: clock.nowMs + 3_600_000,
      recipients: recipients(`u@d${i}.example`),
    });
    ids.push(entry.id);
  }
  const isActive = () => ids.filter((id) => qmgr.isActive(id)).length;
  const flushed = qmgr.flush();
  let most = 0;
  for (let answered = 0; answered < 10; answered += 1) {
    await turns();
    most = Math.max(most, isActive());
    const next = requests[answered];
    assert.ok(next, `delivery ${answered}`);
    qmgr.report(agent, next.seq, outcome('deferred')(next.request));
  }
  await turns();
  await flushed;
  assert.equal(most, 3);
  assert.deepEqual(
    requests.map(({ request }) => request.id),
    ids,
    'each once',
  );
  await qmgr.drain();
});

test('a destination that is dead is forgotten when its time is over', async () => {
  const { qmgr, store, clock, lines } = openHarness({ initial_destination_concurrency: '1' });
  addAgent(qmgr, (request) => ({
    ...outcome('deferred')(request),
    siteFailure: { status: '4.4.1', reason: 'refused' },
  }));
  qmgr.arrived(await put(store, { recipients: recipients('a@dead.example') }));
  await turns();
  clock.nowMs += 301_000;
  await qmgr.scan();
  await turns();
  assert.equal(count(lines, 'status=deferred (host said so)'), 2, 'tried again, not suspended');
  await qmgr.drain();
});

test('what was due and had no room is taken up as soon as there is some', async () => {
  const { qmgr, store, clock } = openHarness({
    qmgr_message_active_limit: '4',
    default_destination_concurrency_limit: '100',
  });
  addAgent(qmgr, sent);
  for (let i = 0; i < 20; i += 1) {
    await put(store, { dueMs: clock.nowMs, recipients: recipients(`u@d${i}.example`) });
  }
  await qmgr.scan();
  // Each further look is 50 ms away: well within the 10 s of the next regular one.
  for (let i = 0; i < 300 && store.entries.size > 0; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(store.entries.size, 0);
  await qmgr.drain();
});
