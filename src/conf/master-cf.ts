/**
 * master.cf: the table of services, eight columns a row.
 *
 *   service type private unprivileged chroot wakeup maxproc command + arguments
 *
 * `-o name=value`, `-o { name = value with blanks }` and `{ an argument with blanks }` are read as
 * Postfix reads them; `-v` and `-D` are accepted. Of two rows with the same name and type the later
 * counts.
 *
 * @see master(5)
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { logicalLines } from '../util/logical-lines.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import type { ConfigFault } from './main-cf.ts';
import type { Config } from './params.ts';

export type MasterRow = {
  readonly service: string;
  readonly type: string;
  readonly private: boolean;
  readonly unprivileged: boolean;
  readonly chroot: boolean;
  /** Seconds; 0: never. */
  readonly wakeup: number;
  /** 0: no limit. */
  readonly maxproc: number;
  readonly command: string;
  /** Without -o, -v and -D. */
  readonly args: readonly string[];
  readonly overrides: ReadonlyMap<string, string>;
  readonly line: number;
};

const TYPES = new Set(['inet', 'unix', 'unix-dgram', 'fifo', 'pass']);
const DEFAULT_MAXPROC = 100;

/** Read DIR/master.cf. */
export function loadMasterCf(
  directory: string,
): Result<readonly MasterRow[], readonly ConfigFault[]> {
  const file = join(resolve(directory), 'master.cf');
  try {
    return parseMasterCf(file, readFileSync(file, 'utf8'));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return err([
      {
        file,
        line: 0,
        text: `${file}: ${error.message}; a server needs a master.cf beside main.cf`,
      },
    ]);
  }
}

export function parseMasterCf(
  file: string,
  source: string,
): Result<readonly MasterRow[], readonly ConfigFault[]> {
  const rows = new Map<string, MasterRow>();
  const faults: ConfigFault[] = [];
  for (const { text, line } of logicalLines(source)) {
    const row = parseRow(text, line);
    if (row.ok) rows.set(`${row.value.service} ${row.value.type}`, row.value);
    else faults.push({ file, line, text: `${file} line ${line}: ${row.error}` });
  }
  return faults.length > 0 ? err(faults) : ok([...rows.values()]);
}

function parseRow(text: string, line: number): Result<MasterRow, string> {
  const words = splitWords(text);
  if (words.length < 8) {
    return err(
      `bad field count: ${words.length} of at least 8; columns are service type private unpriv chroot wakeup maxproc command`,
    );
  }
  const [
    service = '',
    type = '',
    priv = '',
    unpriv = '',
    chroot = '',
    wakeup = '',
    maxproc = '',
    command = '',
    ...rest
  ] = words;
  if (!TYPES.has(type))
    return err(`bad type "${type}"; write inet, unix, unix-dgram, fifo or pass`);
  for (const [column, value] of [
    ['private', priv],
    ['unpriv', unpriv],
    ['chroot', chroot],
  ]) {
    if (!/^[yn-]$/.test(value ?? ''))
      return err(`bad ${column} column "${value}"; write y, n or -`);
  }
  if (!/^(-|\d+\??)$/.test(wakeup))
    return err(`bad wakeup column "${wakeup}"; write seconds, 0 or -`);
  if (!/^(-|\d+)$/.test(maxproc))
    return err(`bad maxproc column "${maxproc}"; write a number or -`);
  if (type === 'inet' && priv === 'y')
    return err(`an inet service cannot be private; write n in the third column`);
  const read = readArguments(rest);
  if (!read.ok) return read;
  return ok({
    service,
    type,
    private: priv !== 'n',
    unprivileged: unpriv !== 'n',
    chroot: chroot === 'y',
    wakeup: Number.parseInt(wakeup, 10) || 0,
    maxproc: maxproc === '-' ? DEFAULT_MAXPROC : Number(maxproc),
    command: command.slice(command.lastIndexOf('/') + 1),
    ...read.value,
    line,
  });
}

/** Words separated by white space; `{...}` is one word, braces kept. */
const splitWords = (text: string): string[] =>
  splitList(text.replaceAll(',', '\u0000')).map((word) => word.replaceAll('\u0000', ','));

function readArguments(
  words: readonly string[],
): Result<Pick<MasterRow, 'args' | 'overrides'>, string> {
  const overrides = new Map<string, string>();
  const args: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word === '-v' || word === '-D' || /^-v+$/.test(word)) continue;
    if (word.startsWith('-o')) {
      const text = word === '-o' ? unbrace(words[++at] ?? '') : word.slice(2);
      const match = /^\s*([\w.-]+)\s*=\s*([\s\S]*?)\s*$/.exec(text);
      if (!match) return err(`bad -o option "${text}"; write -o name=value or -o { name = value }`);
      overrides.set(match[1] ?? '', match[2] ?? '');
    } else args.push(unbrace(word));
  }
  return ok({ args, overrides });
}

const unbrace = (word: string): string =>
  word.startsWith('{') && word.endsWith('}') ? word.slice(1, -1).trim() : word;

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
  const hosts = listed.flatMap((name) => {
    if (name === 'all') return ['0.0.0.0', '::'];
    if (name === 'loopback-only' || name === 'localhost') return ['127.0.0.1', '::1'];
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
      const argv = args.findIndex((word) => word.startsWith('argv='));
      const own = argv < 0 ? args : args.slice(0, argv);
      return own
        .filter((word) => !PIPE_ATTRIBUTES.has(word.split('=')[0] ?? ''))
        .map((word) => ({
          file,
          line,
          text: `${file} line ${line}: service ${service}: unknown attribute name "${word.split('=')[0]}"${word.startsWith('flag=') ? '; write flags=' : `; known are ${[...PIPE_ATTRIBUTES].join(', ')}`}`,
        }));
    });
}
