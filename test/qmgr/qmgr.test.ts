import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueEntry, RecipientOutcome } from '../../src/mail/stages.ts';
import type { QmgrParts } from '../../src/qmgr/active.ts';
import { err, ok } from '../../src/util/result.ts';
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

test('what local delivery forwards is on disk with the mark of its recipient', async () => {
  const { qmgr, store, lines } = openHarness();
  const bodies: string[] = [];
  let isFirst = true;
  const { requests } = addAgent(qmgr, (request) => {
    void store.openBody(request).then((body) => {
      if (body.ok) bodies.push(body.value.bytes?.toString() ?? '');
    });
    if (!isFirst) return sent(request);
    isFirst = false;
    return {
      ...sent(request),
      forwards: [
        {
          index: 0,
          sender: 'owner-list@example.org',
          recipients: [
            { address: 'far@away.example', original: 'list@example.org', orcpt: '', notify: [] },
          ],
          prepend: 'Delivered-To: list@example.org\r\n',
        },
      ],
    };
  });
  const entry = await put(store, { recipients: recipients('list@example.org') });
  qmgr.arrived(entry);
  await turns();
  const forwarded = requests[1]?.request;
  assert.equal(forwarded?.sender, 'owner-list@example.org');
  assert.deepEqual(
    forwarded?.recipients.map(({ address }) => address),
    ['far@away.example'],
  );
  const text = bodies.at(-1) ?? '';
  assert.match(
    text,
    /^Received: by mail\.example\.org \(Postern\)\r\n\tid MEM\d+; .*\r\nDelivered-To: list@example\.org\r\nSubject: x\r\n/,
  );
  assert.equal(forwarded?.content.wireBytes, text.length);
  assert.equal(forwarded?.content.sizeBytes, text.replaceAll('\r\n', '\n').length);
  assert.equal(count(lines, `forwarded as ${forwarded?.id}`), 1);
  assert.equal(store.entries.size, 0);
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

const FORWARDED: readonly [
  what: string,
  changes: Partial<QmgrParts>,
  body: string,
  outcomes: RegExp,
][] = [
  [
    'goes through virtual aliases',
    {
      cleanRecipients: async (list) =>
        ok(list.map((each) => ({ ...each, address: 'final@x.example', state: 'pending' }))),
    },
    '',
    /status=sent \(forwarded as [\s\S]*to=<final@x\.example>, orig_to=<list@/,
  ],
  [
    'waits while aliases cannot be looked up',
    { cleanRecipients: async () => err('table is down') },
    '',
    /status=deferred \(table is down\)/,
  ],
  [
    'bounces after too many hops',
    {},
    'Received: x\r\n'.repeat(50),
    /status=bounced \(too many hops\)/,
  ],
];
for (const [what, changes, head, line] of FORWARDED) {
  test(`a forward ${what}`, async () => {
    const { qmgr, store, lines } = openHarness({}, changes);
    let isFirst = true;
    addAgent(qmgr, (request) => {
      if (!isFirst) return sent(request);
      isFirst = false;
      const recipient = {
        address: 'v@example.org',
        original: 'list@example.org',
        orcpt: '',
        notify: [],
      };
      return {
        ...sent(request),
        forwards: [{ index: 0, sender: request.sender, recipients: [recipient], prepend: '' }],
      };
    });
    qmgr.arrived(await put(store, { recipients: recipients('list@example.org') }, head));
    await turns();
    assert.match(lines.join('\n'), line);
    await qmgr.drain();
  });
}

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

test('a recipient that local passes on is delivered by the other transport, and logged once', async () => {
  const resolve: QmgrParts['resolve'] = async (_sender, recipient) =>
    ok({ transport: 'local', nexthop: 'mail.example.org', recipient });
  const { qmgr, store, lines } = openHarness({}, { resolve });
  addAgent(
    qmgr,
    () => ({ outcomes: [], passed: [{ index: 0, transport: 'lmtp', nexthop: 'unix:/run/lmtp' }] }),
    { transport: 'local' },
  );
  const { requests } = addAgent(qmgr, sent, { transport: 'lmtp' });
  qmgr.arrived(await put(store, {}));
  await turns();
  const [only] = requests;
  assert.equal(only?.request.nexthop, 'unix:/run/lmtp');
  assert.deepEqual(
    only?.request.recipients.map(({ address }) => address),
    ['user@example.com'],
  );
  assert.equal(count(lines, 'to=<user@example.com>'), 1);
  assert.equal(count(lines, 'lmtp: '), 1);
  assert.equal(store.entries.size, 0);
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

test('a recipient whose expansion failed in part bounces with that reason, and the rest is forwarded', async () => {
  const { qmgr, store, lines } = openHarness();
  let isFirst = true;
  const { requests } = addAgent(qmgr, (request) => {
    if (!isFirst) return sent(request);
    isFirst = false;
    const [recipient] = recipients('far@away.example');
    assert.ok(recipient);
    return {
      ...outcome('bounced')(request),
      forwards: [{ index: 0, sender: request.sender, recipients: [recipient], prepend: '' }],
    };
  });
  qmgr.arrived(await put(store, { recipients: recipients('list@example.org') }));
  await turns();
  assert.equal(count(lines, 'dsn=5.1.1, status=bounced (host said so)'), 1);
  assert.equal(requests[1]?.request.recipients[0]?.address, 'far@away.example');
  assert.equal(store.entries.size, 0);
  await qmgr.drain();
});
