/** NOTIFY=SUCCESS: what the sender is told of deliveries, once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueEntry, RecipientOutcome } from '../../src/mail/stages.ts';
import type { QmgrParts } from '../../src/qmgr/active.ts';
import { addAgent, openHarness, outcome, put, recipients, sent, turns } from './harness.ts';

const SUCCESSES: readonly [
  what: string,
  notify: QueueEntry['recipients'][0]['notify'],
  outcome: Partial<RecipientOutcome>,
  told: string,
][] = [
  ['a mailbox', ['SUCCESS'], { relay: 'local' }, 'delivered delivery via local: 250 ok'],
  [
    'a next hop without DSN',
    ['FAILURE', 'SUCCESS'],
    { dsn: { status: '2.0.0', reason: '250 ok', remote: { mta: 'mx', reply: '250 ok' } } },
    'relayed delivery via mx[192.0.2.1]:25: 250 ok',
  ],
  ['a next hop that takes DSN over', ['SUCCESS'], { dsnPassedOn: true }, ''],
  [
    'an alias',
    ['SUCCESS'],
    { relay: 'local', success: { action: 'expanded', reason: 'alias expanded' } },
    'expanded delivery via local: alias expanded',
  ],
  ['a sender who did not ask', [], {}, ''],
  ['a sender who asked for failures', ['FAILURE'], {}, ''],
];
for (const [what, notify, outcomeChanges, told] of SUCCESSES) {
  test(`a success of ${what} is reported as "${told}"`, async () => {
    const reports: string[] = [];
    const compose: QmgrParts['compose'] = async ({ kind, results }) => {
      for (const { dsn, action } of results) reports.push(`${kind}: ${action} ${dsn.reason}`);
      return [];
    };
    const { qmgr, store } = openHarness({}, { compose });
    addAgent(qmgr, (request) => ({
      outcomes: sent(request).outcomes.map((each) => ({ ...each, ...outcomeChanges })),
    }));
    qmgr.arrived(
      await put(store, {
        recipients: recipients('a@x.example').map((each) => ({ ...each, notify })),
      }),
    );
    await turns();
    assert.deepEqual(reports, told === '' ? [] : [`delivered: ${told}`]);
    assert.equal(store.entries.size, 0);
    await qmgr.drain();
  });
}

test('a success is reported once, also when the pass that could tell it was cut off', async () => {
  const composed: string[] = [];
  const compose: QmgrParts['compose'] = async ({ kind, results }) => {
    composed.push(`${kind} ${results.map(({ recipient }) => recipient.address)}`);
    return [];
  };
  const world = openHarness({}, { compose });
  const both = recipients('a@x.example', 'b@y.example').map((each) => ({
    ...each,
    notify: ['SUCCESS'] as const,
  }));
  const entry = await put(world.store, { recipients: both });
  let answers = 0;
  addAgent(world.qmgr, (request) => {
    answers += 1;
    return request.nexthop === 'x.example' ? sent(request) : outcome('deferred')(request);
  });
  world.qmgr.arrived(entry);
  await turns();
  assert.equal(answers, 2);
  assert.deepEqual(composed, ['delivered a@x.example']);
  const kept = world.store.entries.get(entry.id);
  assert.deepEqual(
    kept?.recipients.map(({ state, success }) => [state, success]),
    [
      ['done', undefined],
      ['pending', undefined],
    ],
  );
  // As after a crash: the mark was written, the report was not.
  const dsn = { status: '2.0.0', reason: 'ok' } as const;
  const [first, second] = kept?.recipients ?? [];
  assert.ok(kept && first && second);
  await world.qmgr.drain();
  const next = openHarness({}, { compose });
  addAgent(next.qmgr, sent);
  const cut = await put(next.store, {
    recipients: [
      { ...first, success: { action: 'relayed', dsn } },
      { ...second, state: 'done' },
    ],
  });
  next.qmgr.arrived(cut);
  await turns();
  assert.deepEqual(composed, ['delivered a@x.example', 'delivered a@x.example']);
  assert.equal(next.store.entries.size, 0);
  await next.qmgr.drain();
});
