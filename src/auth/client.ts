/**
 * smtpd's side of the auth process: asks over private/auth, many requests at once.
 *
 * The connection is made at the first request and again after it broke. Whatever goes wrong (no
 * process, a broken connection, no answer in time) is `unavailable`, and never `rejected`.
 */
import { connect, type Socket } from 'node:net';
import { type Channel, openChannel } from '../ipc/channel.ts';
import type { FromAuth, ToAuth } from '../ipc/protocol.ts';

export type AuthAnswer =
  | { readonly kind: 'accepted'; readonly username: string; readonly groups: readonly string[] }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'unavailable' };

export type AuthClient = {
  readonly verify: (username: string, secret: string, clientAddress: string) => Promise<AuthAnswer>;
  readonly close: () => void;
};

export type AuthClientOptions = {
  /** `private/auth`; relative paths keep long directories out of the socket address. */
  readonly path: string;
  /** master.cf service that asks, for the log. */
  readonly service: string;
  readonly deadlineMs: number;
  readonly connect?: (path: string) => Socket;
};

type Waiting = {
  readonly request: ToAuth;
  /** The connection it was sent on; another one after the first has ended without an answer. */
  via: Channel<ToAuth>;
  isRepeated: boolean;
  readonly resolve: (answer: AuthAnswer) => void;
  readonly timer: NodeJS.Timeout;
};

const UNAVAILABLE: AuthAnswer = { kind: 'unavailable' };

export function openAuthClient(options: AuthClientOptions): AuthClient {
  const waiting = new Map<number, Waiting>();
  let channel: Channel<ToAuth> | undefined;
  let lastSeq = 0;
  let isClosed = false;

  const settle = (seq: number, answer: AuthAnswer): void => {
    const one = waiting.get(seq);
    if (!one) return;
    waiting.delete(seq);
    clearTimeout(one.timer);
    if (waiting.size === 0) channel?.socket.unref();
    one.resolve(answer);
  };

  const open = (): Channel<ToAuth> => {
    const socket = (options.connect ?? connect)(options.path);
    const opened = openChannel<ToAuth>(socket, {
      onMessage: (message) => {
        if (isVerdict(message)) settle(message.seq, answerOf(message));
        else socket.destroy();
      },
      onClose: () => {
        if (channel === opened) channel = undefined;
        for (const [seq, one] of waiting) if (one.via === opened) repeat(seq, one);
      },
    });
    return opened;
  };

  /** The auth process is replaced at a reload: the next one answers what the last one left. */
  const repeat = (seq: number, one: Waiting): void => {
    if (one.isRepeated || isClosed) return settle(seq, UNAVAILABLE);
    channel ??= open();
    channel.socket.ref();
    one.isRepeated = true;
    one.via = channel;
    channel.send(one.request);
  };

  return {
    verify: (username, secret, clientAddress) =>
      new Promise((resolve) => {
        if (isClosed) return resolve(UNAVAILABLE);
        lastSeq = (lastSeq + 1) % 0xffff_ffff;
        const seq = lastSeq;
        const timer = setTimeout(() => settle(seq, UNAVAILABLE), options.deadlineMs);
        channel ??= open();
        channel.socket.ref();
        const { service } = options;
        const request: ToAuth = { kind: 'verify', seq, service, username, secret, clientAddress };
        waiting.set(seq, { request, via: channel, isRepeated: false, resolve, timer });
        channel.send(request);
      }),
    close: () => {
      isClosed = true;
      channel?.end();
      for (const seq of [...waiting.keys()]) settle(seq, UNAVAILABLE);
    },
  };
}

function answerOf({ verdict, username, groups }: FromAuth): AuthAnswer {
  if (verdict !== 'accepted') return { kind: verdict };
  return username === undefined
    ? UNAVAILABLE
    : { kind: 'accepted', username, groups: groups ?? [] };
}

function isVerdict(message: unknown): message is FromAuth {
  if (typeof message !== 'object' || message === null) return false;
  return (
    'kind' in message &&
    message.kind === 'verdict' &&
    'seq' in message &&
    typeof message.seq === 'number' &&
    'verdict' in message &&
    (message.verdict === 'accepted' ||
      message.verdict === 'rejected' ||
      message.verdict === 'unavailable')
  );
}
