/** What deliveries need of main.cf, worked out once per process. */

import type { Config } from '../conf/params.ts';
import { type NameServer, parseNameServer, parseResolvConf } from '../dns/exchange.ts';
import type { MimeLimits } from '../mail/mime.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import type { CacheLimits } from './cache.ts';
import { lmtpView } from './lmtp-view.ts';
import { parsePort } from './nexthop.ts';
import type { ClientSettings, StageLimits } from './session.ts';

export type DeliverySettings = {
  readonly lmtp: boolean;
  readonly defaultPort: number;
  readonly myhostname: string;
  /** A hard lookup error of this next hop is a fault of ours. */
  readonly relayhost: string;
  readonly helo: string;
  readonly hello: ClientSettings['hello'];
  readonly isGreetingSoft: boolean;
  readonly families: readonly (4 | 6)[];
  /** smtp_address_preference. */
  readonly preferred?: 4 | 6;
  readonly bind4: string;
  readonly bind6: string;
  readonly addressLimit: number;
  readonly sessionLimit: number;
  readonly useDns: boolean;
  readonly native: boolean;
  readonly fallbackRelay: string;
  readonly connectMs: number;
  readonly limits: StageLimits;
  readonly discardKeywords: ReadonlySet<string>;
  readonly softBounce: boolean;
  /** Line endings and encodings of what goes out. */
  readonly lineLimit: number;
  readonly converts8bit: boolean;
  readonly mimeLimits: MimeLimits;
  readonly waitsForQuit: boolean;
  readonly tlsLogLevel: number;
  readonly notesStarttlsOffer: boolean;
  readonly wrapperMode: boolean;
  /** Age of a message from which a failed handshake at level `may` means plaintext. */
  readonly plaintextAfterMs: number;
  readonly cacheOnDemand: boolean;
  readonly cacheLimits: CacheLimits;
  readonly saslEnabled: boolean;
  /** A login that is refused for good defers the mail (smtp_sasl_auth_soft_bounce). */
  readonly isLoginSoft: boolean;
  /** Mechanisms that may be used, best first, without and with TLS. */
  readonly mechanismsClear: readonly string[];
  readonly mechanismsTls: readonly string[];
};

/** Mechanisms of this client; all of them show the password to the server. */
const MECHANISMS = ['PLAIN', 'LOGIN', 'CRAM-MD5'] as const;

/** Of a service with the command smtp, or of one with lmtp. */
export function deliverySettings(main: Config, lmtp: boolean): Result<DeliverySettings, string> {
  const config = lmtp ? lmtpView(main) : main;
  const defaultPort = parsePort(config.smtp_tcp_port);
  if (defaultPort === undefined) return err(`unknown port ${config.smtp_tcp_port}`);
  const lookups = splitList(config.smtp_host_lookup.toLowerCase());
  const preferred = preferredFamily(config);
  return ok({
    lmtp,
    defaultPort,
    myhostname: config.myhostname,
    relayhost: lmtp ? '' : config.relayhost,
    helo: config.smtp_helo_name,
    hello: helloOf(config),
    isGreetingSoft: config.smtp_skip_5xx_greeting,
    families: familiesOf(config),
    ...(preferred ? { preferred } : {}),
    bind4: config.smtp_bind_address,
    bind6: config.smtp_bind_address6,
    addressLimit: config.smtp_mx_address_limit,
    sessionLimit: config.smtp_mx_session_limit,
    useDns: lookups.includes('dns') && config.smtp_dns_support_level !== 'disabled',
    native: lookups.includes('native'),
    fallbackRelay: config.smtp_fallback_relay,
    connectMs: milliseconds(config.smtp_connect_timeout),
    limits: limitsOf(config),
    discardKeywords: new Set(
      splitList(config.smtp_discard_ehlo_keywords).map((word) => word.toUpperCase()),
    ),
    softBounce: config.soft_bounce,
    lineLimit: config.smtp_line_length_limit,
    converts8bit: !config.disable_mime_output_conversion,
    mimeLimits: {
      header_size_limit: config.header_size_limit,
      mime_nesting_limit: numberOf(config.lookup('mime_nesting_limit'), 100),
      mime_boundary_length_limit: numberOf(config.lookup('mime_boundary_length_limit'), 2_048),
    },
    waitsForQuit: !config.smtp_skip_quit_response,
    tlsLogLevel: config.smtp_tls_loglevel,
    notesStarttlsOffer: config.smtp_tls_note_starttls_offer,
    wrapperMode: config.smtp_tls_wrappermode,
    plaintextAfterMs: config.minimal_backoff_time * 1000,
    cacheOnDemand: config.smtp_connection_cache_on_demand,
    cacheLimits: {
      idleMs: config.smtp_connection_cache_time_limit * 1000,
      reuseMs: config.smtp_connection_reuse_time_limit * 1000,
      reuseCount: config.smtp_connection_reuse_count_limit,
    },
    saslEnabled: config.smtp_sasl_auth_enable,
    isLoginSoft: config.smtp_sasl_auth_soft_bounce,
    mechanismsClear: mechanisms(config, config.smtp_sasl_security_options),
    mechanismsTls: mechanisms(config, config.smtp_sasl_tls_security_options),
  });
}

const helloOf = (config: Config): ClientSettings['hello'] =>
  config.smtp_never_send_ehlo ? 'never' : config.smtp_always_send_ehlo ? 'always' : 'esmtp';

const limitsOf = (config: Config): StageLimits => ({
  helo: milliseconds(config.smtp_helo_timeout),
  starttls: milliseconds(config.smtp_starttls_timeout),
  mail: milliseconds(config.smtp_mail_timeout),
  rcpt: milliseconds(config.smtp_rcpt_timeout),
  dataInit: milliseconds(config.smtp_data_init_timeout),
  dataTransfer: milliseconds(config.smtp_data_xfer_timeout),
  dataDone: milliseconds(config.smtp_data_done_timeout),
  reset: milliseconds(config.smtp_rset_timeout),
  quit: milliseconds(config.smtp_quit_timeout),
});

/** dns_servers, or those of the system. */
export function nameServers(
  config: Config,
  resolvConf: string,
): Result<readonly NameServer[], string> {
  const servers: NameServer[] = [];
  for (const text of splitList(config.dns_servers)) {
    const server = parseNameServer(text);
    if (!server) return err(`dns_servers: ${text}: use address or address:port`);
    servers.push(server);
  }
  return ok(servers.length > 0 ? servers : parseResolvConf(resolvConf));
}

function mechanisms(config: Config, options: string): readonly string[] {
  const forbidden = splitList(options.toLowerCase());
  const filter = splitList(config.smtp_sasl_mechanism_filter.toUpperCase());
  return MECHANISMS.filter((name) => {
    if (forbidden.includes('noplaintext') && name !== 'CRAM-MD5') return false;
    if (forbidden.includes('nodictionary') || forbidden.includes('noactive')) return false;
    return filter.length === 0 || filter.includes(name);
  });
}

/** inet_protocols, in the order of smtp_address_preference. */
function familiesOf(config: Config): readonly (4 | 6)[] {
  const protocols = splitList(config.inet_protocols.toLowerCase());
  const families: (4 | 6)[] = [];
  if (protocols.includes('all') || protocols.includes('ipv4')) families.push(4);
  if (protocols.includes('all') || protocols.includes('ipv6')) families.push(6);
  return preferredFamily(config) === 6 ? families.reverse() : families;
}

function preferredFamily(config: Config): 4 | 6 | undefined {
  const preference = config.smtp_address_preference.toLowerCase();
  return preference === 'ipv6' ? 6 : preference === 'ipv4' ? 4 : undefined;
}

const milliseconds = (seconds: number): number =>
  seconds > 0 ? seconds * 1000 : Number.POSITIVE_INFINITY;

const numberOf = (text: string | undefined, usual: number): number =>
  /^\d+$/.test(text ?? '') ? Number(text) : usual;
