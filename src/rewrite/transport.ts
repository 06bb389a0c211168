/**
 * transport_maps and what `transport:nexthop` texts mean.
 *
 * Keys: the address, the address without extension, the domain, its parents as `.parent`, then
 * `*`. A missing transport keeps the one of the address class; a missing next hop means the
 * recipient domain; both missing change nothing.
 *
 * @see transport(5)
 */
import { after, type Maps, type MaybePromise } from '../lookup/maps.ts';
import { ABSENT, type Lookup } from '../lookup/table.ts';
import { domainOf, externalAddress, stripExtension } from '../mail/address.ts';
import type { Dsn } from '../mail/dsn.ts';
import { dsn } from '../mail/dsn.ts';

export type Hop = { readonly transport: string; readonly nexthop: string };

/** `smtp:[host]:587` splits at the first colon; without one the text is a transport. */
export function parseHop(text: string): Hop {
  const colon = text.indexOf(':');
  if (colon < 0) return { transport: text.trim(), nexthop: '' };
  return { transport: text.slice(0, colon).trim(), nexthop: text.slice(colon + 1).trim() };
}

/** A table entry applied to the route found so far. */
export function applyEntry(entry: string, current: Hop, domain: string): Hop {
  const { transport, nexthop } = parseHop(entry);
  if (transport === '' && nexthop === '') return current;
  if (transport === '') return { transport: current.transport, nexthop };
  if (nexthop !== '') return { transport, nexthop };
  const isVerdict = transport === 'error' || transport === 'retry';
  return { transport, nexthop: isVerdict ? 'Address is undeliverable' : domain };
}

/**
 * `matchesParents`: transport_maps is in parent_domain_matches_subdomains, so parent domains are asked
 * for without their leading dot.
 */
export function findTransport(
  maps: Maps,
  address: string,
  options: { readonly delimiters: string; readonly matchesParents: boolean },
): MaybePromise<Lookup> {
  if (maps.isEmpty) return ABSENT;
  const keys: Key[] = [];
  const bare = stripExtension(address, options.delimiters);
  for (const each of bare === undefined ? [address] : [address, bare]) {
    const whole = each === address;
    const external = externalAddress(each);
    keys.push({ key: external, whole });
    if (external !== each) keys.push({ key: each, whole });
  }
  const domain = domainOf(address);
  if (domain !== '') keys.push({ key: domain, whole: false });
  for (let dot = domain.indexOf('.', 1); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
    const parent = domain.slice(options.matchesParents ? dot + 1 : dot);
    if (parent !== '') keys.push({ key: parent, whole: false });
  }
  keys.push({ key: '*', whole: true });
  return tryKeys(maps, keys, 0);
}

type Key = { readonly key: string; readonly whole: boolean };

function tryKeys(maps: Maps, keys: readonly Key[], at: number): MaybePromise<Lookup> {
  const step = keys[at];
  if (!step) return ABSENT;
  return after(step.whole ? maps.find(step.key) : maps.findPartial(step.key), (found) =>
    found.kind === 'absent' ? tryKeys(maps, keys, at + 1) : found,
  );
}

/** The verdict of `error:` and `retry:`: their text may begin with a status of its own. */
export function verdictOf({ transport, nexthop }: Hop): Dsn | undefined {
  if (transport !== 'error' && transport !== 'retry') return undefined;
  const isFinal = transport === 'error';
  const match = /^([245])\.(\d{1,3})\.(\d{1,3})\s+([\s\S]*)$/.exec(nexthop);
  const subject = Number(match?.[2] ?? 0);
  const detail = Number(match?.[3] ?? 0);
  const reason = match?.[4] ?? nexthop;
  return dsn(`${isFinal ? 5 : 4}.${subject}.${detail}`, reason);
}
