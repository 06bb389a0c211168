/**
 * The forms of a next hop: `domain`, `domain:port`, `[host]`, `[host]:port`, `[ipv6]:port`, lists
 * of them, and for LMTP `unix:path` and `inet:` before any of the others.
 *
 * @see smtp(8), lmtp(8), transport(5)
 */
import { isIP } from 'node:net';
import { splitList } from '../util/text.ts';

export type NextHop =
  | {
      readonly kind: 'inet';
      readonly name: string;
      readonly port: number;
      /** `[name]`: a host, no MX lookup. */
      readonly isHost: boolean;
      /** As written, for table keys and messages. */
      readonly text: string;
    }
  | { readonly kind: 'unix'; readonly path: string; readonly text: string };

const PORTS: ReadonlyMap<string, number> = new Map([
  ['smtp', 25],
  ['lmtp', 24],
  ['smtps', 465],
  ['submissions', 465],
  ['submission', 587],
]);

/** A port number or the name of a mail service; undefined when it is neither. */
export function parsePort(text: string): number | undefined {
  const port = PORTS.get(text.toLowerCase()) ?? (/^\d{1,5}$/.test(text) ? Number(text) : 0);
  return port > 0 && port < 65_536 ? port : undefined;
}

/** Every element of a next hop list; undefined for one that is malformed. */
export function parseNextHops(text: string, defaultPort: number): readonly (NextHop | undefined)[] {
  return splitList(text).map((element) => parseNextHop(element, defaultPort));
}

function parseNextHop(text: string, defaultPort: number): NextHop | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice(5);
    return path === '' ? undefined : { kind: 'unix', path, text };
  }
  const rest = text.replace(/^inet:/, '');
  const bracket = /^\[([^\]]+)\](?::([^:]+))?$/.exec(rest);
  const plain = bracket ?? /^([^:[\]]+)(?::([^:]+))?$/.exec(rest);
  const name = (plain?.[1] ?? '').replace(/^ipv6:/i, '');
  const port = plain?.[2] === undefined ? defaultPort : parsePort(plain[2]);
  if (name === '' || port === undefined) return undefined;
  return { kind: 'inet', name, port, isHost: bracket !== null || isIP(name) !== 0, text: rest };
}
