/**
 * The queue as mailq(1) shows it, for anyone who may ask: a few lists at a time, in pieces, as fast
 * as the asker reads.
 *
 * @see showq(8)
 */
import type { Channel } from '../ipc/channel.ts';
import type { FromQmgr, ListedMessage } from '../ipc/protocol.ts';
import type { QueueEntry } from '../mail/stages.ts';
import type { QueueStore } from '../queue/store.ts';

export type Showq = (seq: number, channel: Channel<FromQmgr>) => Promise<void>;

const AT_ONCE = 4;
const PIECE = 50;
/** An asker that does not read is cut off. */
const STALL_MS = 30_000;

export function openShowq(
  store: Pick<QueueStore, 'list'>,
  isActive: (id: string) => boolean,
): Showq {
  let running = 0;
  const waiting: (() => void)[] = [];

  const send = async (seq: number, channel: Channel<FromQmgr>): Promise<void> => {
    let messages: ListedMessage[] = [];
    for await (const read of store.list()) {
      if (channel.socket.destroyed) return;
      if (!read.ok) continue;
      messages.push(listedMessage(read.value, isActive(read.value.id)));
      if (messages.length < PIECE) continue;
      channel.send({ kind: 'listed', seq, messages, last: false });
      messages = [];
      await channel.drained();
    }
    channel.send({ kind: 'listed', seq, messages, last: true });
  };

  return async (seq, channel) => {
    if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    running += 1;
    channel.socket.setTimeout(STALL_MS, () => channel.socket.destroy());
    try {
      await send(seq, channel);
    } finally {
      running -= 1;
      waiting.shift()?.();
    }
  };
}

export const listedMessage = (entry: QueueEntry, isActive: boolean): ListedMessage => ({
  id: entry.id,
  queue: entry.onHold ? 'hold' : isActive ? 'active' : entry.attempts > 0 ? 'deferred' : 'incoming',
  isExpired: entry.isExpired === true,
  arrivedMs: entry.arrivedMs,
  sizeBytes: entry.content.sizeBytes,
  sender: entry.sender,
  recipients: entry.recipients.flatMap(({ state, address, original, deferred }) =>
    state === 'done'
      ? []
      : [{ address, original, ...(deferred ? { reason: deferred.reason } : {}) }],
  ),
});
