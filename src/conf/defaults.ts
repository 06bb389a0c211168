/**
 * What a parameter is when nobody sets it, not yet expanded.
 *
 * Postern's descriptors come first, then Postfix's table. Three defaults are made from the host:
 * myhostname, mydomain and mynetworks. They look at what is set, never at each other's defaults,
 * so they cannot run in circles.
 */
import { hostname, networkInterfaces } from 'node:os';
import { expand, type Lookup } from '../util/expand.ts';
import type { Param } from './descriptor.ts';
import { defaultNetworks, type InterfaceAddress } from './mynetworks.ts';
import { PARAMS } from './params.ts';
import { POSTFIX_PARAMETERS } from './postfix-params.ts';

const OWN: ReadonlyMap<string, Param> = new Map(Object.entries(PARAMS));

/** What the system says of itself. */
export type Host = {
  readonly hostname: string;
  readonly addresses: readonly InterfaceAddress[];
};

export function thisHost(): Host {
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .map(({ address, cidr }) => ({
      address,
      bits: Number(cidr?.split('/')[1] ?? (address.includes(':') ? 128 : 32)),
    }));
  return { hostname: hostname(), addresses };
}

/** Whether the value stays as written, its `$names` being known only when it is used. */
export function isRaw(name: string): boolean {
  const own = OWN.get(name);
  if (own) return own.type === 'text' && own.raw === true;
  return POSTFIX_PARAMETERS.get(name)?.type === 'raw';
}

/** Unexpanded; undefined for a name that is no parameter. `settings` finds what is set. */
export function defaultOf(name: string, settings: Lookup, host: Host): string | undefined {
  switch (name) {
    case 'myhostname':
      return defaultHostname(settings, host);
    case 'mydomain':
      return defaultDomain(settings, host);
    case 'mynetworks':
      return networks(settings, host);
    default:
      return OWN.get(name)?.default ?? POSTFIX_PARAMETERS.get(name)?.default;
  }
}

const DOMAIN = 'localdomain';

function defaultHostname(settings: Lookup, host: Host): string {
  if (host.hostname.includes('.')) return host.hostname;
  const domain = settings('mydomain');
  return `${host.hostname}.${domain === undefined ? DOMAIN : expand(domain, settings).text}`;
}

function defaultDomain(settings: Lookup, host: Host): string {
  const set = settings('myhostname');
  const name = set === undefined ? defaultHostname(settings, host) : expand(set, settings).text;
  const dot = name.indexOf('.');
  return dot < 0 ? DOMAIN : name.slice(dot + 1);
}

function networks(settings: Lookup, host: Host): string {
  const textOf: Lookup = (name) =>
    settings(name) ?? (name === 'mynetworks' ? '' : defaultOf(name, settings, host));
  const settingOf = (name: string): string => expand(textOf(name) ?? '', textOf).text;
  return defaultNetworks(
    {
      mynetworks_style: settingOf('mynetworks_style'),
      inet_interfaces: settingOf('inet_interfaces'),
      inet_protocols: settingOf('inet_protocols'),
    },
    host.addresses,
  );
}
