/**
 * `senders=own`: is this sender address one of the user's own?
 *
 * Own are: the login itself, with any extension and at any local domain when it is local; what
 * `smtpd_sender_login_maps` gives to the user; and what virtual_alias_maps and alias_maps deliver
 * to the user, directly or through further aliases. A member of a list may send as the list.
 */
import type { Lookup } from '../lookup/table.ts';
import { domainOf, splitAddress, stripExtension } from '../mail/address.ts';
import { splitList } from '../util/text.ts';

type MaybePromise<T> = T | Promise<T>;
export type Ask = (key: string) => MaybePromise<Lookup>;

export type OwnParts = {
  readonly origin: string;
  readonly recipientDelimiter: string;
  /** Undefined when a table of mydestination cannot answer. */
  readonly isLocal: (domain: string) => MaybePromise<boolean | undefined>;
  /** smtpd_sender_login_maps by address, in Postfix's order of keys. */
  readonly senderLogins: Ask;
  /** virtual_alias_maps by address. */
  readonly virtualAliases: Ask;
  /** alias_maps by the local part. */
  readonly localAliases: Ask;
};

export type Ownership =
  | { readonly kind: 'own'; readonly because: string }
  | { readonly kind: 'foreign' }
  | { readonly kind: 'retry'; readonly reason: string };

const MAX_ADDRESSES = 200;
const NO_ANSWER = { kind: 'retry', reason: 'mydestination: lookup error' } as const;

export async function ownsSender(
  parts: OwnParts,
  user: string,
  sender: string,
): Promise<Ownership> {
  const wanted = await mailbox(parts, user);
  if (wanted === undefined) return NO_ANSWER;
  const logins = await parts.senderLogins(sender);
  if (logins.kind === 'retry' || logins.kind === 'misconfigured') {
    return { kind: 'retry', reason: logins.reason };
  }
  if (logins.kind === 'found') {
    for (const name of splitList(logins.value)) {
      if (complete(parts, name).toLowerCase() === user.toLowerCase()) {
        return { kind: 'own', because: 'smtpd_sender_login_maps' };
      }
    }
  }
  const seen = new Set<string>();
  let pending = [complete(parts, sender)];
  while (pending.length > 0 && seen.size < MAX_ADDRESSES) {
    const next: string[] = [];
    for (const address of pending) {
      const box = await mailbox(parts, address);
      if (box === undefined) return NO_ANSWER;
      if (box === wanted) {
        return { kind: 'own', because: seen.size === 0 ? 'own address' : `delivers to ${address}` };
      }
      if (seen.has(address.toLowerCase()) || seen.size >= MAX_ADDRESSES) continue;
      seen.add(address.toLowerCase());
      const members = await expand(parts, address);
      if (members.kind === 'retry') return members;
      next.push(...members.addresses);
    }
    pending = next;
  }
  return { kind: 'foreign' };
}

type Members =
  | { readonly kind: 'members'; readonly addresses: readonly string[] }
  | { readonly kind: 'retry'; readonly reason: string };

async function expand(parts: OwnParts, address: string): Promise<Members> {
  const found = await parts.virtualAliases(address);
  const { local, domain = parts.origin } = splitAddress(address);
  const answer =
    found.kind === 'absent' && (await parts.isLocal(domain))
      ? await parts.localAliases(local.toLowerCase())
      : found;
  if (answer.kind === 'absent') return { kind: 'members', addresses: [] };
  if (answer.kind !== 'found') return { kind: 'retry', reason: answer.reason };
  const names = splitList(answer.value).filter((name) => !/^["\\|/:]/.test(name));
  return { kind: 'members', addresses: names.map((name) => complete(parts, name)) };
}

/** One name for all addresses of a mailbox: without extension, local domains being one. */
async function mailbox(parts: OwnParts, address: string): Promise<string | undefined> {
  const bare = stripExtension(address, parts.recipientDelimiter) ?? address;
  const { local } = splitAddress(bare);
  const isLocal = await parts.isLocal(domainOf(bare));
  return isLocal === undefined ? undefined : (isLocal ? local : bare).toLowerCase();
}

const complete = ({ origin }: OwnParts, name: string): string =>
  name.includes('@') ? name : `${name}@${origin}`;
