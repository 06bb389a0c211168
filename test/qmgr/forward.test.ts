/** What local delivery hands back: forwards, and recipients for another transport. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QmgrParts } from '../../src/qmgr/active.ts';
import { err, ok } from '../../src/util/result.ts';
import { addAgent, openHarness, outcome, put, recipients, sent, turns } from './harness.ts';

const count = (lines: readonly string[], part: string) =>
  lines.filter((line) => line.includes(part)).length;

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
