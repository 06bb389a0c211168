/**
 * What a message is at each step of its way, in the order of the way.
 *
 *   Peer -> Session -> Envelope and Content -> QueueEntry -> DeliveryRequest -> RecipientOutcome
 *
 * Every stage takes the one and returns the next; nothing is changed across an arrow.
 *
 * Addresses are in *internal form*: the local part unquoted, split from the domain at the LAST `@`;
 * `''` is the null address. `mail/address.ts` makes the external (quoted) form for the wire.
 * Times are milliseconds since the epoch unless the name says otherwise.
 */
import type { Dsn } from './dsn.ts';

/** The other end of an accepted connection. */
export type Peer = {
  /** Textual IP address; `''` for local submission. */
  readonly address: string;
  readonly port: number;
  /** Forward-confirmed host name, or `unknown`. */
  readonly name: string;
  /** The PTR name as found, not confirmed; `unknown` when there is none. */
  readonly reverseName: string;
  readonly localAddress: string;
  readonly localPort: number;
};

export type TlsSummary = {
  /** `TLSv1.3` */
  readonly protocol: string;
  readonly cipher: string;
  readonly cipherBits: number;
  /** Server name the client asked for (SNI), lower case. */
  readonly serverName?: string;
};

/** Who logged in, and by which mechanism. */
export type Login = { readonly username: string; readonly method: string };

/** The facts about a session that restrictions, policies and log lines use. */
export type Session = {
  readonly peer: Peer;
  readonly helo: string;
  readonly protocol: 'SMTP' | 'ESMTP';
  readonly tls?: TlsSummary;
  readonly login?: Login;
};

/** DSN NOTIFY= values; an empty list means the parameter was not given. RFC 3461 section 4.1. */
export type Notify = 'NEVER' | 'SUCCESS' | 'FAILURE' | 'DELAY';

export type Recipient = {
  /** Where the message goes: after rewriting and alias expansion. */
  readonly address: string;
  /** As first given, before any expansion: X-Original-To, orig_to= in the log. */
  readonly original: string;
  /** ORCPT= as `addrtype;xtext-decoded-address`; `''` when not given. */
  readonly orcpt: string;
  readonly notify: readonly Notify[];
};

export type Envelope = {
  /** `''` is the null sender. */
  readonly sender: string;
  readonly recipients: readonly Recipient[];
  /** ENVID=, xtext-decoded; `''` when not given. */
  readonly envid: string;
  readonly ret: '' | 'FULL' | 'HDRS';
  readonly smtputf8: boolean;
  /** BODY=; what the content really needs is `Content.has8bit`. */
  readonly body: '' | '7BIT' | '8BITMIME';
};

/**
 * Facts about a stored message body. Stored bytes are the RFC 5322 message with CRLF line ends,
 * NOT dot-stuffed, without a final `.`; there is no stray CR or LF in it.
 */
export type Content = {
  /** Stored bytes, CRLF counted as two. */
  readonly wireBytes: number;
  /** Postfix's measure, CRLF counted as one: `size=` in the log, message_size_limit. */
  readonly sizeBytes: number;
  readonly has8bit: boolean;
  /** Whether any line starts with `.`: when false a sender may skip dot-stuffing. */
  readonly hasDotLines: boolean;
};

/** What the sending policy decided when the message was accepted. Kept with the message. */
export type PolicyVerdict = {
  readonly login: string;
  readonly policy: string;
  /** Which lookup named the policy: `hash:/etc/postern/sending_policy user@example.org`. */
  readonly credential: string;
  /** Id for `postern explain`. */
  readonly id: string;
};

/** How the message came in: for Received:, XFORWARD, logs and bounces. */
export type Origin = {
  readonly client: { readonly name: string; readonly address: string; readonly port: number };
  readonly helo: string;
  readonly protocol: string;
  readonly login?: Login;
  /** Local uid for sendmail(1) submission. */
  readonly uid?: number;
};

/** What became of a recipient that was not refused (RFC 3464 section 2.3.3). */
export type DeliveryAction =
  | 'delivered'
  | 'relayed'
  | 'expanded'
  /** Answers to sendmail -bv. */
  | 'deliverable'
  | 'undeliverable';

export type RecipientState = Recipient & {
  readonly state: 'pending' | 'done';
  /** Done, and the sender asked to be told (NOTIFY=SUCCESS) but has not been yet. */
  readonly success?: { readonly action: DeliveryAction; readonly dsn: Dsn };
  /** The last deferral; absent before the first attempt. */
  readonly deferred?: Dsn;
};

/** A message in the queue. The body is stored beside it under the same id. */
export type QueueEntry = {
  readonly id: string;
  readonly arrivedMs: number;
  readonly sender: string;
  readonly envid: string;
  readonly ret: Envelope['ret'];
  readonly smtputf8: boolean;
  readonly recipients: readonly RecipientState[];
  readonly content: Content;
  readonly origin: Origin;
  readonly verdict?: PolicyVerdict;
  /** When qmgr should look at it next. Ignored on hold. */
  readonly dueMs: number;
  readonly onHold: boolean;
  readonly attempts: number;
  /** The sender has been warned of a delay (delay_warning_time). */
  readonly warned: boolean;
  /** The operator wants it returned at the next attempt (postsuper -e). */
  readonly isExpired?: true;
  /** `transport:nexthop` from FILTER, content_filter or a policy's transport=; overrides routing. */
  readonly filter?: string;
  /** Made by ourselves (bounce, notice): not checked, not counted, never bounced to a stranger. */
  readonly internal?: 'bounce' | 'double-bounce' | 'notice';
};

/** Where a recipient goes: the result of rewrite/resolve. */
export type Route = {
  /** master.cf service name: `smtp`, `local`, `error` ... */
  readonly transport: string;
  /** `example.com`, `[host]:port`, a list separated by comma, or the text of error:/retry:. */
  readonly nexthop: string;
  readonly addressClass: 'local' | 'virtual-alias' | 'virtual-mailbox' | 'relay' | 'default';
};

/** One job for a delivery agent: some recipients of one message with the same route. */
export type DeliveryRequest = {
  readonly id: string;
  readonly transport: string;
  readonly nexthop: string;
  readonly sender: string;
  readonly envid: string;
  readonly ret: Envelope['ret'];
  readonly smtputf8: boolean;
  readonly content: Content;
  readonly origin: Origin;
  readonly arrivedMs: number;
  /** When qmgr took the message up: second figure of delays=. */
  readonly activeMs: number;
  /** `index` is the position in QueueEntry.recipients. */
  readonly recipients: readonly (Recipient & { readonly index: number })[];
  /** More mail for this destination is waiting: keep the connection. */
  readonly reuse: boolean;
  readonly internal?: QueueEntry['internal'];
};

/** What an agent says about one recipient of its request. */
export type RecipientOutcome = {
  readonly index: number;
  readonly kind: 'sent' | 'deferred' | 'bounced' | 'discarded';
  readonly dsn: Dsn;
  /** `host[address]:port`, `local`, `virtual`, `none`: relay= in the log. */
  readonly relay: string;
  /** For `sent`: the next hop takes over DSN duties (RFC 3461), so no "relayed" report is due. */
  readonly dsnPassedOn?: boolean;
  /** How a success report puts it; absent: `relayed` where a remote host answered, else `delivered`. */
  readonly success?: { readonly action: DeliveryAction; readonly reason: string };
  /** Milliseconds for connection setup and for transmission: last two figures of delays=. */
  readonly timesMs?: { readonly setup: number; readonly transmission: number };
  /** How many messages the connection has carried, this one included: conn_use= from 2 on. */
  readonly connectionUse?: number;
};

/** What an agent answers to a request. */
export type DeliveryReport = {
  readonly outcomes: readonly RecipientOutcome[];
  /**
   * The destination as a whole failed (no connection, bad greeting): negative concurrency feedback.
   * Absent when the host was reached, whatever it said about the message.
   */
  readonly siteFailure?: Dsn;
  /**
   * Recipients that local delivery turned into others (alias, .forward, :include:). qmgr makes each
   * a new message with the same body, durable before the recipient is marked done, and logs
   * `forwarded as ID`. The outcome of that recipient is `sent`, or `bounced` when another part of
   * its expansion failed; a deferred recipient has none.
   */
  readonly forwards?: readonly Forward[];
  /**
   * Recipients without an outcome that another transport is to deliver (mailbox_transport): qmgr
   * hands them on at once.
   */
  readonly passed?: readonly {
    readonly index: number;
    readonly transport: string;
    readonly nexthop: string;
  }[];
};

/** A message that an agent asks qmgr to submit again. */
export type Forward = {
  /** The recipient it comes from: position in QueueEntry.recipients. */
  readonly index: number;
  /** `owner-list@...` of a list, else the sender of the request. */
  readonly sender: string;
  /** Complete, rewritten addresses; qmgr asks virtual_alias_maps. */
  readonly recipients: readonly Recipient[];
  /** Header lines with CRLF to put before the body (`Delivered-To:`); `''` for none. */
  readonly prepend: string;
};
