/**
 * Where a recipient goes: address class, transport, next hop. What trivial-rewrite(8) resolves.
 *
 * The address is first reduced to what it means (`reduce.ts`). One that still holds a routing operator
 * in its local part is `routed`: it must never pass a relay check, because the next host may follow
 * it. Then, each overriding the ones before: the transport of the class, a relay host, what
 * transport_maps says, relocated_maps.
 *
 * @see Postfix ADDRESS_CLASS_README, trivial-rewrite(8)
 */
import type { Config } from '../conf/params.ts';
import { type AddressContext, type Maps, openMaps } from '../lookup/maps.ts';
import { parentMatches } from '../lookup/match-list.ts';
import type { LookupContext, TableFault } from '../lookup/open.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { Route } from '../mail/stages.ts';
import { err, ok, type Result } from '../util/result.ts';
import { type Classes, openClasses } from './classes.ts';
import { type Reduced, reduceAddress } from './reduce.ts';
import { rewriteAddress } from './rewrite.ts';
import { applyEntry, findTransport, type Hop, parseHop, verdictOf } from './transport.ts';

export type ResolvedRoute = Route & {
  /** Canonical form of the recipient; what agents and tables get. */
  readonly recipient: string;
  /** Routing operators remain in the local part of a remote address. */
  readonly routed: boolean;
};

/** What trivial-rewrite(8) answers: `error` and `retry` are transports like others here. */
export type Resolution =
  | {
      readonly kind: 'route';
      readonly transport: string;
      readonly nexthop: string;
      readonly recipient: string;
      readonly addressClass: Route['addressClass'];
      readonly routed: boolean;
    }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'retry'; readonly reason: string };

/** One decision on the way, for `postern resolve`. */
export type ResolveStep = { readonly parameter: string; readonly result: string };

/** The class of an address, without its route: for the relay gate and for sending policies. */
export type Classified =
  | {
      readonly kind: 'resolved';
      /** Rewritten, internal form: the key of access tables. */
      readonly address: string;
      /** Lower case. */
      readonly domain: string;
      readonly addressClass: Route['addressClass'];
      /** It still names a route (`a%b`, `a!b`, `a@b` in the local part): never permitted to relay. */
      readonly isRouted: boolean;
    }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'retry'; readonly reason: string };

export interface Resolver {
  readonly classes: Classes;
  readonly addressContext: AddressContext;
  /**
   * The route, or why there is none: a permanent or temporary Dsn, also for `error:` and `retry:`.
   * Addresses are in internal form; the recipient may be in any form rewriting accepts.
   */
  resolve(sender: string, recipient: string): Promise<Result<ResolvedRoute, Dsn>>;
  classify(address: string): Promise<Classified>;
  /** As `resolve`, of an address in canonical form, before error: and retry: become verdicts. */
  route(sender: string, recipient: string): Promise<Resolution>;
}

type Tables = Readonly<Record<TableParameter, Maps>>;
type TableParameter =
  | 'transport_maps'
  | 'relocated_maps'
  | 'sender_dependent_relayhost_maps'
  | 'sender_dependent_default_transport_maps';

const FAILURE = dsn('4.3.0', 'address resolver failure');
const BAD_SYNTAX = dsn('5.1.3', 'bad address syntax');

export function openResolver(
  config: Config,
  context: LookupContext,
  trace?: (step: ResolveStep) => void,
): Result<Resolver, readonly TableFault[]> {
  const classes = openClasses(config, context);
  if (!classes.ok) return classes;
  const faults: TableFault[] = [];
  const open = (parameter: TableParameter): Maps | undefined => {
    const maps = openMaps(parameter, config[parameter], context);
    if (maps.ok) return maps.value;
    faults.push(...maps.error);
    return undefined;
  };
  const transport_maps = open('transport_maps');
  const relocated_maps = open('relocated_maps');
  const sender_dependent_relayhost_maps = open('sender_dependent_relayhost_maps');
  const sender_dependent_default_transport_maps = open('sender_dependent_default_transport_maps');
  if (
    !transport_maps ||
    !relocated_maps ||
    !sender_dependent_relayhost_maps ||
    !sender_dependent_default_transport_maps
  ) {
    return err(faults);
  }
  const tables: Tables = {
    transport_maps,
    relocated_maps,
    sender_dependent_relayhost_maps,
    sender_dependent_default_transport_maps,
  };
  const addressContext: AddressContext = {
    recipient_delimiter: config.recipient_delimiter,
    isLocal: classes.value.isOrigin,
  };
  const parts: Parts = {
    config,
    classes: classes.value,
    tables,
    addressContext,
    matchesParents: parentMatches(config, 'transport_maps'),
    note: (parameter, result) => trace?.({ parameter, result }),
  };
  return ok({
    classes: classes.value,
    addressContext,
    resolve: (sender, recipient) => resolve(parts, sender, rewriteAddress(recipient, config)),
    classify: (address) => classify(parts, rewriteAddress(address, config)),
    route: (sender, recipient) => route(parts, sender, recipient),
  });
}

type Parts = {
  readonly config: Config;
  readonly classes: Classes;
  readonly tables: Tables;
  readonly addressContext: AddressContext;
  /** transport_maps is in parent_domain_matches_subdomains. */
  readonly matchesParents: boolean;
  readonly note: (parameter: string, result: string) => void;
};

const LOCAL = { kind: 'class', addressClass: 'local' } as const;

async function classify(
  { config, classes }: Pick<Parts, 'config' | 'classes'>,
  given: string,
): Promise<Classified> {
  const reduced: Reduced = await reduceAddress(config, classes, given);
  if (reduced.kind !== 'address') return reduced;
  const { address } = reduced;
  const domain = address.slice(address.lastIndexOf('@') + 1);
  const answer = reduced.isLocal ? LOCAL : classes.classifyForeign(domain);
  const found = answer instanceof Promise ? await answer : answer;
  if (found.kind === 'retry') return found;
  return {
    kind: 'resolved',
    address,
    domain: domain.toLowerCase(),
    addressClass: found.addressClass,
    isRouted: address.slice(address.search(/[@!%]/) + 1) !== domain,
  };
}

async function resolve(
  parts: Parts,
  sender: string,
  given: string,
): Promise<Result<ResolvedRoute, Dsn>> {
  const found = await route(parts, sender, given);
  if (found.kind === 'invalid') return err(BAD_SYNTAX);
  if (found.kind === 'retry') return err(FAILURE);
  const { kind: _, ...resolved } = found;
  const verdict = verdictOf(found);
  return verdict ? err(verdict) : ok(resolved);
}

async function route(parts: Parts, sender: string, given: string): Promise<Resolution> {
  const { config, tables, addressContext, note } = parts;
  const target = await classify(parts, given);
  if (target.kind !== 'resolved') return target;
  const { address, addressClass, isRouted } = target;
  // Letter case is kept: Postfix uses the domain of the recipient as it was written.
  const domain = address.slice(address.lastIndexOf('@') + 1);
  note(CLASS_LISTS[addressClass], `${domain}: ${addressClass} class`);

  const base = await classHop(parts, sender, domain, addressClass);
  if ('reason' in base) return base;
  let hop = base;
  if (hop.transport === '') return retry('null transport is not allowed');
  if (addressClass !== 'virtual-alias') {
    const entry = await findTransport(tables.transport_maps, address, {
      delimiters: config.recipient_delimiter,
      matchesParents: parts.matchesParents,
    });
    if (entry.kind === 'found') {
      hop = applyEntry(entry.value, hop, domain);
      note('transport_maps', `${entry.value} makes ${hop.transport}:${hop.nexthop}`);
    } else if (entry.kind !== 'absent') return retry(entry.reason);
  }
  const moved = await tables.relocated_maps.findAddress(address, addressContext);
  if (moved.kind === 'found') {
    hop = { transport: 'error', nexthop: relocatedText(moved.value, config) };
    note('relocated_maps', hop.nexthop);
  } else if (moved.kind !== 'absent') return retry(moved.reason);
  if (address.startsWith('-') && !config.allow_min_user) {
    return { kind: 'invalid', reason: 'starts with "-"' };
  }
  return { kind: 'route', ...hop, addressClass, recipient: address, routed: isRouted };
}

/** Which parameter puts a domain into its class. */
const CLASS_LISTS: Readonly<Record<Route['addressClass'], string>> = {
  local: 'mydestination, inet_interfaces, proxy_interfaces',
  'virtual-alias': 'virtual_alias_domains',
  'virtual-mailbox': 'virtual_mailbox_domains',
  relay: 'relay_domains',
  default: 'no domain list',
};

type Retry = { readonly kind: 'retry'; readonly reason: string };
const retry = (reason: string): Retry => ({ kind: 'retry', reason });

function relocatedText(value: string, config: Config): string {
  if (config.relocated_prefix_enable) return `5.1.6 User has moved to ${value}`;
  return /^[245]\.\d{1,3}\.\d{1,3}\s+\S/.test(value) ? value : '5.2.0 Mailbox is unavailable';
}

/** What the address class says, before transport_maps. */
async function classHop(
  parts: Parts,
  sender: string,
  domain: string,
  addressClass: Route['addressClass'],
): Promise<Hop | Retry> {
  const { config, note } = parts;
  const named = (parameter: Exclude<ClassTransport, 'default_transport'>): Hop => {
    const hop = parseHop(config[parameter]);
    note(parameter, config[parameter]);
    return hop.nexthop === '' ? { ...hop, nexthop: domain } : hop;
  };
  switch (addressClass) {
    case 'virtual-alias': {
      const where = config.show_user_unknown_table_name ? ' in virtual alias table' : '';
      return { transport: 'error', nexthop: `5.1.1 User unknown${where}` };
    }
    case 'local':
      return named('local_transport');
    case 'virtual-mailbox':
      return named('virtual_transport');
    case 'relay': {
      note('relay_transport', config.relay_transport);
      return throughRelay(parts, sender, parseHop(config.relay_transport), domain);
    }
    case 'default': {
      const own = await senderEntry(parts, 'sender_dependent_default_transport_maps', sender);
      if (typeof own === 'object') return own;
      if (own === undefined) note('default_transport', config.default_transport);
      return throughRelay(parts, sender, parseHop(own ?? config.default_transport), domain);
    }
  }
}

type ClassTransport =
  | 'local_transport'
  | 'virtual_transport'
  | 'relay_transport'
  | 'default_transport';

/** Next hop: of the transport itself, of the sender's relay host, relayhost, the domain. */
async function throughRelay(
  parts: Parts,
  sender: string,
  hop: Hop,
  domain: string,
): Promise<Hop | Retry> {
  // Looked up even where it cannot matter: a table that is down must show.
  const relay = await senderEntry(parts, 'sender_dependent_relayhost_maps', sender);
  if (typeof relay === 'object') return relay;
  if (hop.nexthop !== '') return hop;
  const { relayhost } = parts.config;
  if (relay === undefined && relayhost !== '') parts.note('relayhost', relayhost);
  return { transport: hop.transport, nexthop: relay ?? (relayhost === '' ? domain : relayhost) };
}

/** `DUNNO` ends the search without a result. */
async function senderEntry(
  { config, tables, addressContext, note }: Parts,
  parameter: 'sender_dependent_relayhost_maps' | 'sender_dependent_default_transport_maps',
  sender: string,
): Promise<string | undefined | Retry> {
  const maps = tables[parameter];
  if (maps.isEmpty) return undefined;
  const nullKey =
    parameter === 'sender_dependent_relayhost_maps'
      ? config.empty_address_relayhost_maps_lookup_key
      : config.empty_address_default_transport_maps_lookup_key;
  const answer = await maps.findAddress(sender === '' ? nullKey : sender, addressContext);
  if (answer.kind === 'absent') return undefined;
  if (answer.kind !== 'found') return retry(answer.reason);
  note(parameter, answer.value);
  return /^dunno$/i.test(answer.value) ? undefined : answer.value;
}
