/**
 * Where a recipient goes: address class, transport, next hop. What trivial-rewrite(8) resolves.
 *
 * `@domain` of ours is stripped from the right and what remains is read again, quotes removed, so
 * that `user%elsewhere@here` and `"user@elsewhere"@here` are judged by where they lead. A remote
 * address that still holds a routing operator is `routed`: it must never pass a relay check.
 *
 * @see Postfix ADDRESS_CLASS_README, trivial-rewrite(8)
 */

import { isIP } from 'node:net';
import type { Config } from '../conf/params.ts';
import { type AddressContext, type Maps, openMaps } from '../lookup/maps.ts';
import type { LookupContext, TableFault } from '../lookup/open.ts';
import type { Lookup } from '../lookup/table.ts';
import { splitAddress } from '../mail/address.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { Route } from '../mail/stages.ts';
import { err, ok, type Result } from '../util/result.ts';
import { type Classes, openClasses } from './classes.ts';
import { hasRoute, rewriteAddress } from './rewrite.ts';
import { applyEntry, findTransport, type Hop, parseHop, verdictOf } from './transport.ts';

export type ResolvedRoute = Route & {
  /** Canonical form of the recipient; what agents and tables get. */
  readonly recipient: string;
  /** Routing operators remain in the local part of a remote address. */
  readonly routed: boolean;
};

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
}

type Tables = Readonly<Record<TableParameter, Maps>>;
type TableParameter =
  | 'transport_maps'
  | 'relocated_maps'
  | 'sender_dependent_relayhost_maps'
  | 'sender_dependent_default_transport_maps';

const FAILURE = dsn('4.3.0', 'address resolver failure');
const BAD_SYNTAX = dsn('5.1.3', 'bad address syntax');
/** Nested `%` and quotes of one address that are unwrapped. */
const MAX_ROUNDS = 100;

export function openResolver(
  config: Config,
  context: LookupContext,
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
  const parts: Parts = { config, classes: classes.value, tables, addressContext };
  return ok({
    classes: classes.value,
    addressContext,
    resolve: (sender, recipient) => resolve(parts, sender, recipient),
    classify: (address) => classify(parts, address),
  });
}

type Parts = {
  readonly config: Config;
  readonly classes: Classes;
  readonly tables: Tables;
  readonly addressContext: AddressContext;
};

async function classify(
  { config, classes }: Pick<Parts, 'config' | 'classes'>,
  given: string,
): Promise<Classified> {
  const reduced = await reduce(config, classes, given);
  if (reduced.kind !== 'address') return reduced;
  const { local, domain = '' } = splitAddress(reduced.address);
  const name = domain.toLowerCase();
  const answer = classes.classify(name);
  const found = answer instanceof Promise ? await answer : answer;
  if (found.kind === 'retry') return found;
  const { addressClass } = found;
  const isRouted = addressClass !== 'local' && hasRoute(local, config);
  return { kind: 'resolved', address: reduced.address, domain: name, addressClass, isRouted };
}

type Reduced =
  | { readonly kind: 'address'; readonly address: string }
  | Extract<Classified, { kind: 'invalid' | 'retry' }>;

/** Strip domains of ours and unwrap what the local part then says. */
async function reduce(config: Config, classes: Classes, given: string): Promise<Reduced> {
  if (given === '' || given === '@') {
    return { kind: 'address', address: `MAILER-DAEMON@${config.myhostname}` };
  }
  let address = rewriteAddress(stripSourceRoute(given), config);
  let saved: string | undefined;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const { local, domain } = splitAddress(address);
    if (domain !== undefined) {
      const match = classes.isLocal(domain);
      const isLocal = match instanceof Promise ? await match : match;
      if (isLocal.kind === 'error') return { kind: 'retry', reason: isLocal.reason };
      if (isLocal.kind === 'no') return validate(config, address);
      saved = domain;
    }
    if (!hasRoute(local, config)) {
      const user = local === '' ? 'MAILER-DAEMON' : local;
      return { kind: 'address', address: `${user}@${saved ?? config.myhostname}` };
    }
    address = unwrap(local, config);
  }
  return { kind: 'invalid', reason: 'too many routing operators' };
}

/** The local part of an address of ours, read as an address. */
function unwrap(local: string, config: Config): string {
  if (local.includes('@')) return rewriteAddress(stripSourceRoute(local), config);
  const bang = config.swap_bangpath ? local.indexOf('!') : -1;
  const percent = local.lastIndexOf('%');
  const full =
    bang >= 0
      ? `${local.slice(bang + 1)}@${local.slice(0, bang)}`
      : `${local.slice(0, percent)}@${local.slice(percent + 1)}`;
  return rewriteAddress(full, config);
}

/** `@a,@b:user@c` is `user@c`. */
const stripSourceRoute = (address: string): string =>
  /^@[^:"]*:./.test(address) ? address.slice(address.indexOf(':') + 1) : address;

/** A remote address that can be delivered: a local part, and a domain that can be one. */
function validate(config: Config, address: string): Reduced {
  const { local, domain = '' } = splitAddress(address);
  const bad = (reason: string): Reduced => ({ kind: 'invalid', reason });
  if (local === '') return bad('no local part');
  if (domain === '' || domain.startsWith('.') || domain.endsWith('.') || domain.includes('..')) {
    return bad('bad domain');
  }
  if (/[\x00-\x20\x7f()<>,;:\\"@]/.test(domain.replace(/^\[.*\]$/, ''))) return bad('bad domain');
  if (domain.startsWith('[')) {
    return /^\[(?:ipv6:)?[\da-f.:]+\]$/i.test(domain)
      ? { kind: 'address', address }
      : bad('bad address literal');
  }
  if (isIP(domain) === 0) return { kind: 'address', address };
  if (!config.resolve_numeric_domain) return bad('numeric domain');
  return { kind: 'address', address: `${local}@[${domain}]` };
}

async function resolve(
  parts: Parts,
  sender: string,
  given: string,
): Promise<Result<ResolvedRoute, Dsn>> {
  const target = await classify(parts, given);
  if (target.kind === 'invalid') return err(BAD_SYNTAX);
  if (target.kind === 'retry') return err(FAILURE);
  const { tables, addressContext } = parts;
  const { address, domain, addressClass, isRouted } = target;

  const moved = await tables.relocated_maps.findAddress(address, addressContext);
  if (moved.kind === 'found') return err(dsn('5.1.6', `User has moved to ${moved.value}`));
  if (moved.kind !== 'absent') return err(FAILURE);

  const base = await classHop(parts, sender, domain, addressClass);
  if (!base.ok) return base;
  let hop = base.value;
  if (addressClass !== 'virtual-alias') {
    const { recipient_delimiter } = parts.config;
    const entry = await findTransport(tables.transport_maps, address, recipient_delimiter);
    if (entry.kind === 'found') hop = applyEntry(entry.value, hop, domain);
    else if (entry.kind !== 'absent') return err(FAILURE);
  }
  const verdict = verdictOf(hop);
  if (verdict) return err(verdict);
  return ok({ ...hop, addressClass, recipient: address, routed: isRouted });
}

/** What the address class says, before transport_maps. */
async function classHop(
  parts: Parts,
  sender: string,
  domain: string,
  addressClass: Route['addressClass'],
): Promise<Result<Hop, Dsn>> {
  const { config } = parts;
  switch (addressClass) {
    case 'virtual-alias':
      return err(dsn('5.1.1', 'User unknown in virtual alias table'));
    case 'local':
      return ok(fromTransport(config.local_transport, domain));
    case 'virtual-mailbox':
      return ok(fromTransport(config.virtual_transport, domain));
    case 'relay':
      return throughRelay(parts, sender, parseHop(config.relay_transport), domain);
    case 'default': {
      const own = await senderEntry(parts, 'sender_dependent_default_transport_maps', sender);
      if (!own.ok) return own;
      const transport = own.value ?? config.default_transport;
      return throughRelay(parts, sender, parseHop(transport), domain);
    }
  }
}

const fromTransport = (text: string, domain: string): Hop => {
  const hop = parseHop(text);
  return hop.nexthop === '' ? { ...hop, nexthop: domain } : hop;
};

/** Next hop: of the transport itself, of the sender's relay host, relayhost, the domain. */
async function throughRelay(
  parts: Parts,
  sender: string,
  hop: Hop,
  domain: string,
): Promise<Result<Hop, Dsn>> {
  if (hop.nexthop !== '') return ok(hop);
  const relay = await senderEntry(parts, 'sender_dependent_relayhost_maps', sender);
  if (!relay.ok) return relay;
  const nexthop = relay.value ?? parts.config.relayhost;
  return ok({ transport: hop.transport, nexthop: nexthop === '' ? domain : nexthop });
}

/** `DUNNO` ends the search without a result. */
async function senderEntry(
  { config, tables, addressContext }: Parts,
  parameter: 'sender_dependent_relayhost_maps' | 'sender_dependent_default_transport_maps',
  sender: string,
): Promise<Result<string | undefined, Dsn>> {
  const maps = tables[parameter];
  if (maps.isEmpty) return ok(undefined);
  const nullKey =
    parameter === 'sender_dependent_relayhost_maps'
      ? config.empty_address_relayhost_maps_lookup_key
      : config.empty_address_default_transport_maps_lookup_key;
  const answer: Lookup =
    sender === '' ? await maps.find(nullKey) : await maps.findAddress(sender, addressContext);
  if (answer.kind === 'absent') return ok(undefined);
  if (answer.kind !== 'found') return err(FAILURE);
  return ok(/^dunno$/i.test(answer.value) ? undefined : answer.value);
}
