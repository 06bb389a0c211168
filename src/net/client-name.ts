/**
 * The name of a client: its PTR name, confirmed by a forward look-up, or `unknown`.
 *
 * Answers are kept per process, good and bad ones, so that a client that comes back costs no
 * query; look-ups that failed are kept shortly. PTR names are chosen by strangers: only text that
 * is a host name is taken.
 *
 * @see postconf(5) reject_unknown_client_hostname
 */
export type ClientName = {
  /** Confirmed name or `unknown`. */
  readonly name: string;
  /** PTR name, not confirmed, or `unknown`. */
  readonly reverseName: string;
  /** A look-up failed for the moment: a refusal because of the name must be temporary. */
  readonly isTemporary: boolean;
};

export type NameResolver = {
  /** PTR names; an empty list when there are none. Rejects on a temporary failure. */
  readonly reverse: (address: string) => Promise<readonly string[]>;
  /** Addresses of a name, textual. Rejects on a temporary failure. */
  readonly addresses: (name: string, family: 4 | 6) => Promise<readonly string[]>;
};

export type ClientNames = {
  readonly lookup: (address: string) => ClientName | Promise<ClientName>;
};

export const UNKNOWN_NAME: ClientName = {
  name: 'unknown',
  reverseName: 'unknown',
  isTemporary: false,
};

const GOOD_MS = 3_600_000;
const BAD_MS = 300_000;
const TEMPORARY_MS = 30_000;
const MAX_ENTRIES = 10_000;

/** `hosts` answers first (an /etc/hosts); `isEnabled` is smtpd_peername_lookup. */
export function clientNames(
  resolver: NameResolver,
  hosts: (address: string) => string | undefined,
  isEnabled: boolean,
  nowMs: () => number,
): ClientNames {
  const cache = new Map<string, { readonly untilMs: number; readonly value: ClientName }>();
  const waiting = new Map<string, Promise<ClientName>>();

  const remember = (address: string, value: ClientName): ClientName => {
    if (cache.size >= MAX_ENTRIES) cache.clear();
    const life = value.isTemporary ? TEMPORARY_MS : value.name === 'unknown' ? BAD_MS : GOOD_MS;
    cache.set(address, { untilMs: nowMs() + life, value });
    return value;
  };

  const lookup = (address: string): ClientName | Promise<ClientName> => {
    if (!isEnabled) return UNKNOWN_NAME;
    const known = cache.get(address);
    if (known && known.untilMs > nowMs()) return known.value;
    const host = hosts(address);
    if (host !== undefined) {
      return remember(address, { name: host, reverseName: host, isTemporary: false });
    }
    const pending = waiting.get(address);
    if (pending) return pending;
    const started = ask(resolver, address).then((value) => {
      waiting.delete(address);
      return remember(address, value);
    });
    waiting.set(address, started);
    return started;
  };
  return { lookup };
}

async function ask(resolver: NameResolver, address: string): Promise<ClientName> {
  let reverseName = 'unknown';
  try {
    const names = await resolver.reverse(address);
    const first = names.find(isHostName)?.replace(/\.$/, '').toLowerCase();
    if (first === undefined) return UNKNOWN_NAME;
    reverseName = first;
    const found = await resolver.addresses(first, address.includes(':') ? 6 : 4);
    const isConfirmed = found.includes(address);
    return { name: isConfirmed ? first : 'unknown', reverseName, isTemporary: false };
  } catch {
    // Whatever failed, the name is not known for now; the caller answers 4xx where it matters.
    return { name: 'unknown', reverseName, isTemporary: true };
  }
}

const LABEL = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
const HOST_NAME = new RegExp(`^(?:${LABEL}\\.)*${LABEL}\\.?$`);

export const isHostName = (name: string): boolean =>
  name.length <= 254 && HOST_NAME.test(name) && !/^[\d.]+$/.test(name);

/** Read an /etc/hosts text: address to its first name. */
export function hostsTable(text: string): (address: string) => string | undefined {
  const table = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [address, name] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (address && name && isHostName(name) && !table.has(address)) table.set(address, name);
  }
  return (address) => table.get(address);
}
