/**
 * Addresses that mean this host wherever they are used: a stranger's MX record that names one would
 * have us talk to ourselves, or to what else listens here.
 */
import { BlockList, isIPv6 } from 'node:net';

const HERE = new BlockList();
HERE.addSubnet('127.0.0.0', 8, 'ipv4');
HERE.addSubnet('0.0.0.0', 8, 'ipv4');
HERE.addAddress('::', 'ipv6');
HERE.addAddress('::1', 'ipv6');

/** Loopback and unspecified addresses, also as IPv4 within IPv6. */
export const isThisHost = (address: string): boolean =>
  HERE.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
