/**
 * postern resolve ADDRESS [--sender ADDRESS]: what becomes of a recipient, step by step.
 *
 * Rewriting, canonical tables, virtual aliases, address class, transport and next hop, as cleanup and
 * the queue manager decide them: each rule with its parameter and where that is set, each table row
 * with its file and line, and the result. Nothing is sent.
 *
 * Exit 0; 1 when an address cannot be delivered or the configuration is faulty; 64 for wrong usage;
 * 75 when a table cannot answer now.
 */
import { join } from 'node:path';
import { cleanEnvelope, type RecipientParts } from '../cleanup/recipients.ts';
import { openCleanupTables } from '../cleanup/tables.ts';
import { parseMainCf } from '../conf/main-cf.ts';
import type { Config } from '../conf/params.ts';
import { printable } from '../log/maillog.ts';
import { type LookupContext, lookupContext, type TableFault } from '../lookup/open.ts';
import { externalAddress, internalAddress } from '../mail/address.ts';
import { openRecipientTables } from '../rewrite/recipients.ts';
import { openResolver, type Resolution, type Resolver } from '../rewrite/resolve.ts';
import { rewriteAddress } from '../rewrite/rewrite.ts';
import { readOrNothing } from '../util/read-text.ts';
import { err, ok, type Result } from '../util/result.ts';
import { commandConfig } from './command-config.ts';
import type { Io } from './main.ts';
import { type Row, traceTables } from './resolve-rows.ts';

const EX_USAGE = 64;
const EX_TEMPFAIL = 75;
const USAGE = 'usage: postern resolve ADDRESS [--sender ADDRESS]\n';

type Tools = { readonly resolver: Resolver; readonly parts: RecipientParts };

export async function resolveCommand(
  argv: readonly string[],
  io: Io,
  given?: Config,
): Promise<number> {
  const words = parseWords(argv);
  if (!words) {
    io.stderr(USAGE);
    return EX_USAGE;
  }
  const config = given ?? commandConfig('postern', io);
  if (!config) return 1;
  const says = new Report(io, config);
  const warn = (text: string): void => io.stderr(`postern: warning: ${text}\n`);
  const context = lookupContext(config, { ...QUIET, warning: warn, error: warn });
  // The second opening finds the tables of the first, now with a witness at each.
  const first = openTools(config, context, says);
  traceTables(context.cache, (row) => says.row(row));
  const tools = first.ok ? openTools(config, context, says) : first;
  if (!tools.ok) {
    for (const { reason } of tools.error) io.stderr(`postern: fatal: ${reason}\n`);
    return 1;
  }
  const code = await explain(words.address, words.sender, config, tools.value, says);
  for (const table of context.cache.values()) table.close?.();
  return code;
}

const drop = (): void => undefined;
const QUIET = { info: drop, warning: drop, error: drop, fatal: drop, panic: drop, flush: drop };

function parseWords(
  argv: readonly string[],
): { readonly address: string; readonly sender: string } | undefined {
  let sender = '';
  const addresses: string[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--sender') {
      const value = argv[++at];
      if (value === undefined) return undefined;
      sender = value;
    } else if (word.startsWith('--')) return undefined;
    else addresses.push(word);
  }
  const [address, ...more] = addresses;
  const strip = (text: string): string => internalAddress(text.replace(/^<(.*)>$/, '$1'));
  return address === undefined || more.length > 0
    ? undefined
    : { address: strip(address), sender: strip(sender) };
}

function openTools(
  config: Config,
  context: LookupContext,
  says: Report,
): Result<Tools, readonly TableFault[]> {
  const resolver = openResolver(config, context, ({ parameter, result }) =>
    says.rule(parameter, result),
  );
  if (!resolver.ok) return resolver;
  const { addressContext } = resolver.value;
  const tables = openCleanupTables(config, context, addressContext);
  const recipients = openRecipientTables(config, context, resolver.value);
  if (!tables.ok) return tables;
  if (!recipients.ok) return err(recipients.error);
  const { virtualAliases } = recipients.value;
  return ok({
    resolver: resolver.value,
    parts: { config, virtualAliases, addressContext, tables: tables.value },
  });
}

async function explain(
  address: string,
  sender: string,
  config: Config,
  { resolver, parts }: Tools,
  says: Report,
): Promise<number> {
  says.line('recipient', shown(address));
  says.line('sender', sender === '' ? '<>' : shown(sender));
  const canonical = rewriteAddress(address, config);
  if (canonical !== address) says.rule(rewritingRule(address, config), `makes ${shown(canonical)}`);
  const recipient = { address, original: address, orcpt: '', notify: [] };
  const envelope = {
    sender,
    recipients: [recipient],
    envid: '',
    ret: '',
    smtputf8: false,
    body: '',
  } as const;
  says.section('cleanup: canonical tables, copies, virtual aliases');
  const cleaned = await cleanEnvelope(envelope, [], true, parts);
  if (!cleaned.ok) {
    says.line('result', `try again later: ${cleaned.error.reason}`);
    return EX_TEMPFAIL;
  }
  if (cleaned.value.sender !== sender) says.line('sender', shown(cleaned.value.sender) || '<>');
  let code = 0;
  for (const each of cleaned.value.recipients) {
    says.section(`routing of ${shown(each.address)}`);
    const found = await resolver.route(cleaned.value.sender, each.address);
    says.line('result', verdict(found, each.address));
    if (found.kind === 'retry') code = EX_TEMPFAIL;
    else if (code === 0 && (found.kind === 'invalid' || found.transport === 'error')) code = 1;
  }
  return code;
}

/** Which parameter decided about the canonical form, for the first reason that applies. */
function rewritingRule(address: string, config: Config): string {
  const rules: readonly (readonly [parameter: string, settings: Partial<Config>])[] = [
    ['swap_bangpath', { swap_bangpath: false }],
    ['allow_percent_hack', { allow_percent_hack: false }],
    ['append_dot_mydomain', { append_dot_mydomain: false }],
    ['append_at_myorigin', { append_at_myorigin: false }],
  ];
  const result = rewriteAddress(address, config);
  const rule = rules.find(([, off]) => rewriteAddress(address, { ...config, ...off }) !== result);
  return rule?.[0] ?? 'canonical form';
}

function verdict(found: Resolution, given: string): string {
  switch (found.kind) {
    case 'retry':
      return `try again later: ${found.reason}`;
    case 'invalid':
      return `bounces: bad address syntax (${found.reason})`;
    case 'route': {
      const to = found.recipient === given ? '' : ` as ${shown(found.recipient)}`;
      const routed = found.routed ? '; it holds a route, so it is never ours to relay' : '';
      const hop = `${found.transport}:${found.nexthop}`;
      return `${hop}${to} (${found.addressClass} class${routed})`;
    }
  }
}

const shown = (address: string): string => printable(externalAddress(address));

/** Lines on standard output, and where each parameter is set. */
class Report {
  readonly #io: Io;
  readonly #config: Config;
  readonly #lines: ReadonlyMap<string, { readonly line: number }>;
  readonly #file: string;

  constructor(io: Io, config: Config) {
    this.#io = io;
    this.#config = config;
    this.#file = join(io.configDirectory, 'main.cf');
    this.#lines = parseMainCf(this.#file, readOrNothing(this.#file)).assignments;
  }

  section(title: string): void {
    this.#io.stdout(`\n${title}\n`);
  }

  line(label: string, text: string): void {
    this.#io.stdout(`  ${label.padEnd(10)} ${printable(text)}\n`);
  }

  rule(parameter: string, result: string): void {
    this.line('rule', `${parameter}${this.#where(parameter)}: ${result}`);
  }

  row({ table, key, answer, origin }: Row): void {
    if (answer.kind === 'absent') return this.line('table', `${table}: ${key}: not found`);
    if (answer.kind !== 'found') return this.line('table', `${table}: ${key}: ${answer.reason}`);
    const where = origin ? ` (${origin.file}, line ${origin.line}: ${origin.text})` : '';
    return this.line('table', `${table}: ${key} -> ${answer.value}${where}`);
  }

  /** ` (FILE, line N)` of the first of these parameters that main.cf sets. */
  #where(parameters: string): string {
    const names = parameters.split(', ').filter((name) => this.#config.lookup(name) !== undefined);
    const set = names.find((name) => this.#lines.has(name));
    if (set !== undefined) return ` (${this.#file}, line ${this.#lines.get(set)?.line})`;
    return names.length > 0 ? ' (default)' : '';
  }
}
