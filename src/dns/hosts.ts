/**
 * The hosts file: names and addresses that need no name server (hosts(5)).
 *
 * Read again when it changes, looked at no more than once in five seconds. `localhost` and names
 * below it are loopback whatever the file says (RFC 6761 section 6.3).
 */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { canonical } from './wire.ts';

export type HostsFile = {
  /** Addresses of a name, of both families; empty when the file does not name it. */
  readonly addressesOf: (name: string) => readonly string[];
  /** The first name of an address. */
  readonly nameOf: (address: string) => string | undefined;
};

type Parsed = {
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  readonly names: ReadonlyMap<string, string>;
};

const LOOK_AGAIN_MS = 5_000;
const NOTHING: Parsed = { addresses: new Map(), names: new Map() };

export const isLocalhostName = (name: string): boolean =>
  /^(?:.+\.)?localhost$/.test(canonical(name));

export function openHostsFile(path = '/etc/hosts', now: () => number = Date.now): HostsFile {
  let parsed = NOTHING;
  let lookedMs = Number.NEGATIVE_INFINITY;
  let changedMs = 0;
  const current = (): Parsed => {
    if (now() - lookedMs < LOOK_AGAIN_MS) return parsed;
    lookedMs = now();
    try {
      const { mtimeMs } = statSync(path);
      if (mtimeMs !== changedMs) parsed = parseHosts(readFileSync(path, 'utf8'));
      changedMs = mtimeMs;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
      parsed = NOTHING;
    }
    return parsed;
  };
  return {
    addressesOf: (name) => {
      const found = current().addresses.get(canonical(name));
      return found ?? (isLocalhostName(name) ? ['127.0.0.1', '::1'] : []);
    },
    nameOf: (address) => current().names.get(address),
  };
}

export function parseHosts(source: string): Parsed {
  const addresses = new Map<string, string[]>();
  const names = new Map<string, string>();
  for (const line of source.split('\n')) {
    const [address = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const alias of aliases) {
      const known = addresses.get(canonical(alias));
      if (known) known.push(address);
      else addresses.set(canonical(alias), [address]);
    }
    const [first] = aliases;
    if (first !== undefined && !names.has(address)) names.set(address, canonical(first));
  }
  return { addresses, names };
}
