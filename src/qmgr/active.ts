/** What the queue manager holds in memory: active messages, their jobs, and what it works with. */
import type { Reporter } from '../bounce/bounce.ts';
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import type { Dsn } from '../mail/dsn.ts';
import type { QueueEntry, Recipient, RecipientState } from '../mail/stages.ts';
import type { NewMessage, QueueKeeper } from '../queue/store.ts';
import type { Result } from '../util/result.ts';
import type { Hop } from './transports.ts';

export type QmgrParts = {
  readonly config: () => Config;
  readonly store: QueueKeeper;
  readonly resolve: (sender: string, recipient: string) => Promise<Result<Hop, Dsn>>;
  readonly compose: Reporter;
  /** Recipients of mail that we send ourselves, through virtual aliases. */
  readonly cleanRecipients: (
    recipients: readonly Recipient[],
  ) => Promise<Result<readonly RecipientState[], string>>;
  readonly wantAgent: (transport: string) => void;
  readonly logger: Logger;
  readonly loggerFor: (program: string) => Logger;
  readonly nowMs: () => number;
  readonly exit: (code: number) => never;
};

/** A message that is being worked on. */
export type Active = {
  entry: QueueEntry;
  readonly activeMs: number;
  /** Recipients of this pass without an outcome. */
  open: number;
  readonly failures: { readonly index: number; readonly dsn: Dsn }[];
  /** Made by local delivery, not recorded yet. */
  readonly forwarded: NewMessage[];
  /** The operator asked for this attempt: defer_transports does not hold it back. */
  readonly isFlush: boolean;
  /** The operator removed it or put it on hold: nothing more is started. */
  isWithdrawn: boolean;
  isFinished: boolean;
};

/** Recipients of one message for one destination. */
export type Job = {
  readonly active: Active;
  readonly transport: string;
  readonly nexthop: string;
  /** What concurrency is counted by: the nexthop, or one recipient of it. */
  readonly destination: string;
  /** Positions in the entry, and the address to deliver to. */
  readonly recipients: readonly { readonly index: number; readonly address: string }[];
  startedMs: number;
  crashes: number;
};

export const activate = (entry: QueueEntry, isFlush: boolean, nowMs: number): Active => ({
  entry,
  activeMs: nowMs,
  open: entry.recipients.filter(({ state }) => state === 'pending').length,
  failures: [],
  forwarded: [],
  isFlush,
  isWithdrawn: false,
  isFinished: false,
});
