/** Restrictions about sender and recipient: tables, domains, the relay gate, unknown users. */
import { findAccess, mailKeys } from './access.ts';
import { parents } from './client-rules.ts';
import { domainOf, isAddressLiteral, isFqdn } from './host-checks.ts';
import {
  isOurs,
  relayDenied,
  relayVerdict,
  temporaryFailure,
  unlistedRecipient,
} from './recipient.ts';
import { DUNNO, okIf, type RuleContext, type RuleVerdict, refuse, tableVerdict } from './rule.ts';

export const senderSubject = ({ facts }: RuleContext) =>
  `<${facts.sender ?? ''}>: Sender address rejected`;
export const recipientSubject = ({ facts }: RuleContext) =>
  `<${facts.recipient ?? ''}>: Recipient address rejected`;

export async function checkMail(
  context: RuleContext,
  address: string,
  subject: string,
): Promise<RuleVerdict> {
  const { parts, maps } = context;
  if (!maps) return DUNNO;
  let key = address;
  let isRouted = false;
  if (address !== '') {
    const target = await parts.resolver.classify(address);
    if (target.kind === 'retry') return { kind: 'hard', reply: temporaryFailure(address) };
    if (target.kind === 'resolved') {
      key = target.address;
      isRouted = target.isRouted;
    }
  } else key = parts.config.smtpd_null_access_lookup_key;
  const keys =
    address === '' ? [key] : mailKeys(key, parts.config.recipient_delimiter, parents(parts));
  return tableVerdict(await findAccess(maps, keys, new Set([key])), maps, subject, isRouted);
}

export async function checkRelay(context: RuleContext, code: number): Promise<RuleVerdict> {
  const { facts, parts } = context;
  if (facts.recipient === undefined) return DUNNO;
  const verdict = await relayVerdict(facts, parts.resolver);
  if (verdict === 'ours') return DUNNO;
  if (verdict !== 'foreign') return { kind: 'hard', reply: verdict.refusal };
  return { kind: 'refuse', reply: relayDenied(facts.recipient, code) };
}

/** permit_auth_destination */
export async function isAuthDestination({ facts, parts }: RuleContext): Promise<RuleVerdict> {
  if (facts.recipient === undefined) return DUNNO;
  const verdict = await relayVerdict(facts, parts.resolver);
  return typeof verdict === 'string'
    ? okIf(verdict === 'ours')
    : { kind: 'hard', reply: verdict.refusal };
}

export async function checkDomain(
  context: RuleContext,
  address: string | undefined,
  who: 'Sender' | 'Recipient',
): Promise<RuleVerdict> {
  const { parts } = context;
  if (address === undefined || address === '') return DUNNO;
  const target = await parts.resolver.classify(address);
  if (target.kind !== 'resolved' || isOurs(target)) return DUNNO;
  const domain = target.domain;
  if (domain === '' || isAddressLiteral(domain)) return DUNNO;
  const subject = `<${address}>: ${who} address rejected`;
  switch (await parts.domainExists(domain)) {
    case 'yes':
      return DUNNO;
    case 'retry':
      return refuse(450, who === 'Sender' ? '1.8' : '1.2', `${subject}: Domain not found`);
    case 'null-mx':
      return who === 'Sender'
        ? refuse(550, '7.27', `${subject}: Domain ${domain} does not accept mail (nullMX)`)
        : refuse(556, '1.10', `${subject}: Domain ${domain} does not accept mail (nullMX)`);
    case 'no': {
      const code = parts.config.unknown_address_reject_code;
      return refuse(code, who === 'Sender' ? '1.8' : '1.2', `${subject}: Domain not found`);
    }
  }
}

export function checkFqdn(
  context: RuleContext,
  address: string | undefined,
  who: string,
): RuleVerdict {
  if (address === undefined || address === '') return DUNNO;
  if (isFqdn(domainOf(address))) return DUNNO;
  const status = who === 'Sender' ? '1.7' : '1.2';
  const code = context.parts.config.non_fqdn_reject_code;
  return refuse(
    code,
    status,
    `<${address}>: ${who} address rejected: need fully-qualified address`,
  );
}

export async function unlisted({ facts, parts }: RuleContext): Promise<RuleVerdict> {
  if (facts.recipient === undefined) return DUNNO;
  const refusal = await unlistedRecipient(facts, parts);
  if (!refusal) return DUNNO;
  return { kind: refusal.code === 451 ? 'hard' : 'refuse', reply: refusal };
}
