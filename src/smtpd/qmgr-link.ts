/**
 * The line to qmgr on private/qmgr: notices of new mail, and anvil's counts.
 *
 * It is opened at the first use and again after it broke. A notice that is lost costs no mail: the
 * message is on disk, and qmgr finds it at its next look at the queue. Counts that do not come in
 * time let the client in.
 */
import { connect, type Socket } from 'node:net';
import { type Channel, openChannel } from '../ipc/channel.ts';
import type { AnvilEvent, ToQmgr } from '../ipc/protocol.ts';
import type { QueueEntry } from '../mail/stages.ts';
import type { AnvilCounts } from '../net/limits.ts';

export type QmgrLink = {
  readonly arrived: (entry: QueueEntry) => void;
  readonly count: (client: string, event: AnvilEvent) => Promise<AnvilCounts | undefined>;
  /** Resolves when all notices have left this process, or after a limit. */
  readonly close: () => Promise<void>;
};

export type QmgrLinkOptions = {
  readonly service: string;
  readonly pid: number;
  readonly connect?: () => Socket;
};

const ANSWER_MS = 2_000;
/** Notices that qmgr has not taken yet; above this it is left to find the mail by itself. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;
const RECONNECT_MS = 500;
const CLOSE_MS = 2_000;

export function openQmgrLink(options: QmgrLinkOptions): QmgrLink {
  const { service, pid } = options;
  const waiting = new Map<number, (counts: AnvilCounts | undefined) => void>();
  let channel: Channel<ToQmgr> | undefined;
  let notBeforeMs = 0;
  let seq = 0;

  const open = (): Channel<ToQmgr> | undefined => {
    if (channel || Date.now() < notBeforeMs) return channel;
    notBeforeMs = Date.now() + RECONNECT_MS;
    const socket = options.connect?.() ?? connect('private/qmgr');
    const opened = openChannel<ToQmgr>(socket, {
      onMessage: (message) => {
        if (!isCounts(message)) return;
        waiting.get(message.seq)?.(message);
      },
      onClose: () => {
        if (channel === opened) channel = undefined;
        for (const settle of [...waiting.values()]) settle(undefined);
      },
    });
    channel = opened;
    opened.send({ kind: 'hello', role: 'smtpd', pid });
    return opened;
  };

  return {
    arrived: (entry) => {
      const to = open();
      if (!to || to.socket.writableLength > MAX_UNSENT_BYTES) return;
      to.send({ kind: 'arrived', entry });
    },
    count: (client, event) => {
      const to = open();
      if (!to) return Promise.resolve(undefined);
      seq = (seq + 1) % 0xffff_ffff;
      const mine = seq;
      return new Promise((resolve) => {
        const settle = (counts: AnvilCounts | undefined): void => {
          clearTimeout(timer);
          waiting.delete(mine);
          resolve(counts);
        };
        const timer = setTimeout(() => settle(undefined), ANSWER_MS);
        waiting.set(mine, settle);
        to.send({ kind: 'anvil', seq: mine, service, client, event });
      });
    },
    close: () =>
      new Promise((resolve) => {
        if (!channel) return resolve();
        const timer = setTimeout(resolve, CLOSE_MS);
        const done = (): void => {
          clearTimeout(timer);
          resolve();
        };
        channel.socket.once('close', done);
        channel.socket.end(done);
      }),
  };
}

function isCounts(message: unknown): message is AnvilCounts & { readonly seq: number } {
  return (
    typeof message === 'object' &&
    message !== null &&
    Reflect.get(message, 'kind') === 'anvil-counts' &&
    typeof Reflect.get(message, 'seq') === 'number' &&
    typeof Reflect.get(message, 'concurrency') === 'number' &&
    typeof Reflect.get(message, 'rate') === 'number'
  );
}
