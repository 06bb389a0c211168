/**
 * A delivery request to a delivery report: destinations, hosts and sessions in turn.
 *
 * A site failure (connect, greeting, EHLO, STARTTLS, AUTH) and a temporary refusal go on to the
 * next host; a permanent one is final. When the last host is through, what is left is deferred
 * with the last reason. A recipient with a positive final reply is sent, whatever happens after.
 *
 * @see smtp(8), RFC 5321 section 5
 */
import { findMailHosts, type MailHost } from '../dns/mx.ts';
import type { Resolver } from '../dns/resolver.ts';
import type { Logger } from '../log/maillog.ts';
import { type Dsn, dsn, isTransient } from '../mail/dsn.ts';
import type { DeliveryReport, DeliveryRequest, RecipientOutcome } from '../mail/stages.ts';
import type { Body } from '../queue/store.ts';
import type { Result } from '../util/result.ts';
import type { Kept, SessionCache } from './cache.ts';
import { type Credentials, type Endpoint, openSession, relayOf } from './connect.ts';
import type { Deadlines } from './deadline.ts';
import { type NextHop, parseNextHops } from './nexthop.ts';
import { sendOver } from './send.ts';
import type { DeliverySettings } from './settings.ts';

export type DeliveryParts = {
  readonly settings: DeliverySettings;
  readonly resolver: Resolver;
  readonly deadlines: Deadlines;
  readonly cache: SessionCache;
  readonly logger: Pick<Logger, 'info' | 'warning'>;
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
  /** Latest temporary result of each recipient, by index. */
  readonly deferred: Map<number, RecipientOutcome>;
  siteFailure: Dsn | undefined;
  sessions: number;
  /** A host answered MAIL FROM: what failed after that is no site failure. */
  isReached: boolean;
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
    deferred: new Map(),
    siteFailure: undefined,
    sessions: 0,
    isReached: false,
    startedMs: parts.now(),
  };
  const { settings } = parts;
  const primary = parseNextHops(request.nexthop, settings.defaultPort);
  const fallback = parseNextHops(settings.fallbackRelay, settings.defaultPort);
  const hops = [...primary, ...fallback];
  for (let i = 0; i < hops.length && attempt.left.length > 0; i += 1) {
    const hop = hops[i];
    const isLast = i === hops.length - 1;
    if (!hop) {
      failAll(attempt, dsn('4.3.5', `malformed next hop in ${request.nexthop}`), isLast);
      continue;
    }
    const isFinal = await deliverTo(hop, attempt, parts, isLast);
    if (isFinal) break;
  }
  const reason = attempt.siteFailure ?? dsn('4.4.1', `no host to deliver to: ${request.nexthop}`);
  for (const { index } of attempt.left) {
    attempt.outcomes.push(
      attempt.deferred.get(index) ?? { index, kind: 'deferred', dsn: reason, relay: 'none' },
    );
  }
  return {
    outcomes: attempt.outcomes,
    ...(attempt.siteFailure && !attempt.isReached ? { siteFailure: attempt.siteFailure } : {}),
  };
}

/** One next hop. True when no other one must be tried. */
async function deliverTo(
  hop: NextHop,
  attempt: Attempt,
  parts: DeliveryParts,
  isLast: boolean,
): Promise<boolean> {
  const { request } = attempt;
  const kept = parts.settings.cacheOnDemand ? parts.cache.take(hopKey(hop)) : undefined;
  if (kept) {
    await sendOver(kept, true, attempt, parts);
    if (attempt.left.length === 0) return true;
  }
  if (hop.kind === 'unix') {
    const endpoint: Endpoint = { kind: 'unix', path: hop.path, name: request.nexthop };
    await tryEndpoint(hop, { ...endpoint, name: parts.settings.helo }, attempt, parts);
    return false;
  }
  const hosts = await findMailHosts(parts.resolver, {
    name: hop.name,
    isHost: hop.isHost || parts.settings.lmtp,
    families: parts.settings.families,
    addressLimit: parts.settings.addressLimit,
    native: parts.settings.native,
    useDns: parts.settings.useDns,
    ...(hop.port === 25 ? { isOwnAddress: parts.isOwnAddress } : {}),
    random: parts.random,
  });
  if (!hosts.ok) {
    // Lookup errors go on to the fallback relays; a loop or a null MX does not.
    const isFinal = hosts.error.status === '5.4.6' || hosts.error.status === '5.1.10';
    failAll(attempt, hosts.error, isLast || isFinal);
    return isFinal;
  }
  await tryHosts(hop, hosts.value, attempt, parts);
  return false;
}

async function tryHosts(
  hop: Extract<NextHop, { kind: 'inet' }>,
  hosts: readonly MailHost[],
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<void> {
  const { sessionLimit } = parts.settings;
  attempt.sessions = 0;
  for (const host of hosts) {
    if (attempt.left.length === 0) return;
    if (sessionLimit > 0 && attempt.sessions >= sessionLimit) return;
    await tryEndpoint(hop, { kind: 'inet', host, port: hop.port }, attempt, parts);
  }
}

async function tryEndpoint(
  hop: NextHop,
  endpoint: Endpoint,
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<void> {
  const { settings, logger } = parts;
  const host = endpoint.kind === 'inet' ? endpoint.host.host : endpoint.name;
  const credentials = await parts.credentialsFor(hop.text, host);
  if (!credentials.ok) {
    attempt.siteFailure = dsn('4.3.0', credentials.error);
    return;
  }
  const plan = {
    endpoint,
    nexthop: hop.text,
    ...(credentials.value ? { credentials: credentials.value } : {}),
    withoutTls: false,
  };
  let session = await openSession(plan, settings, parts.deadlines);
  if (!session.ok) {
    logger.info(session.error.dsn.reason);
    const ageMs = attempt.request.activeMs - attempt.request.arrivedMs;
    const mayFallBack =
      session.error.isTlsFault &&
      settings.tls.level === 'may' &&
      !settings.wrapperMode &&
      !credentials.value &&
      ageMs >= settings.plaintextAfterMs;
    if (mayFallBack) {
      session = await openSession({ ...plan, withoutTls: true }, settings, parts.deadlines);
      if (!session.ok) logger.info(session.error.dsn.reason);
    }
  }
  if (!session.ok) {
    attempt.siteFailure = session.error.dsn;
    return;
  }
  attempt.sessions += 1;
  attempt.siteFailure = undefined;
  const relay = relayOf(endpoint);
  const kept: Kept = {
    client: session.value,
    host:
      endpoint.kind === 'inet' ? endpoint.host : { host, address: endpoint.path, preference: 0 },
    relay,
    keys: [hopKey(hop)],
  };
  await sendOver(kept, false, attempt, parts);
}

/** No host could be found: permanent ones bounce, unless another next hop may help. */
function failAll(attempt: Attempt, fault: Dsn, isFinal: boolean): void {
  if (isTransient(fault)) {
    attempt.siteFailure = fault;
    return;
  }
  if (!isFinal) return;
  for (const { index } of attempt.left) {
    attempt.outcomes.push({ index, kind: 'bounced', dsn: fault, relay: 'none' });
  }
  attempt.left = [];
}

const hopKey = (hop: NextHop): string =>
  hop.kind === 'inet' ? `${hop.isHost ? '=' : ''}${hop.name}:${hop.port}` : `unix:${hop.path}`;
