import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QmgrParts } from '../../src/qmgr/active.ts';
import { ok } from '../../src/util/result.ts';
import { addAgent, openHarness, outcome, put, recipients, sent, turns } from './harness.ts';

const count = (lines: readonly string[], part: string) =>
  lines.filter((line) => line.includes(part)).length;

test('a delivered message is logged and leaves the queue', async () => {
  const { qmgr, store, lines } = openHarness();
  addAgent(qmgr, sent);
  const entry = await put(store, {});
  qmgr.arrived(entry);
  await turns();
  assert.equal(store.entries.size, 0);
  assert.equal(count(lines, `qmgr: ${entry.id}: from=<sender@example.org>`), 1);
  assert.equal(count(lines, `smtp: ${entry.id}: to=<user@example.com>`), 1);
  assert.equal(lines.at(-1), `qmgr: ${entry.id}: removed`);
  await qmgr.drain();
});

test('a transport without an agent is asked for, and mail waits for it', async () => {
  const { qmgr, store, wanted } = openHarness();
  qmgr.arrived(await put(store, {}));
  await turns();
  assert.deepEqual([...new Set(wanted)], ['smtp']);
  addAgent(qmgr, sent);
  await turns();
  assert.equal(store.entries.size, 0);
  await qmgr.drain();
});

test('a deferred message is due again after its age, between the limits', async () => {
  for (const [ageSeconds, delaySeconds] of [
    [10, 300],
    [1000, 1000],
    [90_000, 4000],
  ] as const) {
    const { qmgr, store, clock } = openHarness();
    addAgent(qmgr, outcome('deferred'));
    const entry = await put(store, { arrivedMs: clock.nowMs - ageSeconds * 1000 });
    qmgr.arrived(entry);
    await turns();
    const kept = store.entries.get(entry.id);
    assert.equal((kept?.dueMs ?? 0) - clock.nowMs, delaySeconds * 1000);
    assert.equal(kept?.attempts, 1);
    assert.equal(kept?.recipients[0]?.deferred?.status, '4.2.0');
    await qmgr.drain();
  }
});

test('an expired message is reported once and removed', async () => {
  const { qmgr, store, lines, composed, clock } = openHarness();
  addAgent(qmgr, outcome('deferred'));
  const entry = await put(store, { arrivedMs: clock.nowMs - 6 * 86_400_000 });
  qmgr.arrived(entry);
  await turns();
  assert.deepEqual(composed, [`failed ${entry.id}`]);
  assert.equal(
    count(lines, `${entry.id}: from=<sender@example.org>, status=expired, returned to sender`),
    1,
  );
  assert.equal(store.entries.size, 0);
  await qmgr.drain();
});

test('a message that ends inside qmgr ends once', async () => {
  const { qmgr, store, lines, composed } = openHarness();
  const gone = await put(store, { filter: 'discard:' });
  const failed = await put(store, { filter: 'error:5.7.1 not here' });
  qmgr.arrived(gone);
  qmgr.arrived(failed);
  await turns();
  assert.equal(count(lines, `${gone.id}: removed`), 1);
  assert.equal(count(lines, `${failed.id}: removed`), 1);
  assert.deepEqual(composed, [`failed ${failed.id}`]);
  await qmgr.drain();
});

test('recipients of one destination go together, up to the limit', async () => {
  const { qmgr, store } = openHarness({ default_destination_recipient_limit: '2' });
  const { requests } = addAgent(qmgr);
  qmgr.arrived(
    await put(store, {
      recipients: recipients('a@x.example', 'b@x.example', 'c@x.example', 'd@y.example'),
    }),
  );
  await turns();
  const batches = requests.map(({ request }) => request.recipients.map(({ address }) => address));
  assert.deepEqual(batches.sort(), [
    ['a@x.example', 'b@x.example'],
    ['c@x.example'],
    ['d@y.example'],
  ]);
});

test('with one recipient a delivery, the concurrency limit counts each recipient by itself', async () => {
  const { qmgr, store } = openHarness({
    smtp_destination_recipient_limit: '1',
    smtp_destination_concurrency_limit: '2',
    smtp_initial_destination_concurrency: '2',
  });
  const { requests } = addAgent(qmgr);
  const addresses = ['a', 'b', 'c', 'd', 'e'].map((user) => `${user}@x.example`);
  qmgr.arrived(await put(store, { recipients: recipients(...addresses) }));
  for (let i = 0; i < 3; i += 1)
    qmgr.arrived(await put(store, { recipients: recipients('a@x.example') }));
  await turns();
  const byAddress = new Map<string, number>();
  for (const { request } of requests) {
    const address = request.recipients[0]?.address ?? '';
    byAddress.set(address, (byAddress.get(address) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(byAddress), {
    'a@x.example': 2,
    'b@x.example': 1,
    'c@x.example': 1,
    'd@x.example': 1,
    'e@x.example': 1,
  });
});

test('a dead destination defers what waits, and does not touch others', async () => {
  const { qmgr, store, lines } = openHarness({ initial_destination_concurrency: '1' });
  addAgent(qmgr, (request) =>
    request.nexthop === 'dead.example'
      ? {
          ...outcome('deferred')(request),
          siteFailure: { status: '4.4.1', reason: 'connect refused' },
        }
      : sent(request),
  );
  const first = await put(store, { recipients: recipients('a@dead.example') });
  const second = await put(store, { recipients: recipients('b@dead.example') });
  const other = await put(store, { recipients: recipients('c@fine.example') });
  for (const entry of [first, second, other]) qmgr.arrived(entry);
  await turns();
  assert.equal(count(lines, `${second.id}: to=<b@dead.example>`), 1);
  assert.equal(count(lines, 'delivery temporarily suspended: connect refused'), 1);
  assert.equal(store.entries.get(second.id)?.attempts, 1);
  assert.equal(store.entries.has(other.id), false);
  await qmgr.drain();
});

test('a report that names the wrong recipients marks none', async () => {
  const { qmgr, store } = openHarness();
  addAgent(qmgr, (request) => {
    const { outcomes } = sent(request);
    return { outcomes: outcomes.map((each) => ({ ...each, index: each.index + 1 })) };
  });
  const entry = await put(store, {});
  qmgr.arrived(entry);
  await turns();
  assert.equal(store.entries.get(entry.id)?.recipients[0]?.state, 'pending');
  await qmgr.drain();
});

test('mail on hold is left alone, also by a flush', async () => {
  const { qmgr, store } = openHarness();
  const { requests } = addAgent(qmgr, sent);
  const entry = await put(store, { onHold: true });
  await qmgr.scan();
  await qmgr.flush();
  await qmgr.flush({ id: entry.id });
  await turns();
  assert.equal(requests.length, 0);
  await qmgr.drain();
});

test('a flush tries transports of defer_transports; a scan does not', async () => {
  const resolve: QmgrParts['resolve'] = async (_sender, recipient) => {
    await turns(2);
    return ok({ transport: 'smtp', nexthop: 'x.example', recipient });
  };
  const { qmgr, store } = openHarness({ defer_transports: 'smtp' }, { resolve });
  const { requests } = addAgent(qmgr, sent);
  const entry = await put(store, {});
  qmgr.arrived(entry);
  await turns();
  assert.equal(requests.length, 0);
  assert.equal(store.entries.get(entry.id)?.recipients[0]?.deferred?.status, '4.3.2');
  await qmgr.flush();
  await turns();
  assert.equal(requests.length, 1);
  await qmgr.drain();
});

test('a flush of a site tries its mail and no other', async () => {
  const { qmgr, store, clock } = openHarness();
  const { requests } = addAgent(qmgr, sent);
  const dueMs = clock.nowMs + 3_600_000;
  await put(store, { dueMs, recipients: recipients('a@here.example') });
  await put(store, { dueMs, recipients: recipients('b@there.example') });
  await qmgr.flush({ site: 'Here.Example' });
  await turns();
  assert.deepEqual(
    requests.map(({ request }) => request.nexthop),
    ['here.example'],
  );
  await qmgr.drain();
});

test('a message that the operator removes is not started any more', async () => {
  const { qmgr, store, lines } = openHarness();
  const entry = await put(store, {});
  qmgr.arrived(entry);
  await turns();
  await store.settle([{ kind: 'remove', id: entry.id }]);
  qmgr.changed(entry.id, 'removed');
  await turns();
  const { requests } = addAgent(qmgr, sent);
  await turns();
  assert.equal(requests.length, 0);
  assert.equal(qmgr.isActive(entry.id), false);
  assert.equal(count(lines, 'to=<'), 0);
  await qmgr.drain();
});

test('a transport that cannot be started defers its mail, and is left alone for a while', async () => {
  const { qmgr, store, wanted, clock } = openHarness();
  qmgr.arrived(await put(store, {}));
  await turns();
  qmgr.noAgent('smtp', 'mail transport unavailable');
  const second = await put(store, {});
  qmgr.arrived(second);
  await turns();
  assert.equal(wanted.length, 1);
  assert.equal(
    store.entries.get(second.id)?.recipients[0]?.deferred?.reason,
    'mail transport unavailable',
  );
  clock.nowMs += 61_000;
  qmgr.arrived(await put(store, {}));
  await turns();
  assert.equal(wanted.length, 2);
  await qmgr.drain();
});

test('mail that the operator wants returned is not tried again', async () => {
  const { qmgr, store, lines, composed } = openHarness();
  const { requests } = addAgent(qmgr, sent);
  const entry = await put(store, { isExpired: true });
  qmgr.arrived(entry);
  await turns();
  assert.equal(requests.length, 0);
  assert.match(lines.join('\n'), /status=deferred \(message is administratively expired\)/);
  assert.match(lines.join('\n'), /status=force-expired, returned to sender/);
  assert.deepEqual(composed, [`failed ${entry.id}`]);
  assert.equal(store.entries.size, 0);
  await qmgr.drain();
});

test('the mark of the operator survives what a delivery under way writes', async () => {
  const { qmgr, store } = openHarness();
  const { agent, requests } = addAgent(qmgr);
  const entry = await put(store, {});
  qmgr.arrived(entry);
  await turns();
  await store.settle([{ kind: 'replace', entry: { ...entry, isExpired: true }, byOperator: true }]);
  qmgr.changed(entry.id, 'expired');
  const [job] = requests;
  assert.ok(job);
  qmgr.report(agent, job.seq, outcome('deferred')(job.request));
  await turns();
  assert.equal(store.entries.size, 0, 'returned at the end of the pass');
  await qmgr.drain();
});
