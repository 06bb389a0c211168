/**
 * What the SMTP server needs from others, in one object: tests build it from fakes, main.ts from
 * the real thing.
 */
import type { Cleanup } from '../cleanup/cleanup.ts';
import type { Config } from '../conf/params.ts';
import type { AnvilEvent } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import type { Match } from '../lookup/match-list.ts';
import type { Reply } from '../mail/reply.ts';
import type { Envelope, PolicyVerdict, QueueEntry, Session } from '../mail/stages.ts';
import type { ClientNames } from '../net/client-name.ts';
import type { AnvilCounts } from '../net/limits.ts';
import type { QueueStore, StoreFault } from '../queue/store.ts';
import type { Effect } from '../restrict/facts.ts';
import type { Restrictions } from '../restrict/restrict.ts';
import type { ServerLevel } from '../tls/level.ts';

type MaybePromise<T> = T | Promise<T>;

export type AuthAnswer =
  | { readonly kind: 'accepted'; readonly username: string; readonly groups: readonly string[] }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'unavailable' };

export type AuthClient = {
  readonly verify: (username: string, secret: string, clientAddress: string) => Promise<AuthAnswer>;
};

/** What the sending policy of the login says about one recipient. */
export type PolicyAnswer = {
  /** Absent: the policy lets it pass. */
  readonly refusal?: Reply;
  /** Kept with the message; absent when no policy applies to this session. */
  readonly verdict?: PolicyVerdict;
  /** `transport=` of the policy, `on_exceed=hold`. */
  readonly effects?: readonly Effect[];
};

export type PolicyGate = {
  /** At RCPT, after the restrictions have let it pass. `recipient` is in internal form. */
  readonly checkRecipient: (
    session: Session,
    groups: readonly string[],
    envelope: Envelope,
    recipient: string,
  ) => Promise<PolicyAnswer>;
  /** At the end of data. `from` is undefined when the header From cannot be read. */
  readonly checkHeader: (
    session: Session,
    groups: readonly string[],
    verdict: PolicyVerdict,
    from: readonly string[] | undefined,
  ) => Promise<Reply | undefined>;
};

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
  readonly auth?: AuthClient;
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
