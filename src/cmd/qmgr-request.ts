/**
 * One request of a command to the running queue manager, on public/qmgr.
 *
 * The socket is named relative to the queue's directory, which becomes the working directory: the
 * path of a unix socket must be short.
 */
import { randomBytes } from 'node:crypto';
import { unlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { openChannel } from '../ipc/channel.ts';
import type { FromQmgr, ListedMessage, ToQmgr } from '../ipc/protocol.ts';
import { ANYONE, PROOF_SUFFIX } from '../pickup/caller.ts';

export type Answer =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly user: string }
  /** Nobody listens, or the answer broke off. */
  | { readonly kind: 'down'; readonly reason: string };

/** Longest silence of a busy server. */
const ANSWER_LIMIT_MS = 20_000;

/** `onListed` gets the pieces of a list; while it is awaited no more are read. */
export function askQmgr(
  message: ToQmgr,
  onListed: (messages: readonly ListedMessage[]) => void = () => undefined,
): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ path: 'public/qmgr' });
    socket.setTimeout(ANSWER_LIMIT_MS, () => socket.destroy(new Error('no answer')));
    const channel = openChannel<ToQmgr>(socket, {
      onMessage: (answer) => {
        if (isAnswer(answer, 'listed')) {
          onListed(answer.messages);
          if (!answer.last) return;
          resolve({ kind: 'done' });
        } else if (isAnswer(answer, 'refused')) resolve({ kind: 'refused', user: answer.user });
        else if (isAnswer(answer, 'done')) resolve({ kind: 'done' });
        else return;
        channel.end();
      },
      onClose: (error) =>
        resolve({ kind: 'down', reason: error?.message ?? 'the connection was closed' }),
    });
    socket.once('connect', () => channel.send(message));
  });
}

/** The server is ours or nobody's: public/ belongs to mail_owner. */
function isAnswer<Kind extends FromQmgr['kind']>(
  message: unknown,
  kind: Kind,
): message is Extract<FromQmgr, { kind: Kind }> {
  return typeof message === 'object' && message !== null && Reflect.get(message, 'kind') === kind;
}

/** Where not anyone may ask: a proof of who does (pickup/caller.ts), and how to take it back. */
export function makeProof(users: string): { readonly proof?: string; readonly end: () => void } {
  if (users === ANYONE) return { end: () => undefined };
  const proof = `${randomBytes(16).toString('hex')}${PROOF_SUFFIX}`;
  try {
    writeFileSync(`maildrop/${proof}`, proof, { flag: 'wx', mode: 0o644 });
  } catch (error) {
    if (error instanceof Error && 'code' in error) return { end: () => undefined };
    throw error;
  }
  return {
    proof,
    end: () => {
      try {
        unlinkSync(`maildrop/${proof}`);
      } catch (error) {
        // The server has taken it.
        if (!(error instanceof Error && 'code' in error)) throw error;
      }
    },
  };
}
