/** What mynetworks is when main.cf does not set it: by mynetworks_style `host` or `subnet`. */
import { networkInterfaces } from 'node:os';

export function defaultNetworks(style: string): string {
  const words: string[] = ['127.0.0.0/8', '[::1]/128'];
  for (const each of Object.values(networkInterfaces()).flat()) {
    if (!each || each.internal || each.address.includes('%')) continue;
    if (each.family === 'IPv6' && each.scopeid !== 0) continue;
    const bits = style === 'host' ? (each.family === 'IPv4' ? 32 : 128) : prefixBits(each.cidr);
    words.push(each.family === 'IPv4' ? `${each.address}/${bits}` : `[${each.address}]/${bits}`);
  }
  return words.join(' ');
}

/** Addresses of this host, for permit_inet_interfaces and proxy loops. */
export const ownAddresses = (): ReadonlySet<string> =>
  new Set(
    Object.values(networkInterfaces())
      .flat()
      .flatMap((each) => (each ? [each.address] : [])),
  );

const prefixBits = (cidr: string | null): number => Number(cidr?.split('/')[1] ?? 128);
