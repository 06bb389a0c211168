/**
 * One mail transaction as values: the commands to send, and what the server said to each.
 */
import type { Dsn } from '../mail/dsn.ts';
import type { Body } from '../queue/store.ts';

/** A reply as read: `text` has its lines joined by a blank, code included. */
export type RemoteReply = { readonly code: number; readonly text: string };

/** Where a session was when it failed, in the words of Postfix's log. */
export type Failure = {
  readonly kind: 'lost' | 'timeout' | 'protocol' | 'handshake' | 'diagnosed' | 'refused';
  /** `sending RCPT TO`, `receiving the initial server greeting`, ... */
  readonly stage: string;
  /** For `refused`: the command in `(in reply to X command)`; '' for the greeting and EHLO. */
  readonly command?: string;
  readonly reply?: RemoteReply;
  /** A refusal that another host, or another time, may make good. */
  readonly isSoft?: boolean;
  /** For `handshake` (of TLS) and `diagnosed`: the whole text. */
  readonly dsn?: Dsn;
  /** System error or handshake fault. */
  readonly reason?: string;
};

export type Commands = {
  /** Whole lines without CRLF, addresses already quoted and parameters added. */
  readonly mail: string;
  readonly rcpt: readonly string[];
};

export type Transaction = {
  readonly commands: Commands;
  readonly body: Body;
  readonly hasDotLines: boolean;
  /** QUIT goes out with the final dot: no more mail on this session. */
  readonly quit: boolean;
};

export type TransactionResult = {
  /** Absent when the session failed before it came. */
  readonly mail?: RemoteReply;
  /** By position in `commands.rcpt`. */
  readonly rcpt: readonly (RemoteReply | undefined)[];
  readonly data?: RemoteReply;
  /** The reply to the end of data, by position in `commands.rcpt` (LMTP: one each; SMTP: the same). */
  readonly done: readonly (RemoteReply | undefined)[];
  /** The session ended early. Recipients with a final reply above keep it. */
  readonly failure?: Failure;
  /** The body could not be read or converted; nothing was accepted by the server. */
  readonly bodyFault?: Dsn;
};

export const isPositive = (reply: RemoteReply | undefined): boolean =>
  reply !== undefined && reply.code >= 200 && reply.code < 300;

export function remoteReply(reply: string): RemoteReply {
  return { code: Number(reply.slice(0, 3)), text: reply.replaceAll('\n', ' ') };
}
