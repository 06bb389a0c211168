/** What restrictions look at, what they decide, and what they ask others. */
import type { Config } from '../conf/params.ts';
import type { Maps } from '../lookup/maps.ts';
import type { Match } from '../lookup/match-list.ts';
import type { Reply } from '../mail/reply.ts';
import type { Session } from '../mail/stages.ts';
import type { Existence } from '../rewrite/recipients.ts';
import type { Classified } from '../rewrite/resolve.ts';

export type MaybePromise<T> = T | Promise<T>;

/** The steps of the session at which restrictions are evaluated. */
export const STAGES = [
  'client',
  'helo',
  'sender',
  'relay',
  'recipient',
  'data',
  'end_of_data',
  'etrn',
] as const;
export type Stage = (typeof STAGES)[number];

export type MailFacts = {
  readonly session: Session;
  /** The name look-up of the client failed for the moment. */
  readonly isNameTemporary: boolean;
  /** Internal form; undefined before MAIL. */
  readonly sender?: string;
  /** The recipient of this RCPT, internal form; undefined outside RCPT. */
  readonly recipient?: string;
  readonly recipientCount: number;
  readonly sizeBytes?: number;
  /** The client sent on where it had to wait for this command's reply. */
  readonly hasPipelined?: boolean;
};

/** What a rule asks for beside permit and reject. */
export type Effect =
  | { readonly kind: 'hold'; readonly text: string }
  | { readonly kind: 'discard'; readonly text: string }
  | { readonly kind: 'prepend'; readonly header: string }
  | { readonly kind: 'filter'; readonly destination: string }
  | { readonly kind: 'redirect'; readonly address: string }
  | { readonly kind: 'bcc'; readonly address: string }
  /** A line for the log: `warn`, `info`, `reject_warning`, or of Postfix's other kinds. */
  | { readonly kind: 'log'; readonly action: string; readonly text: string };

export type Decision = {
  /** Absent: go on. */
  readonly refusal?: Reply;
  readonly effects: readonly Effect[];
  /** Something is wrong with the configuration or a table: for a `warning:` line. */
  readonly warnings: readonly string[];
};

export type Resolved = Extract<Classified, { kind: 'resolved' }>;

/** Implemented over rewrite/ by whoever starts the server. */
export interface AddressResolver {
  classify(address: string): MaybePromise<Classified>;
  recipientExists(target: Resolved): MaybePromise<Existence>;
}

/** Whether the DNS knows a domain as a place for mail. */
export type DomainAnswer = 'yes' | 'no' | 'null-mx' | 'retry';

export type RestrictParts = {
  readonly config: Config;
  readonly resolver: AddressResolver;
  readonly myNetworks: (name: string, address: string) => MaybePromise<Match>;
  readonly ownAddresses: ReadonlySet<string>;
  /** Open `type:name`; a string is the fault. */
  readonly openMaps: (parameter: string, spec: string) => Maps | string;
  readonly domainExists: (domain: string) => MaybePromise<DomainAnswer>;
  /** For `reject_rbl_client`: texts of A records, or `retry`. */
  readonly addressesOf: (name: string) => MaybePromise<readonly string[] | 'retry'>;
};
