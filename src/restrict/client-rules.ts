/** Restrictions about the client and the name it gives in HELO. */
import { parentMatches } from '../lookup/match-list.ts';
import { reply } from '../mail/reply.ts';
import { addressKeys, findAccess, nameKeys } from './access.ts';
import type { RestrictParts } from './facts.ts';
import { isAddressLiteral, isFqdn, isValidHostname } from './host-checks.ts';
import {
  clientOf,
  DUNNO,
  okIf,
  plain,
  type Rule,
  type RuleContext,
  type RuleVerdict,
  refuse,
  tableVerdict,
} from './rule.ts';

export const parents = (parts: RestrictParts): boolean =>
  parentMatches(parts.config, 'smtpd_access_maps');

export async function checkClient({ parts, facts, maps }: RuleContext): Promise<RuleVerdict> {
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

export async function checkHelo({ parts, facts, maps }: RuleContext): Promise<RuleVerdict> {
  const { helo } = facts.session;
  if (!maps || helo === '') return DUNNO;
  const found = await findAccess(maps, nameKeys(helo, parents(parts)), new Set([helo]));
  return tableVerdict(found, maps, `<${helo}>: Helo command rejected`);
}

export async function checkRbl({ parts, facts, argument = '' }: RuleContext): Promise<RuleVerdict> {
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

export async function checkNetworks({ parts, facts }: RuleContext): Promise<RuleVerdict> {
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

export const unknownClient = (pick: 'name' | 'reverseName', text: string) =>
  plain(({ facts, parts }) => {
    if (facts.session.peer[pick] !== 'unknown') return DUNNO;
    const code = facts.isNameTemporary ? 450 : parts.config.unknown_client_reject_code;
    return refuse(
      code,
      '7.25',
      `Client host rejected: cannot find your ${text}, [${facts.session.peer.address}]`,
    );
  });

export const invalidHelo: Rule = heloRule(
  (name) => isValidHostname(name) || isAddressLiteral(name),
  'invalid_hostname_reject_code',
  '5.2',
  'Invalid name',
);

export const nonFqdnHelo: Rule = heloRule(
  isFqdn,
  'non_fqdn_reject_code',
  '5.2',
  'need fully-qualified hostname',
);

/** A HELO name without MX and address; an address literal has none to look for. */
export async function unknownHelo({ facts, parts }: RuleContext): Promise<RuleVerdict> {
  const { helo } = facts.session;
  if (helo === '' || isAddressLiteral(helo)) return DUNNO;
  const text = `<${helo}>: Helo command rejected: Host not found`;
  switch (await parts.domainExists(helo)) {
    case 'yes':
    case 'null-mx':
      return DUNNO;
    case 'retry':
      return { kind: 'defer_if_permit', reply: reply(450, '4.7.1', text) };
    case 'no':
      return refuse(parts.config.unknown_hostname_reject_code, '7.1', text);
  }
}
