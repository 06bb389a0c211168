/** Syntax of the names that clients give: HELO names and domains of addresses. */
import { isIPv4, isIPv6 } from 'node:net';

/** A host name by RFC 952 and 1123, underscores allowed as in Postfix. */
export function isValidHostname(name: string): boolean {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name;
  if (bare === '' || bare.length > 253 || /^[\d.]+$/.test(bare)) return false;
  return bare
    .split('.')
    .every((label) =>
      /^[A-Za-z0-9_\u0080-\uffff](?:[A-Za-z0-9_\u0080-\uffff-]{0,61}[A-Za-z0-9_\u0080-\uffff])?$/.test(
        label,
      ),
    );
}

/** `[1.2.3.4]` or `[IPv6:::1]`. */
export function isAddressLiteral(name: string): boolean {
  const inner = /^\[(.*)\]$/.exec(name)?.[1];
  if (inner === undefined) return false;
  return /^ipv6:/i.test(inner) ? isIPv6(inner.slice(5)) : isIPv4(inner);
}

export const isFqdn = (name: string): boolean =>
  isAddressLiteral(name) || (isValidHostname(name) && name.replace(/\.$/, '').includes('.'));

export const domainOf = (address: string): string => {
  const at = address.lastIndexOf('@');
  return at < 0 ? '' : address.slice(at + 1);
};
