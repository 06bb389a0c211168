/**
 * Every restriction by name: what it looks at and what it says. One entry a rule, no state.
 *
 * @see postconf(5) smtpd_recipient_restrictions
 */

import type { Maps } from '../lookup/maps.ts';
import { parentMatches } from '../lookup/match-list.ts';
import type { Lookup } from '../lookup/table.ts';
import { type EnhancedStatus, type Reply, reply } from '../mail/reply.ts';
import { addressKeys, findAccess, mailKeys, nameKeys } from './access.ts';
import type { MailFacts, MaybePromise, RestrictParts, Stage } from './facts.ts';
import { domainOf, isAddressLiteral, isFqdn, isValidHostname } from './host-checks.ts';
import {
  isOurs,
  relayDenied,
  relayVerdict,
  temporaryFailure,
  unlistedRecipient,
} from './recipient.ts';
import { senderLoginMismatch } from './sender-login.ts';

export type RuleContext = {
  readonly parts: RestrictParts;
  readonly facts: MailFacts;
  readonly stage: Stage;
  readonly name: string;
  readonly argument?: string;
  readonly maps?: Maps;
};

export type RuleVerdict =
  | { readonly kind: 'dunno' | 'ok' }
  | { readonly kind: 'refuse' | 'defer_if_permit' | 'defer_if_reject'; readonly reply: Reply }
  /** Stands whatever warn_if_reject says. */
  | { readonly kind: 'hard'; readonly reply: Reply; readonly reason?: string }
  | { readonly kind: 'broken'; readonly reason: string }
  | {
      readonly kind: 'found';
      readonly value: string;
      readonly subject: string;
      readonly isRouted: boolean;
    };

export type Rule = {
  readonly takesArgument: boolean;
  readonly isAccess: boolean;
  readonly check: (context: RuleContext) => MaybePromise<RuleVerdict>;
};

const OK: RuleVerdict = { kind: 'ok' };
const DUNNO: RuleVerdict = { kind: 'dunno' };

const plain = (check: Rule['check']): Rule => ({ takesArgument: false, isAccess: false, check });
const access = (check: Rule['check']): Rule => ({ takesArgument: true, isAccess: true, check });
const withWord = (check: Rule['check']): Rule => ({ takesArgument: true, isAccess: false, check });
const okIf = (condition: boolean): RuleVerdict => (condition ? OK : DUNNO);

const clientOf = ({ session }: MailFacts): string =>
  `${session.peer.name}[${session.peer.address}]`;

/** `<x>: Sender address rejected`: what a refusal of this stage is about. */
function subjectOf({ stage, facts }: RuleContext): string {
  switch (stage) {
    case 'client':
      return `<${clientOf(facts)}>: Client host rejected`;
    case 'helo':
      return `<${facts.session.helo}>: Helo command rejected`;
    case 'sender':
      return `<${facts.sender ?? ''}>: Sender address rejected`;
    case 'relay':
    case 'recipient':
      return `<${facts.recipient ?? ''}>: Recipient address rejected`;
    case 'data':
      return '<DATA>: Data command rejected';
    case 'end_of_data':
      return '<END-OF-MESSAGE>: End-of-data rejected';
    case 'etrn':
      return '<ETRN>: Etrn command rejected';
  }
}

function refuse(code: number, detail: string, text: string): RuleVerdict {
  const status: EnhancedStatus = `${code >= 500 ? 5 : 4}.${number(detail, 0)}.${number(detail, 1)}`;
  return { kind: 'refuse', reply: reply(code, status, text) };
}
const number = (detail: string, at: number): number => Number(detail.split('.')[at]);

function tableVerdict(found: Lookup, maps: Maps, subject: string, isRouted = false): RuleVerdict {
  switch (found.kind) {
    case 'absent':
      return DUNNO;
    case 'found':
      return { kind: 'found', value: found.value, subject, isRouted };
    default:
      return {
        kind: 'hard',
        reply: reply(451, '4.3.5', 'Server configuration error'),
        reason: `${maps.parameter}: ${found.reason}`,
      };
  }
}

const parents = (parts: RestrictParts): boolean => parentMatches(parts.config, 'smtpd_access_maps');

async function checkClient({ parts, facts, maps }: RuleContext): Promise<RuleVerdict> {
  if (!maps) return DUNNO;
  const { name, address } = facts.session.peer;
  const subject = `<${clientOf(facts)}>: Client host rejected`;
  if (name !== 'unknown') {
    const found = await findAccess(maps, nameKeys(name, parents(parts)), new Set([name]));
    if (found.kind !== 'absent') return tableVerdict(found, maps, subject);
  }
  const byAddress = await findAccess(maps, addressKeys(address), new Set([address]));
  return tableVerdict(byAddress, maps, subject);
}

async function checkHelo({ parts, facts, maps }: RuleContext): Promise<RuleVerdict> {
  const { helo } = facts.session;
  if (!maps || helo === '') return DUNNO;
  const found = await findAccess(maps, nameKeys(helo, parents(parts)), new Set([helo]));
  return tableVerdict(found, maps, `<${helo}>: Helo command rejected`);
}

async function checkMail(
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

async function checkRelay(context: RuleContext, code: number): Promise<RuleVerdict> {
  const { facts, parts } = context;
  if (facts.recipient === undefined) return DUNNO;
  const verdict = await relayVerdict(facts, parts.resolver);
  if (verdict === 'ours') return DUNNO;
  if (verdict !== 'foreign') return { kind: 'hard', reply: verdict.refusal };
  return { kind: 'refuse', reply: relayDenied(facts.recipient, code) };
}

async function checkDomain(
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

function checkFqdn(context: RuleContext, address: string | undefined, who: string): RuleVerdict {
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

async function checkRbl({ parts, facts, argument = '' }: RuleContext): Promise<RuleVerdict> {
  const { address } = facts.session.peer;
  const [domain = '', wanted] = argument.split('=');
  if (!/^[\d.]+$/.test(address)) return DUNNO;
  const found = await parts.addressesOf(`${address.split('.').reverse().join('.')}.${domain}`);
  if (found === 'retry' || found.length === 0) return DUNNO;
  if (wanted !== undefined && !found.includes(wanted)) return DUNNO;
  return refuse(
    554,
    '7.1',
    `Service unavailable; Client host [${address}] blocked using ${domain}`,
  );
}

async function checkNetworks({ parts, facts }: RuleContext): Promise<RuleVerdict> {
  const { name, address } = facts.session.peer;
  const match = await parts.myNetworks(name, address);
  if (match.kind === 'error') {
    return {
      kind: 'hard',
      reply: reply(451, '4.3.0', 'Temporary lookup failure'),
      reason: match.reason,
    };
  }
  return okIf(match.kind === 'yes');
}

const senderSubject = ({ facts }: RuleContext) =>
  `<${facts.sender ?? ''}>: Sender address rejected`;
const recipientSubject = ({ facts }: RuleContext) =>
  `<${facts.recipient ?? ''}>: Recipient address rejected`;

const heloRule = (
  test: (name: string) => boolean,
  code: keyof Codes,
  status: string,
  text: string,
) =>
  plain(({ facts, parts }) => {
    const { helo } = facts.session;
    if (helo === '' || test(helo)) return DUNNO;
    return refuse(parts.config[code], status, `<${helo}>: Helo command rejected: ${text}`);
  });
type Codes = Pick<RestrictParts['config'], 'invalid_hostname_reject_code' | 'non_fqdn_reject_code'>;

const unknownClient = (pick: 'name' | 'reverseName', text: string) =>
  plain(({ facts, parts }) => {
    if (facts.session.peer[pick] !== 'unknown') return DUNNO;
    const code = facts.isNameTemporary ? 450 : parts.config.unknown_client_reject_code;
    return refuse(
      code,
      '7.25',
      `Client host rejected: cannot find your ${text}, [${facts.session.peer.address}]`,
    );
  });

async function unlisted({ facts, parts }: RuleContext): Promise<RuleVerdict> {
  if (facts.recipient === undefined) return DUNNO;
  const refusal = await unlistedRecipient(facts, parts);
  if (!refusal) return DUNNO;
  return { kind: refusal.code === 451 ? 'hard' : 'refuse', reply: refusal };
}

export const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['permit', plain(() => OK)],
  [
    'reject',
    plain((c) => refuse(c.parts.config.reject_code, '7.1', `${subjectOf(c)}: Access denied`)),
  ],
  [
    'defer',
    plain((c) => refuse(c.parts.config.defer_code, '3.2', `${subjectOf(c)}: Try again later`)),
  ],
  [
    'defer_if_permit',
    plain((c) => ({
      kind: 'defer_if_permit',
      reply: reply(
        c.parts.config.defer_code,
        '4.3.2',
        `${subjectOf(c)}: defer_if_permit requested`,
      ),
    })),
  ],
  [
    'defer_if_reject',
    plain((c) => ({
      kind: 'defer_if_reject',
      reply: reply(
        c.parts.config.defer_code,
        '4.3.2',
        `${subjectOf(c)}: defer_if_reject requested`,
      ),
    })),
  ],
  ['warn_if_reject', plain(() => DUNNO)],
  ['permit_mynetworks', plain(checkNetworks)],
  [
    'permit_inet_interfaces',
    plain((c) => okIf(c.parts.ownAddresses.has(c.facts.session.peer.address))),
  ],
  ['permit_sasl_authenticated', plain((c) => okIf(c.facts.session.login !== undefined))],
  [
    'reject_plaintext_session',
    plain((c) =>
      c.facts.session.tls
        ? DUNNO
        : refuse(c.parts.config.plaintext_reject_code, '7.1', 'Session encryption is required'),
    ),
  ],
  ['reject_unauth_pipelining', plain(() => DUNNO)],
  [
    'reject_unauth_destination',
    plain((c) => checkRelay(c, c.parts.config.relay_domains_reject_code)),
  ],
  ['defer_unauth_destination', plain((c) => checkRelay(c, 454))],
  [
    'permit_auth_destination',
    plain(async (c) => {
      if (c.facts.recipient === undefined) return DUNNO;
      const verdict = await relayVerdict(c.facts, c.parts.resolver);
      return typeof verdict === 'string'
        ? okIf(verdict === 'ours')
        : { kind: 'hard', reply: verdict.refusal };
    }),
  ],
  ['reject_unlisted_recipient', plain(unlisted)],
  ['check_recipient_maps', plain(unlisted)],
  ['reject_non_fqdn_sender', plain((c) => checkFqdn(c, c.facts.sender, 'Sender'))],
  ['reject_non_fqdn_recipient', plain((c) => checkFqdn(c, c.facts.recipient, 'Recipient'))],
  ['reject_unknown_sender_domain', plain((c) => checkDomain(c, c.facts.sender, 'Sender'))],
  ['reject_unknown_recipient_domain', plain((c) => checkDomain(c, c.facts.recipient, 'Recipient'))],
  ['reject_unknown_client_hostname', unknownClient('name', 'hostname')],
  ['reject_unknown_client', unknownClient('name', 'hostname')],
  ['reject_unknown_reverse_client_hostname', unknownClient('reverseName', 'reverse hostname')],
  [
    'reject_invalid_helo_hostname',
    heloRule(
      (n) => isValidHostname(n) || isAddressLiteral(n),
      'invalid_hostname_reject_code',
      '5.2',
      'Invalid name',
    ),
  ],
  [
    'reject_invalid_hostname',
    heloRule(
      (n) => isValidHostname(n) || isAddressLiteral(n),
      'invalid_hostname_reject_code',
      '5.2',
      'Invalid name',
    ),
  ],
  [
    'reject_non_fqdn_helo_hostname',
    heloRule(isFqdn, 'non_fqdn_reject_code', '5.2', 'need fully-qualified hostname'),
  ],
  [
    'reject_non_fqdn_hostname',
    heloRule(isFqdn, 'non_fqdn_reject_code', '5.2', 'need fully-qualified hostname'),
  ],
  [
    'reject_multi_recipient_bounce',
    plain((c) =>
      c.facts.sender === '' && c.facts.recipientCount > 1
        ? refuse(
            c.parts.config.multi_recipient_bounce_reject_code,
            '5.3',
            `${recipientSubject(c)}: Multi-recipient bounce`,
          )
        : DUNNO,
    ),
  ],
  ['reject_sender_login_mismatch', plain((c) => senderLoginMismatch(c, 'both'))],
  [
    'reject_authenticated_sender_login_mismatch',
    plain((c) => senderLoginMismatch(c, 'authenticated')),
  ],
  ['reject_known_sender_login_mismatch', plain((c) => senderLoginMismatch(c, 'known'))],
  [
    'reject_unauthenticated_sender_login_mismatch',
    plain((c) => senderLoginMismatch(c, 'unauthenticated')),
  ],
  ['check_client_access', access(checkClient)],
  ['check_helo_access', access(checkHelo)],
  [
    'check_sender_access',
    access((c) =>
      c.facts.sender === undefined ? DUNNO : checkMail(c, c.facts.sender, senderSubject(c)),
    ),
  ],
  [
    'check_recipient_access',
    access((c) =>
      c.facts.recipient === undefined
        ? DUNNO
        : checkMail(c, c.facts.recipient, recipientSubject(c)),
    ),
  ],
  [
    'check_sasl_access',
    access(async ({ facts, maps }) => {
      const { login } = facts.session;
      if (!login || !maps) return DUNNO;
      return tableVerdict(
        await maps.find(login.username),
        maps,
        `<${login.username}>: SASL login name rejected`,
      );
    }),
  ],
  ['reject_rbl_client', withWord(checkRbl)],
]);
