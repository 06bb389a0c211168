/**
 * Decisions about one recipient: is its domain ours, does its user exist.
 *
 * A recipient that still carries a route (`user%remote@ours`) is never taken for ours, so no
 * spelling of an address opens the relay. A table that cannot answer is 451, never "unknown".
 *
 * @see postconf(5) reject_unauth_destination, reject_unlisted_recipient
 */
import { type Reply, reply } from '../mail/reply.ts';
import type { Classified } from '../rewrite/resolve.ts';
import { splitList } from '../util/text.ts';
import type { AddressResolver, MailFacts, Resolved, RestrictParts } from './facts.ts';

export type RelayVerdict = 'ours' | 'foreign' | { readonly refusal: Reply };

export async function relayVerdict(
  facts: MailFacts,
  resolver: AddressResolver,
): Promise<RelayVerdict> {
  const { recipient = '' } = facts;
  const target = await resolver.classify(recipient);
  if (target.kind === 'retry') return { refusal: temporaryFailure(recipient) };
  if (target.kind === 'invalid') return 'foreign';
  return isOurs(target) ? 'ours' : 'foreign';
}

export const isOurs = (target: Classified): boolean =>
  target.kind === 'resolved' && !target.isRouted && target.addressClass !== 'default';

export const temporaryFailure = (address: string): Reply =>
  reply(451, '4.3.0', `<${address}>: Temporary lookup failure`);

export const relayDenied = (address: string, code: number): Reply =>
  reply(code, code >= 500 ? '5.7.1' : '4.7.1', `<${address}>: Relay access denied`);

/** `reject_unlisted_recipient`: undefined lets it pass. */
export async function unlistedRecipient(
  facts: MailFacts,
  parts: Pick<RestrictParts, 'resolver' | 'config'>,
): Promise<Reply | undefined> {
  const { recipient = '' } = facts;
  const overrides = splitList(parts.config.receive_override_options.toLowerCase());
  if (overrides.includes('no_unknown_recipient_checks')) return undefined;
  const target = await parts.resolver.classify(recipient);
  if (target.kind === 'retry') return temporaryFailure(recipient);
  if (target.kind === 'invalid') {
    return reply(501, '5.1.3', `<${recipient}>: Recipient address rejected: ${target.reason}`);
  }
  if (target.addressClass === 'default') return undefined;
  const found = await parts.resolver.recipientExists(target);
  if (found.kind === 'yes') return undefined;
  if (found.kind === 'retry') return temporaryFailure(recipient);
  const code = unknownCode(target, parts.config);
  return reply(
    code,
    code >= 500 ? '5.1.1' : '4.1.1',
    `<${recipient}>: Recipient address rejected: User unknown in ${found.table}`,
  );
}

function unknownCode(target: Resolved, config: RestrictParts['config']): number {
  switch (target.addressClass) {
    case 'local':
      return config.unknown_local_recipient_reject_code;
    case 'virtual-alias':
      return config.unknown_virtual_alias_reject_code;
    case 'virtual-mailbox':
      return config.unknown_virtual_mailbox_reject_code;
    default:
      return config.unknown_relay_recipient_reject_code;
  }
}
