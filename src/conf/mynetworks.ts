/**
 * The default of mynetworks: this host, or the networks it is in.
 *
 * IPv4 comes first; link-local networks count; a network is named once. Class-style networks of
 * IPv6 are its subnets.
 *
 * @see postconf(5) mynetworks_style, inet_interfaces
 */
import { isIP, isIPv4, SocketAddress } from 'node:net';
import { parseIp } from '../util/ip-prefix.ts';
import { splitList } from '../util/text.ts';

/** One address of an interface, with the bits of its network. */
export type InterfaceAddress = { readonly address: string; readonly bits: number };

export type NetworkSettings = {
  readonly mynetworks_style: string;
  readonly inet_interfaces: string;
  readonly inet_protocols: string;
};

/** Families that inet_protocols names, or undefined when a word is not known. */
export function protocolFamilies(text: string): readonly (4 | 6)[] | undefined {
  const words = splitList(text.toLowerCase());
  if (!words.every((word) => ['all', 'ipv4', 'ipv6'].includes(word))) return undefined;
  return ([4, 6] as const).filter((each) => words.includes('all') || words.includes(`ipv${each}`));
}

export const isNetworkStyle = (text: string): boolean => /^(host|subnet|class)$/i.test(text.trim());

export function defaultNetworks(
  settings: NetworkSettings,
  local: readonly InterfaceAddress[],
): string {
  const style = settings.mynetworks_style.trim().toLowerCase();
  const families = protocolFamilies(settings.inet_protocols) ?? [4, 6];
  const own = ownAddresses(settings.inet_interfaces, local);
  const patterns = families.flatMap((family) =>
    own
      .filter(({ address }) => isIP(address) === family)
      .map(({ address, bits }) => networkOf(address, bitsOf(style, address, bits))),
  );
  return [...new Set(patterns)].join(' ');
}

/** A listed address that no interface has is left out: whom to trust is not guessed. */
function ownAddresses(
  interfaces: string,
  local: readonly InterfaceAddress[],
): readonly InterfaceAddress[] {
  const isLoopback = ({ address }: InterfaceAddress): boolean =>
    address === '::1' || address.startsWith('127.');
  if (interfaces.trim() === 'all') return local;
  if (interfaces.trim() === 'loopback-only') return local.filter(isLoopback);
  return splitList(interfaces).flatMap((word) => {
    if (word === 'localhost') return local.filter(isLoopback);
    const wanted = canonical(word.replace(/^\[(?:ipv6:)?(.*)\]$/i, '$1'));
    const found = local.find(({ address }) => canonical(address) === wanted);
    return found ? [found] : [];
  });
}

const canonical = (address: string): string =>
  isIP(address) === 6 ? new SocketAddress({ address, family: 'ipv6' }).address : address;

function bitsOf(style: string, address: string, bits: number): number {
  if (style === 'host') return isIPv4(address) ? 32 : 128;
  if (style === 'subnet' || !isIPv4(address)) return bits;
  const first = Number(address.split('.')[0]);
  return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 4;
}

/** The pattern of a network, host bits cleared. */
function networkOf(address: string, bits: number): string {
  const bytes = parseIp(address) ?? new Uint8Array();
  const network = bytes.map(
    (byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * at))),
  );
  if (bytes.length === 4) return `${network.join('.')}/${bits}`;
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((network[2 * at] ?? 0) << 8) | (network[2 * at + 1] ?? 0)).toString(16),
  );
  return `[${canonical(groups.join(':'))}]/${bits}`;
}
