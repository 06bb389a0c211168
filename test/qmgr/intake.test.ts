import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addAgent, openHarness, put, sent, turns } from './harness.ts';

test('a notice that comes after the message was found on disk delivers nothing again', async () => {
  const { qmgr, store, clock } = openHarness();
  const { requests } = addAgent(qmgr, sent);
  const entry = await put(store, { arrivedMs: clock.nowMs });
  await qmgr.scan();
  await turns();
  assert.equal(store.entries.size, 0);
  qmgr.arrived(entry);
  await turns();
  assert.equal(requests.length, 1);
  await qmgr.drain();
});
