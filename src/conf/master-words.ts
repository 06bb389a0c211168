/**
 * What the words of a master.cf row mean beyond its columns: where an inet row listens, and which
 * attributes a pipe row may have.
 *
 * @see master(5), pipe(8)
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import type { ConfigFault } from './main-cf.ts';
import type { MasterRow } from './master-cf.ts';
import type { Config } from './params.ts';

/** Where an inet row listens: `port`, `host:port`, `[v6]:port`; names of ports as in services(5). */
export function inetAddresses(
  service: string,
  config: Config,
): Result<readonly { readonly host: string; readonly port: number }[], string> {
  const match = /^(?:(?:\[([^\]]+)\]|([^:]*)):)?([^:]+)$/.exec(service);
  const port = match && portOf(match[3] ?? '');
  if (!match || !port)
    return err(
      `bad inet service "${service}"; write [host:]port, with a number or a name of services(5)`,
    );
  const host = match[1] ?? match[2] ?? '';
  if (host !== '') return ok([{ host: host === 'localhost' ? '127.0.0.1' : host, port }]);
  const listed = splitList(config.inet_interfaces);
  const wanted = config.inet_protocols.toLowerCase();
  const isWanted = (address: string): boolean =>
    /\ball\b/.test(wanted) || wanted.includes(address.includes(':') ? 'ipv6' : 'ipv4');
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const hosts = listed.flatMap((name) => {
    // A machine without IPv6 is no fault, as in Postfix.
    if (name === 'all')
      return own.some(({ family }) => family === 'IPv6') ? ['0.0.0.0', '::'] : ['0.0.0.0'];
    if (name === 'loopback-only' || name === 'localhost') {
      return own.some(({ address }) => address === '::1') ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
    }
    if (name === '$myhostname' || name === config.myhostname) return ['0.0.0.0'];
    return [name.replaceAll(/^\[|\]$/g, '')];
  });
  return ok(hosts.filter(isWanted).map((each) => ({ host: each, port })));
}

const KNOWN_PORTS: ReadonlyMap<string, number> = new Map([
  ['smtp', 25],
  ['submission', 587],
  ['submissions', 465],
  ['smtps', 465],
  ['urd', 465],
  ['lmtp', 24],
]);

function portOf(text: string): number | undefined {
  if (/^\d{1,5}$/.test(text)) return Number(text) < 65_536 ? Number(text) : undefined;
  const known = KNOWN_PORTS.get(text);
  if (known !== undefined) return known;
  try {
    const services = readFileSync('/etc/services', 'utf8');
    const line = new RegExp(`^${text.replaceAll(/\W/g, '')}\\s+(\\d+)/tcp`, 'm').exec(services);
    return line ? Number(line[1]) : undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

const PIPE_ATTRIBUTES = new Set([
  'flags',
  'user',
  'argv',
  'chroot',
  'directory',
  'eol',
  'null_sender',
  'size',
]);

/** Attributes of pipe(8) rows that the agent would refuse at its first delivery. */
export function checkPipeArguments(
  file: string,
  rows: readonly MasterRow[],
): readonly ConfigFault[] {
  return rows
    .filter(({ command }) => command === 'pipe')
    .flatMap(({ args, line, service }) => {
      const argv = args.findIndex((word) => /^argv=/i.test(word));
      const own = argv < 0 ? args : args.slice(0, argv);
      return own
        .filter((word) => !PIPE_ATTRIBUTES.has((word.split('=')[0] ?? '').toLowerCase()))
        .map((word) => ({
          file,
          line,
          text: `file ${file}: line ${line}: service ${service}: unknown attribute name "${word.split('=')[0]}"${word.startsWith('flag=') ? '; write flags=' : `; known are ${[...PIPE_ATTRIBUTES].join(', ')}`}`,
        }));
    });
}
