/** One recipient on its way through aliases and .forward files, and what has come of it so far. */
import type { OpenBody } from '../agent/agent.ts';
import type { Identity } from '../agent/identity.ts';
import type { AccountLookup } from '../agent/passwd.ts';
import type { Config } from '../conf/params.ts';
import type { Maps } from '../lookup/maps.ts';
import type { Dsn } from '../mail/dsn.ts';
import type { DeliveryRequest, Recipient } from '../mail/stages.ts';
import type { Resolver } from '../rewrite/resolve.ts';

export type LocalParts = {
  readonly config: Config;
  readonly aliases: Maps;
  readonly mailboxCommands: Maps;
  readonly mailboxTransports: Maps;
  readonly fallbackTransports: Maps;
  readonly resolver: Pick<Resolver, 'route'>;
  readonly accounts: AccountLookup;
  readonly logger: { readonly warning: (text: string) => void };
  /** The transport that this process serves: an alias that leads to it stays here. */
  readonly service: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly nowMs: () => number;
};

export type Job = {
  readonly request: DeliveryRequest;
  readonly recipient: Recipient;
  readonly openBody: OpenBody;
  readonly parts: LocalParts;
  /** The recipient's address: Delivered-To:. */
  readonly deliveredTo: string;
  readonly results: Dsn[];
  /** Addresses to submit again, by sender. */
  readonly forwards: Map<string, Set<string>>;
  /** Mailboxes, files and commands that have had their copy. */
  readonly seen: Set<string>;
  /** The recipient's own mailbox is another transport's business. */
  pass: { readonly transport: string; readonly nexthop: string } | undefined;
  /** What the recipient turned out to be, for a success report. */
  expansion: 'none' | 'alias' | 'list';
};

/** Where a destination was named. */
export type Source = {
  readonly kind: 'recipient' | 'alias' | 'forward' | 'include';
  readonly depth: number;
  /** Aliases and .forward files that led here: each is opened once. */
  readonly chain: ReadonlySet<string>;
  /** The sender of what is submitted again; undefined: that of the request. */
  readonly sender: string | undefined;
  /** Everything is submitted again, also what is local: lists, and aliases with an owner. */
  readonly resubmits: boolean;
  /** Whose rights files and commands get; undefined: default_privs. */
  readonly owner: LocalUser | undefined;
};

export type LocalUser = {
  readonly name: string;
  readonly home: string;
  readonly shell: string;
  readonly uid: number;
  readonly identity: Identity;
};

/** The parts of the address under delivery. */
export type LocalName = {
  readonly local: string;
  readonly user: string;
  readonly extension: string;
  readonly domain: string;
};
