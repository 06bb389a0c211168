/**
 * Mail addresses in internal and external form.
 *
 * Internal form is what the program works with: the local part without quotes, split from the
 * domain at the LAST `@`. External form is what stands in SMTP commands and headers: a local part
 * that is no dot-string is quoted. The null address is `''`.
 *
 * @see RFC 5321 section 4.1.2, Postfix quote_822_local(3), split_addr(3)
 */
export type AddressParts = {
  readonly local: string;
  /** Without `@`; undefined when the address has none. */
  readonly domain: string | undefined;
};

/** Split at the last `@`. */
export function splitAddress(address: string): AddressParts {
  const at = address.lastIndexOf('@');
  if (at < 0) return { local: address, domain: undefined };
  return { local: address.slice(0, at), domain: address.slice(at + 1) };
}

/** The domain after the last `@`, lower case; `''` when there is none. */
export function domainOf(address: string): string {
  const at = address.lastIndexOf('@');
  return at < 0 ? '' : address.slice(at + 1).toLowerCase();
}

export function joinAddress({ local, domain }: AddressParts): string {
  return domain === undefined ? local : `${local}@${domain}`;
}

/** The address with its domain in lower case; the local part as it is. */
export function foldDomain(address: string): string {
  const at = address.lastIndexOf('@');
  return at < 0 ? address : address.slice(0, at + 1) + address.slice(at + 1).toLowerCase();
}

const DOT_STRING = /^[^\x00-\x20\x7f()<>[\]:;@\\,."]+(?:\.[^\x00-\x20\x7f()<>[\]:;@\\,."]+)*$/;

/** Whether a local part needs no quotes. Characters above ASCII count as letters (RFC 6531). */
export const isDotString = (local: string): boolean => DOT_STRING.test(local);

/** Internal to external form: `a b@x` becomes `"a b"@x`. The domain is copied. */
export function externalAddress(internal: string): string {
  if (internal === '') return '';
  const at = internal.lastIndexOf('@');
  const local = at < 0 ? internal : internal.slice(0, at);
  if (isDotString(local)) return internal;
  const quoted = `"${local.replaceAll(/["\\\r]/g, '\\$&')}"`;
  return at < 0 ? quoted : quoted + internal.slice(at);
}

/**
 * External to internal form. Never fails: an unclosed quote reaches to the end. What is behind the
 * last `@` outside quotes is copied, as is a source route in front.
 */
export function internalAddress(external: string): string {
  if (!/["\\]/.test(external)) return external;
  const { route, address } = splitRoute(external);
  let text = '';
  let inQuote = false;
  let split: { readonly local: string; readonly domain: string } | undefined;
  for (let at = 0; at < address.length; at += 1) {
    let char = address[at] ?? '';
    if (char === '"') {
      inQuote = !inQuote;
      continue;
    }
    if (char === '@' && !inQuote) split = { local: text, domain: address.slice(at) };
    else if (char === '\\') {
      at += 1;
      char = address[at] ?? '';
    }
    text += char;
  }
  return route + (split ? split.local + split.domain : text);
}

/** A source route (`@a,@b:user@c`, RFC 821) taken apart; `route` with its colon, or `''`. */
export function splitRoute(address: string): { readonly route: string; readonly address: string } {
  const colon = address.startsWith('@') ? address.indexOf(':') : -1;
  return { route: address.slice(0, colon + 1), address: address.slice(colon + 1) };
}

/** Addresses that no delimiter ever splits. */
const NEVER_SPLIT: ReadonlySet<string> = new Set(['postmaster', 'mailer-daemon', 'double-bounce']);

/**
 * Split `user+extension` at the first character of `delimiters` (a set, recipient_delimiter).
 * With `-` in the set, `owner-list` and `list-request` stay whole (owner_request_special).
 *
 * @returns `extension` without its delimiter, undefined when nothing was split
 */
export function splitExtension(
  local: string,
  delimiters: string,
): { readonly user: string; readonly delimiter: string; readonly extension: string | undefined } {
  const whole = { user: local, delimiter: '', extension: undefined };
  if (delimiters === '' || NEVER_SPLIT.has(local.toLowerCase())) return whole;
  if (delimiters.includes('-') && /^owner-|.-request$/i.test(local)) return whole;
  for (let at = 0; at < local.length; at += 1) {
    const delimiter = local[at] ?? '';
    if (!delimiters.includes(delimiter)) continue;
    if (at === 0) return whole;
    return { user: local.slice(0, at), delimiter, extension: local.slice(at + 1) };
  }
  return whole;
}

/** `user@domain` without the extension, or undefined when there is no extension. */
export function stripExtension(address: string, delimiters: string): string | undefined {
  const { local, domain } = splitAddress(address);
  const { user, extension } = splitExtension(local, delimiters);
  return extension === undefined ? undefined : joinAddress({ local: user, domain });
}

const LABEL = /^(?!-)[a-z\d_-]{1,63}(?<!-)$/i;

/** A host or domain name of LDH labels (underscore tolerated, as in Postfix); no trailing dot. */
export function isValidDomain(domain: string): boolean {
  if (domain === '' || domain.length > 255 || /^[\d.]+$/.test(domain)) return false;
  return domain.split('.').every((label) => LABEL.test(label) || isInternationalLabel(label));
}

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]`: the address within, or undefined. */
export function literalAddress(domain: string): string | undefined {
  const match = /^\[(?:ipv6:)?([\d.]+|[\da-f:.]*:[\da-f:.]*)\]$/i.exec(domain);
  return match?.[1]?.toLowerCase();
}

const isInternationalLabel = (label: string): boolean =>
  /[^\x00-\x7f]/.test(label) &&
  label.length <= 63 &&
  !/[\x00-\x2c\x2e\x2f\x3a-\x40\x7f]/.test(label);
