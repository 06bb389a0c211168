/** What deliveries need of main.cf, worked out once per process. */

import type { Config } from '../conf/params.ts';
import { type NameServer, parseNameServer, parseResolvConf } from '../dns/exchange.ts';
import { type ClientTls, clientLevel, openClientTls } from '../tls/client.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import type { StageLimits } from './client.ts';
import { parsePort } from './nexthop.ts';

export type DeliverySettings = {
  readonly lmtp: boolean;
  readonly defaultPort: number;
  readonly helo: string;
  readonly sendEhlo: boolean;
  readonly families: readonly (4 | 6)[];
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
  readonly tls: ClientTls;
  readonly wrapperMode: boolean;
  /** Age of a message from which a failed handshake at level `may` means plaintext. */
  readonly plaintextAfterMs: number;
  readonly cacheOnDemand: boolean;
  readonly saslEnabled: boolean;
  /** Mechanisms that may be used, best first, without and with TLS. */
  readonly mechanismsClear: readonly string[];
  readonly mechanismsTls: readonly string[];
};

/** Mechanisms of this client; all of them show the password to the server. */
const MECHANISMS = ['PLAIN', 'LOGIN', 'CRAM-MD5'] as const;

export function deliverySettings(config: Config, lmtp: boolean): Result<DeliverySettings, string> {
  const level = clientLevel(config);
  if (!level.ok) return level;
  const tls = openClientTls(config, level.value);
  if (!tls.ok) return tls;
  const port = lmtp ? config.lmtp_tcp_port : config.smtp_tcp_port;
  const defaultPort = parsePort(port);
  if (defaultPort === undefined) return err(`unknown port ${port}`);
  const lookups = splitList(config.smtp_host_lookup.toLowerCase());
  const discard = lmtp ? config.lmtp_discard_lhlo_keywords : config.smtp_discard_ehlo_keywords;
  return ok({
    lmtp,
    defaultPort,
    helo: lmtp ? config.lmtp_lhlo_name : config.smtp_helo_name,
    sendEhlo: !config.smtp_never_send_ehlo,
    families: familiesOf(config),
    bind4: config.smtp_bind_address,
    bind6: config.smtp_bind_address6,
    addressLimit: config.smtp_mx_address_limit,
    sessionLimit: config.smtp_mx_session_limit,
    useDns: lookups.includes('dns') && config.smtp_dns_support_level !== 'disabled',
    native: lookups.includes('native'),
    fallbackRelay: lmtp ? '' : config.smtp_fallback_relay,
    connectMs: milliseconds(lmtp ? config.lmtp_connect_timeout : config.smtp_connect_timeout),
    limits: {
      helo: milliseconds(config.smtp_helo_timeout),
      starttls: milliseconds(config.smtp_starttls_timeout),
      mail: milliseconds(config.smtp_mail_timeout),
      rcpt: milliseconds(config.smtp_rcpt_timeout),
      dataInit: milliseconds(config.smtp_data_init_timeout),
      dataTransfer: milliseconds(config.smtp_data_xfer_timeout),
      dataDone: milliseconds(config.smtp_data_done_timeout),
    },
    discardKeywords: new Set(splitList(discard).map((word) => word.toUpperCase())),
    softBounce: config.soft_bounce,
    tls: tls.value,
    wrapperMode: config.smtp_tls_wrappermode,
    plaintextAfterMs: secondsOf(config.lookup('minimal_backoff_time')) * 1000,
    cacheOnDemand: config.smtp_connection_cache_on_demand,
    saslEnabled: lmtp ? config.lmtp_sasl_auth_enable : config.smtp_sasl_auth_enable,
    mechanismsClear: mechanisms(config, config.smtp_sasl_security_options),
    mechanismsTls: mechanisms(config, config.smtp_sasl_tls_security_options),
  });
}

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

/** IPv4 first unless smtp_address_preference says otherwise. */
function familiesOf(config: Config): readonly (4 | 6)[] {
  const protocols = splitList(config.inet_protocols.toLowerCase());
  const families: (4 | 6)[] = [];
  if (protocols.includes('all') || protocols.includes('ipv4')) families.push(4);
  if (protocols.includes('all') || protocols.includes('ipv6')) families.push(6);
  return config.smtp_address_preference === 'ipv6' ? families.reverse() : families;
}

const milliseconds = (seconds: number): number =>
  seconds > 0 ? seconds * 1000 : Number.POSITIVE_INFINITY;

const UNITS: ReadonlyMap<string, number> = new Map([
  ['s', 1],
  ['m', 60],
  ['h', 3_600],
  ['d', 86_400],
  ['w', 604_800],
]);

/** minimal_backoff_time as text; Postfix's 300s when it is not known here. */
function secondsOf(text: string | undefined): number {
  const match = /^(\d+)([smhdw]?)$/.exec(text ?? '');
  return match ? Number(match[1]) * (UNITS.get(match[2] ?? '') ?? 1) : 300;
}
