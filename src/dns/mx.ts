/**
 * From a next hop to the hosts to try: MX records in order, their addresses, loops cut.
 *
 * Expects `families` in the order of inet_protocols. Equal preferences are shuffled as Postfix
 * does, addresses of both families together. Never rejects; a failure is a `Dsn` ready to log.
 *
 * @see RFC 5321 section 5.1, RFC 7505 (null MX), smtp(8)
 */
import { isIP } from 'node:net';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { err, ok, type Result } from '../util/result.ts';
import { type DnsAnswer, explainDns, type Resolver } from './resolver.ts';

export type MailHost = {
  /** As named by the MX record or by `[host]`. */
  readonly host: string;
  readonly address: string;
  readonly preference: number;
};

export type MxQuery = {
  /** A domain, or with `isHost` a host name or an address. */
  readonly name: string;
  /** `[name]`: no MX lookup. */
  readonly isHost: boolean;
  readonly families: readonly (4 | 6)[];
  /** Addresses of this family first, among hosts of the same preference. */
  readonly preferred?: 4 | 6;
  /** smtp_mx_address_limit; 0: no limit. */
  readonly addressLimit: number;
  /** smtp_host_lookup names native: the hosts file counts. */
  readonly native: boolean;
  /** smtp_host_lookup names dns. */
  readonly useDns: boolean;
  /** Present when a host that is this one must be cut (port 25). */
  readonly isOwnAddress?: (address: string) => boolean;
  /** In [0, 1), for the shuffle. */
  readonly random: () => number;
};

/** MX hosts whose addresses are looked up; more only costs time. */
const MAX_EXCHANGES = 20;

export async function findMailHosts(
  resolver: Resolver,
  query: MxQuery,
): Promise<Result<readonly MailHost[], Dsn>> {
  if (query.isHost || !query.useDns) {
    return hostAddresses(resolver, query, query.name);
  }
  const answer = await resolver.resolve(query.name, 'MX');
  if (answer.kind === 'retry') return err(notFound(query.name, 'MX', answer));
  if (answer.kind === 'absent') {
    if (answer.why === 'no-name') {
      return err(notFound(query.name, query.families.includes(6) ? 'AAAA' : 'A', answer));
    }
    return hostAddresses(resolver, query, query.name);
  }
  if (answer.records.every(({ value }) => value === '' || value === '.')) {
    return err(dsn('5.1.10', `Domain ${query.name} does not accept mail (nullMX)`));
  }
  const exchanges = answer.records
    .filter(({ value }) => value !== '')
    .sort((a, b) => a.preference - b.preference)
    .slice(0, MAX_EXCHANGES);
  const bestKnown = exchanges[0]?.preference ?? 0;
  const looked = await Promise.all(
    exchanges.map(({ value }) => resolver.addresses(value, query.families, query.native)),
  );
  const hosts = exchanges.flatMap(({ value: host, preference }, i) => {
    const each = looked[i];
    if (each?.kind !== 'found') return [];
    return each.records.map(({ value: address }) => ({ host, address, preference }));
  });
  if (hosts.length === 0) {
    const retry = looked.find(({ kind }) => kind === 'retry');
    const first = retry ?? looked[0];
    const name = exchanges[first ? looked.indexOf(first) : 0]?.value ?? query.name;
    return err(notFound(name, query.families.includes(6) ? 'AAAA' : 'A', first));
  }
  return cutLoop(orderHosts(hosts, query.random, query.preferred), query, bestKnown);
}

/** By preference, then by family, equal ones in random order. */
export function orderHosts(
  hosts: readonly MailHost[],
  random: () => number,
  preferred?: 4 | 6,
): readonly MailHost[] {
  const rank = ({ address }: MailHost): number => (isIP(address) === preferred ? 0 : 1);
  return hosts
    .map((host) => ({ host, key: preferred ? rank(host) + random() : random() }))
    .sort((a, b) => a.host.preference - b.host.preference || a.key - b.key)
    .map(({ host }) => host);
}

/** Drop this host and everything that is not better than it (RFC 5321 section 5.1). */
function cutLoop(
  hosts: readonly MailHost[],
  query: MxQuery,
  bestPreference: number,
): Result<readonly MailHost[], Dsn> {
  const { isOwnAddress } = query;
  const own = isOwnAddress ? hosts.find(({ address }) => isOwnAddress(address)) : undefined;
  const left = own ? hosts.filter(({ preference }) => preference < own.preference) : hosts;
  if (left.length > 0) {
    return ok(query.addressLimit > 0 ? left.slice(0, query.addressLimit) : left);
  }
  // A better exchange exists but has no address for now.
  if (own && own.preference !== bestPreference) {
    return err(dsn('4.4.4', `unable to find primary relay for ${query.name}`));
  }
  return err(dsn('5.4.6', `mail for ${query.name} loops back to myself`));
}

async function hostAddresses(
  resolver: Resolver,
  query: MxQuery,
  host: string,
): Promise<Result<readonly MailHost[], Dsn>> {
  const native = query.native || !query.useDns;
  const answer = await resolver.addresses(host, query.families, native);
  if (answer.kind !== 'found') {
    return err(notFound(host, query.families.includes(6) ? 'AAAA' : 'A', answer));
  }
  const hosts = answer.records.map(({ value: address }) => ({ host, address, preference: 0 }));
  return cutLoop(orderHosts(hosts, query.random, query.preferred), query, 0);
}

function notFound(
  name: string,
  type: string,
  answer: DnsAnswer = { kind: 'absent', why: 'no-data' },
): Dsn {
  const why = answer.kind === 'found' ? 'Host not found' : explainDns(answer);
  return dsn(
    answer.kind === 'retry' ? '4.4.3' : '5.4.4',
    `Host or domain name not found. Name service error for name=${name} type=${type}: ${why}`,
  );
}
