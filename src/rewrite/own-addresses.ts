/**
 * Addresses of this mail system: inet_interfaces and proxy_interfaces as IP addresses.
 *
 * Host names in them are not looked up; loopback and the interfaces of the host are known without.
 */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { splitList } from '../util/text.ts';

type Settings = { readonly inet_interfaces: string; readonly proxy_interfaces: string };

export function ownAddresses(config: Settings): ReadonlySet<string> {
  const host = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const own = new Set<string>();
  for (const element of splitList(`${config.inet_interfaces} ${config.proxy_interfaces}`)) {
    const name = element.replace(/^\[(.*)\]$/, '$1').toLowerCase();
    if (isIP(name)) own.add(name);
    else if (name === 'all') for (const { address } of host) own.add(address.toLowerCase());
    else if (name === 'loopback-only' || name === 'localhost') {
      for (const { address, internal } of host) if (internal) own.add(address.toLowerCase());
    }
  }
  return own;
}
