/**
 * A delivery request to a delivery report: destinations, hosts and sessions in turn.
 *
 * A site failure (connect, greeting, EHLO, STARTTLS, AUTH) and a temporary refusal go on to the
 * next host; a permanent one is final. What a host said about recipients that may still get through
 * is held, and noted in the log when another one is tried; when the last host is through, they have
 * the last result. A recipient with a positive final reply is sent, whatever happens after.
 *
 * @see smtp(8), RFC 5321 section 5
 */
import { findMailHosts, type MailHost } from '../dns/mx.ts';
import type { Resolver } from '../dns/resolver.ts';
import { type Dsn, dsn, isTransient, softened } from '../mail/dsn.ts';
import type { DeliveryReport, DeliveryRequest, RecipientOutcome } from '../mail/stages.ts';
import type { Body } from '../queue/store.ts';
import type { Result } from '../util/result.ts';
import type { Kept, SessionCache } from './cache.ts';
import {
  type ConnectParts,
  type Credentials,
  type Endpoint,
  openSession,
  type Plan,
  relayOf,
  type SessionFault,
} from './connect.ts';
import { type NextHop, parseNextHops } from './nexthop.ts';
import { sendOver } from './send.ts';
import { isThisHost } from './this-host.ts';
import type { TlsFor } from './tls-policy.ts';

export type DeliveryParts = ConnectParts & {
  readonly resolver: Resolver;
  readonly cache: SessionCache;
  /** The security level of a next hop. */
  readonly tlsFor: TlsFor;
  /** A fresh body for each attempt. */
  readonly openBody: (request: DeliveryRequest) => Promise<Result<Body, string>>;
  /** Login for a next hop or host: `retry` text when the table is down. */
  readonly credentialsFor: (
    nexthop: string,
    host: string,
  ) => Promise<Result<Credentials | undefined, string>>;
  readonly isOwnAddress: (address: string) => boolean;
  readonly random: () => number;
  readonly now: () => number;
};

type Recipients = DeliveryRequest['recipients'];

/** A delivery under way. `left` shrinks as recipients get final outcomes. */
export type Attempt = {
  readonly request: DeliveryRequest;
  left: Recipients;
  readonly outcomes: RecipientOutcome[];
  /** Latest result of each recipient that another host may better, by index. */
  readonly held: Map<number, RecipientOutcome>;
  /** Log lines due when another host is tried. */
  notes: string[];
  siteFailure: Dsn | undefined;
  sessions: number;
  /** A session went through to its end: what fails after that is no site failure. */
  isComplete: boolean;
  readonly startedMs: number;
};

export async function deliver(
  request: DeliveryRequest,
  parts: DeliveryParts,
): Promise<DeliveryReport> {
  const attempt: Attempt = {
    request,
    left: request.recipients,
    outcomes: [],
    held: new Map(),
    notes: [],
    siteFailure: undefined,
    sessions: 0,
    isComplete: false,
    startedMs: parts.now(),
  };
  const { settings } = parts;
  const primary = parseNextHops(request.nexthop, settings.defaultPort);
  const fallback = parseNextHops(settings.fallbackRelay, settings.defaultPort);
  const hops = [...primary, ...fallback];
  for (let i = 0; i < hops.length && attempt.left.length > 0; i += 1) {
    const hop = hops[i];
    const isFallback = i >= primary.length;
    if (!hop) {
      holdAll(attempt, dsn('4.3.5', `malformed next hop in ${request.nexthop}`), parts);
      continue;
    }
    const fault = await deliverTo(hop, attempt, parts);
    if (!fault) continue;
    holdAll(attempt, ourFault(fault, isFallback, request, parts), parts);
    // Passing it on to yet another host would make a loop worse.
    if (fault.status === '5.4.6') break;
  }
  const excuse = dsn('4.3.0', 'server unavailable or unable to receive mail');
  for (const { index } of attempt.left) {
    attempt.outcomes.push(
      attempt.held.get(index) ?? { index, kind: 'deferred', dsn: excuse, relay: 'none' },
    );
  }
  const isDeferred = attempt.outcomes.some(({ kind }) => kind === 'deferred');
  return {
    outcomes: attempt.outcomes,
    ...(attempt.siteFailure && !attempt.isComplete && isDeferred
      ? { siteFailure: attempt.siteFailure }
      : {}),
  };
}

/** That a relay of ours cannot be found is no reason to bounce mail. */
function ourFault(
  fault: Dsn,
  isFallback: boolean,
  { nexthop }: DeliveryRequest,
  { settings, logger }: DeliveryParts,
): Dsn {
  if (isTransient(fault)) return fault;
  const name = isFallback ? 'smtp_fallback_relay' : 'relayhost';
  if (!isFallback && (settings.relayhost === '' || nexthop !== settings.relayhost)) return fault;
  logger.warning(`${name} configuration problem`);
  return { ...fault, status: '4.3.5' };
}

/** One next hop; a fault when no host of it could be found. */
async function deliverTo(
  hop: NextHop,
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<Dsn | undefined> {
  const { settings } = parts;
  attempt.sessions = 0;
  const kept = settings.cacheOnDemand ? parts.cache.take(hopKey(hop)) : undefined;
  const used = kept ? await sendKept(kept, attempt, parts) : undefined;
  if (attempt.left.length === 0) return undefined;
  if (hop.kind === 'unix') {
    if (used !== undefined) return undefined;
    await tryEndpoint(
      hop,
      { kind: 'unix', path: hop.path, name: settings.helo },
      true,
      attempt,
      parts,
    );
    return undefined;
  }
  // Unlike Postfix: whatever inet_interfaces says. Who writes [127.0.0.1] knows what is there.
  const isOwn = (address: string): boolean =>
    parts.isOwnAddress(address) || (!hop.isHost && isThisHost(address));
  const hosts = await findMailHosts(parts.resolver, {
    name: hop.name,
    isHost: hop.isHost || settings.lmtp,
    families: settings.families,
    ...(settings.preferred ? { preferred: settings.preferred } : {}),
    addressLimit: settings.addressLimit,
    native: settings.native,
    useDns: settings.useDns,
    ...(hop.port === 25 && !settings.lmtp ? { isOwnAddress: isOwn } : {}),
    random: parts.random,
  });
  if (!hosts.ok) return hosts.error;
  await tryHosts(hop, hosts.value, used, attempt, parts);
  return undefined;
}

/** A session from the cache: its address, unless it had died meanwhile. */
async function sendKept(
  kept: Kept,
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<string | undefined> {
  const wasUsed = await sendOver(kept, true, attempt, parts);
  if (!wasUsed) return undefined;
  attempt.sessions = 1;
  return kept.host.address;
}

async function tryHosts(
  hop: Extract<NextHop, { kind: 'inet' }>,
  hosts: readonly MailHost[],
  used: string | undefined,
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<void> {
  const { sessionLimit } = parts.settings;
  const best = hosts[0]?.preference;
  for (const host of hosts) {
    if (attempt.left.length === 0) return;
    if (sessionLimit > 0 && attempt.sessions >= sessionLimit) return;
    if (host.address === used) continue;
    const isBest = host.preference === best;
    await tryEndpoint(hop, { kind: 'inet', host, port: hop.port }, isBest, attempt, parts);
  }
}

async function tryEndpoint(
  hop: NextHop,
  endpoint: Endpoint,
  isBestHost: boolean,
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<void> {
  for (const note of attempt.notes) parts.logger.info(`${attempt.request.id}: ${note}`);
  attempt.notes = [];
  const plan = await planFor(hop, endpoint, isBestHost, attempt, parts);
  if (!plan) return;
  let session = await openSession(plan, parts);
  if (!session.ok && mayFallBack(plan, session.error, attempt, parts)) {
    parts.logger.info(`${attempt.request.id}: ${session.error.dsn.reason}`);
    session = await openSession({ ...plan, withoutTls: true }, parts);
  }
  if (!session.ok) {
    noSession(session.error, attempt, parts);
    return;
  }
  attempt.sessions += 1;
  attempt.siteFailure = undefined;
  const host = endpoint.kind === 'inet' ? endpoint.host.host : endpoint.name;
  const kept: Kept = {
    client: session.value,
    host:
      endpoint.kind === 'inet' ? endpoint.host : { host, address: endpoint.path, preference: 0 },
    relay: relayOf(endpoint),
    keys: [hopKey(hop)],
  };
  await sendOver(kept, false, attempt, parts);
}

/** Login and security level of this host; undefined, and all recipients held, without them. */
async function planFor(
  hop: NextHop,
  endpoint: Endpoint,
  isBestHost: boolean,
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<Plan | undefined> {
  const host = endpoint.kind === 'inet' ? endpoint.host.host : endpoint.name;
  const credentials = await parts.credentialsFor(hop.text, host);
  if (!credentials.ok) {
    holdAll(attempt, dsn('4.3.0', credentials.error), parts);
    return undefined;
  }
  const tls = await parts.tlsFor(hop.text);
  if (!tls.ok) {
    holdAll(attempt, tls.error, parts);
    return undefined;
  }
  const { level } = tls.value;
  if (parts.settings.wrapperMode && (level === 'none' || level === 'may')) {
    parts.logger.warning(
      'smtp_tls_wrappermode requires "smtp_tls_security_level = encrypt" (or stronger)',
    );
    return undefined;
  }
  return {
    endpoint,
    nexthop: attempt.request.nexthop,
    domain: hop.kind === 'inet' ? hop.name : parts.settings.myhostname,
    tls: tls.value,
    ...(credentials.value ? { credentials: credentials.value } : {}),
    withoutTls: false,
    isBestHost,
  };
}

/** Plaintext after a failed handshake: opportunistic, without a login, and not at the first try. */
function mayFallBack(
  { tls, credentials }: Plan,
  fault: SessionFault,
  { request }: Attempt,
  { settings }: DeliveryParts,
): boolean {
  const waitedMs = request.activeMs - request.arrivedMs;
  const isOptional = tls.level === 'may' && !settings.wrapperMode;
  return (
    fault.isHandshakeFault && isOptional && !credentials && waitedMs >= settings.plaintextAfterMs
  );
}

/** This host does not talk to us: a permanent refusal is final, else the next one is tried. */
function noSession(fault: SessionFault, attempt: Attempt, parts: DeliveryParts): void {
  const { softBounce } = parts.settings;
  attempt.siteFailure = fault.isSiteFailure ? fault.dsn : undefined;
  if (isTransient(fault.dsn) || softBounce) {
    holdAll(attempt, fault.dsn, parts, fault.relay);
    // That a connection failed is in the log already.
    if (fault.relay !== 'none') attempt.notes.push(fault.dsn.reason);
    return;
  }
  const timesMs = { setup: parts.now() - attempt.startedMs, transmission: 0 };
  for (const { index } of attempt.left) {
    attempt.outcomes.push({ index, kind: 'bounced', dsn: fault.dsn, relay: fault.relay, timesMs });
  }
  attempt.left = [];
}

/** The result of all that are left, unless another next hop or host does better. */
function holdAll(attempt: Attempt, fault: Dsn, parts: DeliveryParts, relay = 'none'): void {
  const isSoft = isTransient(fault) || parts.settings.softBounce;
  const timesMs = { setup: parts.now() - attempt.startedMs, transmission: 0 };
  const held = isSoft && !isTransient(fault) ? softened(fault) : fault;
  if (isTransient(fault) && relay === 'none') attempt.siteFailure = fault;
  for (const { index } of attempt.left) {
    const kind = isSoft ? 'deferred' : 'bounced';
    attempt.held.set(index, { index, kind, dsn: held, relay, timesMs });
  }
}

const hopKey = (hop: NextHop): string =>
  hop.kind === 'inet' ? `${hop.isHost ? '=' : ''}${hop.name}:${hop.port}` : `unix:${hop.path}`;
