/** A queue manager over the memory store, with agents that answer as the test says. */
import type { Channel } from '../../src/ipc/channel.ts';
import type { FromQmgr } from '../../src/ipc/protocol.ts';
import type { Logger } from '../../src/log/maillog.ts';
import type { DeliveryReport, DeliveryRequest, QueueEntry } from '../../src/mail/stages.ts';
import type { QmgrParts } from '../../src/qmgr/active.ts';
import type { Agent } from '../../src/qmgr/agents.ts';
import { openQmgr, type Qmgr } from '../../src/qmgr/qmgr.ts';
import { ok } from '../../src/util/result.ts';
import { testConfig } from '../support/config.ts';
import { type MemoryStore, memoryStore } from '../support/memory-store.ts';
import { queueEntry } from '../support/queue-entry.ts';

export type Harness = {
  readonly qmgr: Qmgr;
  readonly store: MemoryStore;
  readonly lines: string[];
  readonly wanted: string[];
  /** Kinds of the reports that were composed, with the ids they are about. */
  readonly composed: string[];
  readonly clock: { nowMs: number };
};

export function openHarness(
  settings: Readonly<Record<string, string>> = {},
  changes: Partial<QmgrParts> = {},
): Harness {
  const lines: string[] = [];
  const wanted: string[] = [];
  const composed: string[] = [];
  const clock = { nowMs: 1_700_000_000_000 };
  const store = memoryStore();
  const config = testConfig(settings);
  const loggerFor = (program: string): Logger => {
    const put = (text: string) => void lines.push(`${program}: ${text}`);
    return {
      info: put,
      warning: put,
      error: put,
      fatal: put,
      panic: put,
      flush: () => undefined,
    };
  };
  const qmgr = openQmgr({
    config: () => config,
    store,
    resolve: async (_sender, recipient) =>
      ok({ transport: 'smtp', nexthop: recipient.split('@')[1] ?? '', recipient }),
    compose: async ({ entry, kind }) => {
      composed.push(`${kind} ${entry.id}`);
      return [];
    },
    cleanRecipients: async (list) => ok(list.map((each) => ({ ...each, state: 'pending' }))),
    wantAgent: (transport) => void wanted.push(transport),
    logger: loggerFor('qmgr'),
    loggerFor,
    nowMs: () => clock.nowMs,
    exit: (code) => {
      throw new Error(`exit ${code}`);
    },
    ...changes,
  });
  return { qmgr, store, lines, wanted, composed, clock };
}

/** Put a message into the store; its body is one line. `head`: header lines in front. */
export async function put(
  store: MemoryStore,
  changes: Partial<QueueEntry>,
  head = '',
): Promise<QueueEntry> {
  const draft = store.begin();
  draft.write(Buffer.from(`${head}Subject: x\r\n\r\nhello\r\n`));
  const entry = queueEntry(draft.id, {
    content: {
      wireBytes: draft.wireBytes,
      sizeBytes: draft.wireBytes - 3,
      has8bit: false,
      hasDotLines: false,
    },
    ...changes,
  });
  const committed = await draft.commit(entry);
  if (!committed.ok) throw new Error(committed.error.reason);
  return entry;
}

export const recipients = (...addresses: string[]): QueueEntry['recipients'] =>
  addresses.map((address) => ({
    address,
    original: address,
    orcpt: '',
    notify: [],
    state: 'pending',
  }));

export type FakeAgent = {
  readonly agent: Agent;
  readonly requests: { readonly seq: number; readonly request: DeliveryRequest }[];
};

/** An agent that keeps its requests; with `answer` it reports at once. */
export function addAgent(
  qmgr: Qmgr,
  answer?: (request: DeliveryRequest) => DeliveryReport,
  { transport = 'smtp', slots = 100 } = {},
): FakeAgent {
  const requests: { seq: number; request: DeliveryRequest }[] = [];
  const channel = {
    send: (message: FromQmgr) => {
      if (message.kind !== 'deliver') return;
      requests.push({ seq: message.seq, request: message.request });
      if (answer) setImmediate(() => qmgr.report(agent, message.seq, answer(message.request)));
    },
    end: () => undefined,
    socket: { destroy: () => undefined },
  } as unknown as Channel<FromQmgr>;
  const agent: Agent = { channel, transport, slots, underWay: new Set() };
  qmgr.addAgent(agent);
  return { agent, requests };
}

export const sent = (request: DeliveryRequest): DeliveryReport => ({
  outcomes: request.recipients.map(({ index }) => ({
    index,
    kind: 'sent',
    dsn: { status: '2.0.0', reason: '250 ok' },
    relay: 'mx[192.0.2.1]:25',
  })),
});

export const outcome = (kind: 'deferred' | 'bounced') => (request: DeliveryRequest) => ({
  outcomes: request.recipients.map(({ index }) => ({
    index,
    kind,
    dsn: {
      status: kind === 'deferred' ? ('4.2.0' as const) : ('5.1.1' as const),
      reason: 'host said so',
    },
    relay: 'mx[192.0.2.1]:25',
  })),
});

/** Let everything that is ready run. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
