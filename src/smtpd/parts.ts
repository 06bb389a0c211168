/**
 * What the SMTP server needs from others, in one object: tests build it from fakes, main.ts from
 * the real thing.
 */
import type { AuthClient } from '../auth/client.ts';
import type { Mechanisms } from '../auth/mechanisms.ts';
import type { Cleanup } from '../cleanup/cleanup.ts';
import type { Config } from '../conf/params.ts';
import type { AnvilEvent } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import type { Match } from '../lookup/match-list.ts';
import type { QueueEntry, Session } from '../mail/stages.ts';
import type { ClientNames } from '../net/client-name.ts';
import type { AnvilCounts } from '../net/limits.ts';
import type { PolicyGate } from '../policy/gate.ts';
import type { QueueStore, StoreFault } from '../queue/store.ts';
import type { Restrictions } from '../restrict/restrict.ts';
import type { ServerLevel } from '../tls/level.ts';

type MaybePromise<T> = T | Promise<T>;

/** `undefined` when qmgr cannot be asked: the client is let in. */
export type Anvil = {
  readonly count: (client: string, event: AnvilEvent) => MaybePromise<AnvilCounts | undefined>;
};

type ClientTest = (name: string, address: string) => MaybePromise<Match>;

export type SmtpdParts = {
  readonly config: Config;
  /** master.cf service name, for anvil and warnings. */
  readonly service: string;
  readonly logger: Logger;
  /** For the message-id line, which Postfix's tools look for under `cleanup`. */
  readonly cleanupLogger: Logger;
  readonly store: Pick<QueueStore, 'begin' | 'acceptsMail'>;
  readonly cleanup: Cleanup;
  readonly restrictions: Restrictions;
  /** A message is on disk. */
  readonly arrived: (entry: QueueEntry) => void;
  /** The store takes no more writes: the process has to end. */
  readonly onBroken: (fault: StoreFault) => void;
  readonly names: ClientNames;
  readonly auth?: Pick<AuthClient, 'verify'>;
  readonly mechanisms: Mechanisms;
  readonly policy?: PolicyGate;
  readonly anvil?: Anvil;
  readonly tlsLevel: ServerLevel;
  readonly clients: {
    /** smtpd_client_event_limit_exceptions */
    readonly isUnlimited: ClientTest;
    /** smtpd_forbid_bare_newline_exclusions */
    readonly maySendBareNewline: ClientTest;
    /** smtpd_authorized_xclient_hosts */
    readonly mayXclient: ClientTest;
    /** smtpd_sasl_exceptions_networks: AUTH is not offered. */
    readonly isSaslException: ClientTest;
  };
  /** local_header_rewrite_clients: missing header fields are added. */
  readonly rewritesHeaders: (session: Session) => MaybePromise<boolean>;
  readonly nowMs: () => number;
};
