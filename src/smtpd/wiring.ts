/**
 * From main.cf to what a session needs: tables, lists, restrictions, policy, names.
 *
 * `openSite` runs with master's rights and opens every table; nothing here touches the queue or a
 * socket. Its faults end the start of the service.
 */
import { readFileSync } from 'node:fs';
import { type Mechanisms, openMechanisms } from '../auth/mechanisms.ts';
import { type Cleanup, openCleanup } from '../cleanup/cleanup.ts';
import { openCleanupTables } from '../cleanup/tables.ts';
import type { Config } from '../conf/params.ts';
import { type NameServer, parseNameServer, parseResolvConf } from '../dns/exchange.ts';
import { openHostsFile } from '../dns/hosts.ts';
import { type Resolver as Dns, openResolver as openDns } from '../dns/resolver.ts';
import type { Logger } from '../log/maillog.ts';
import { after, openMaps } from '../lookup/maps.ts';
import {
  type ClientList,
  openClientList,
  openDomainList,
  parentMatches,
} from '../lookup/match-list.ts';
import { type LookupContext, lookupContext } from '../lookup/open.ts';
import type { Session } from '../mail/stages.ts';
import { type ClientNames, clientNames } from '../net/client-name.ts';
import type { DecisionRecord } from '../policy/decision-record.ts';
import type { PolicyGate } from '../policy/gate.ts';
import { openSitePolicy } from '../policy/open.ts';
import type { DomainAnswer } from '../restrict/facts.ts';
import { compileRestrictions, type Restrictions } from '../restrict/restrict.ts';
import { ownAddresses } from '../rewrite/own-addresses.ts';
import { openRecipientTables } from '../rewrite/recipients.ts';
import { openResolver } from '../rewrite/resolve.ts';
import { type ServerLevel, serverLevel } from '../tls/level.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import type { SmtpdParts } from './parts.ts';
import { unsupportedSetting } from './unsupported.ts';

/** All of `SmtpdParts` that main.cf decides, and what wants writing out at the end. */
export type Site = Pick<
  SmtpdParts,
  | 'config'
  | 'cleanup'
  | 'restrictions'
  | 'names'
  | 'tlsLevel'
  | 'clients'
  | 'rewritesHeaders'
  | 'policy'
  | 'mechanisms'
> & { readonly decisions: Pick<DecisionRecord, 'flush'> };

type ListName =
  | 'mynetworks'
  | 'smtpd_client_event_limit_exceptions'
  | 'smtpd_forbid_bare_newline_exclusions'
  | 'smtpd_authorized_xclient_hosts'
  | 'smtpd_sasl_exceptions_networks';

export function openSite(
  config: Config,
  logger: Logger,
  cleanupLogger: Logger = logger,
): Result<Site, readonly string[]> {
  const context = lookupContext(config, logger);
  const level = serverLevel(config);
  if (!level.ok) return err([level.error]);
  const unsupported = unsupportedSetting(config);
  if (unsupported !== undefined) return err([unsupported]);
  const mechanisms = mechanismsOf(config, context);
  if (!mechanisms.ok) return err([mechanisms.error]);
  const servers = nameServers(config);
  if (!servers.ok) return err([servers.error]);
  const dns = openDns({ servers: servers.value, hosts: openHostsFile() });
  const lists = openLists(config, context);
  if (!lists.ok) return lists;
  const rewritesHeaders = headerRewriting(config, lists.value.mynetworks, context);
  if (!rewritesHeaders.ok) return rewritesHeaders;
  const logs = { logger, cleanupLogger };
  const rules = openRules(config, context, dns, lists.value.mynetworks, logs);
  if (!rules.ok) return rules;
  const { cleanup, restrictions, policy, decisions } = rules.value;
  return ok({
    config,
    cleanup,
    restrictions,
    names: namesOf(config, dns),
    tlsLevel: tlsLevelOf(config, level.value),
    clients: {
      isUnlimited: lists.value.smtpd_client_event_limit_exceptions.match,
      maySendBareNewline: lists.value.smtpd_forbid_bare_newline_exclusions.match,
      mayXclient: lists.value.smtpd_authorized_xclient_hosts.match,
      isSaslException: lists.value.smtpd_sasl_exceptions_networks.match,
    },
    rewritesHeaders: rewritesHeaders.value,
    decisions,
    mechanisms: mechanisms.value,
    ...(policy ? { policy } : {}),
  });
}

function mechanismsOf(config: Config, context: LookupContext): Result<Mechanisms, string> {
  const parameter = 'smtpd_sasl_mechanism_filter';
  const list = openDomainList(parameter, config[parameter], { matchParents: false }, context);
  if (!list.ok) return err(list.error.map(({ reason }) => reason).join('; '));
  return openMechanisms(config, (name) => {
    const match = list.value.match(name);
    return !(match instanceof Promise) && match.kind === 'yes';
  });
}

/** A wrapped port is under TLS whatever the level says. */
const tlsLevelOf = (config: Config, level: ServerLevel): ServerLevel =>
  config.smtpd_tls_wrappermode && level === 'none' ? 'may' : level;

const namesOf = (config: Config, dns: Dns): ClientNames =>
  clientNames(dns.clientName, config.smtpd_peername_lookup, Date.now);

function openLists(
  config: Config,
  context: LookupContext,
): Result<Readonly<Record<ListName, ClientList>>, readonly string[]> {
  const faults: string[] = [];
  const open = (parameter: ListName): ClientList => {
    const options = { matchParents: parentMatches(config, parameter) };
    const list = openClientList(parameter, config[parameter], options, context);
    if (list.ok) return list.value;
    faults.push(...list.error.map(({ reason }) => reason));
    return { match: () => ({ kind: 'no' }) };
  };
  const lists = {
    mynetworks: open('mynetworks'),
    smtpd_client_event_limit_exceptions: open('smtpd_client_event_limit_exceptions'),
    smtpd_forbid_bare_newline_exclusions: open('smtpd_forbid_bare_newline_exclusions'),
    smtpd_authorized_xclient_hosts: open('smtpd_authorized_xclient_hosts'),
    smtpd_sasl_exceptions_networks: open('smtpd_sasl_exceptions_networks'),
  };
  return faults.length > 0 ? err(faults) : ok(lists);
}

type Rules = {
  readonly cleanup: Cleanup;
  readonly restrictions: Restrictions;
  readonly policy: PolicyGate | undefined;
  readonly decisions: DecisionRecord;
};

function openRules(
  config: Config,
  context: LookupContext,
  dns: Dns,
  myNetworks: ClientList,
  { logger, cleanupLogger }: { readonly logger: Logger; readonly cleanupLogger: Logger },
): Result<Rules, readonly string[]> {
  const texts = (faults: readonly { readonly reason: string }[]) =>
    err(faults.map(({ reason }) => reason));
  const resolver = openResolver(config, context);
  if (!resolver.ok) return texts(resolver.error);
  const recipients = openRecipientTables(config, context, resolver.value);
  if (!recipients.ok) return texts(recipients.error);
  const site = openSitePolicy(config, resolver.value, context, logger);
  if (!site.ok) return site;
  const restrictions = compileRestrictions({
    config,
    resolver: {
      classify: resolver.value.classify,
      recipientExists: recipients.value.recipientExists,
    },
    myNetworks: myNetworks.match,
    ownAddresses: ownAddresses(config),
    openMaps: (parameter, spec) => {
      const maps = openMaps(parameter, spec, context);
      return maps.ok ? maps.value : maps.error.map(({ reason }) => reason).join('; ');
    },
    domainExists: (domain) => domainExists(dns, domain),
    addressesOf: async (name) => {
      const answer = await dns.resolve(name, 'A');
      if (answer.kind === 'retry') return 'retry';
      return answer.kind === 'found' ? answer.records.map(({ value }) => value) : [];
    },
  });
  if (!restrictions.ok) return err([restrictions.error]);
  const { addressContext } = resolver.value;
  const tables = openCleanupTables(config, context, addressContext);
  if (!tables.ok) return texts(tables.error);
  const cleanup = openCleanup({
    config,
    virtualAliases: recipients.value.virtualAliases,
    addressContext,
    tables: tables.value,
    log: cleanupLogger,
  });
  return ok({
    cleanup,
    restrictions: restrictions.value,
    policy: site.value.gate,
    decisions: site.value.record,
  });
}

/** Mail can go there: an MX, or an address. A null MX (RFC 7505) is a no of its own. */
async function domainExists(dns: Dns, domain: string): Promise<DomainAnswer> {
  const mx = await dns.resolve(domain, 'MX');
  if (mx.kind === 'retry') return 'retry';
  if (mx.kind === 'found') {
    const [only, ...more] = mx.records;
    return more.length === 0 && (only?.value === '' || only?.value === '.') ? 'null-mx' : 'yes';
  }
  const addresses = await dns.addresses(domain, [4, 6]);
  if (addresses.kind === 'retry') return 'retry';
  return addresses.kind === 'found' ? 'yes' : 'no';
}

/**
 * local_header_rewrite_clients, of its forms the ones that need no certificate. A table that cannot
 * answer says no: headers stay as they are.
 */
function headerRewriting(
  config: Config,
  myNetworks: ClientList,
  context: LookupContext,
): Result<SmtpdParts['rewritesHeaders'], readonly string[]> {
  const elements = splitList(config.local_header_rewrite_clients);
  const words = new Set(elements.map((word) => word.toLowerCase()));
  const tables = elements.filter((_, at) => /^check_address_map$/i.test(elements[at - 1] ?? ''));
  const maps = openMaps('local_header_rewrite_clients', tables.join(' '), context);
  if (!maps.ok) return err(maps.error.map(({ reason }) => reason));
  const own = ownAddresses(config);
  return ok(({ peer, login }: Session) => {
    if (words.has('permit_inet_interfaces') && own.has(peer.address)) return true;
    if (words.has('permit_sasl_authenticated') && login) return true;
    const network = words.has('permit_mynetworks')
      ? after(myNetworks.match(peer.name, peer.address), ({ kind }) => kind === 'yes')
      : false;
    return after(network, (isOurs) =>
      isOurs || maps.value.isEmpty
        ? isOurs
        : after(maps.value.find(peer.address), ({ kind }) => kind === 'found'),
    );
  });
}

function nameServers(config: Config): Result<readonly NameServer[], string> {
  const servers: NameServer[] = [];
  for (const text of splitList(config.dns_servers)) {
    const server = parseNameServer(text);
    if (!server) return err(`dns_servers: ${text}: use address or address:port`);
    servers.push(server);
  }
  return ok(servers.length > 0 ? servers : parseResolvConf(resolvConf()));
}

/** No file, no servers: names stay unknown. */
function resolvConf(): string {
  try {
    return readFileSync('/etc/resolv.conf', 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return '';
    throw error;
  }
}
