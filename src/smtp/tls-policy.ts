/**
 * smtp_tls_policy_maps: the security level of a next hop, with what goes with it.
 *
 *   example.com             secure match=mail.example.com
 *   [smart.example]:587     encrypt protocols=>=TLSv1.3 ciphers=high
 *   .example.org            may
 *
 * A next hop with brackets or a port is looked up as it is written; a domain also by its parents.
 * Without an entry the level of main.cf holds. A policy that cannot be read or understood defers
 * the mail: it never goes out with less protection than somebody asked for.
 *
 * @see postconf(5) smtp_tls_policy_maps, TLS_README "Client TLS security levels"
 */
import { isIP } from 'node:net';
import type { Config } from '../conf/params.ts';
import type { Maps } from '../lookup/maps.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { type ClientTls, clientLevel, openClientTls, parseClientLevel } from '../tls/client.ts';
import { err, ok, type Result } from '../util/result.ts';

export type TlsFor = (nexthop: string) => Promise<Result<ClientTls, Dsn>>;

type Warn = (text: string) => void;

/** A fault is one of main.cf: bad levels, files that cannot be read. */
export function tlsPolicies(
  config: Config,
  maps: Pick<Maps, 'find'> | undefined,
  warn: Warn,
): Result<TlsFor, string> {
  const level = clientLevel(config);
  if (!level.ok) return level;
  const usual = openClientTls(config, level.value);
  if (!usual.ok) return usual;
  if (!maps) return ok(async () => ok(usual.value));
  const known = new Map<string, Result<ClientTls, Dsn>>();
  return ok(async (nexthop) => {
    for (const key of policyKeys(nexthop)) {
      const answer = await maps.find(key);
      if (answer.kind === 'absent') continue;
      if (answer.kind !== 'found') {
        warn(`TLS policy lookup error for ${nexthop}: ${answer.reason}`);
        return err(dsn('4.3.0', 'Temporary lookup error'));
      }
      const text = answer.value;
      const tls = known.get(text) ?? openPolicy(config, nexthop, text, warn);
      // Few policies are in use; a table that makes one up for each next hop is not kept.
      if (known.size < MAX_KNOWN) known.set(text, tls);
      return tls;
    }
    return ok(usual.value);
  });
}

const MAX_KNOWN = 1_000;

function policyKeys(nexthop: string): readonly string[] {
  const dest = nexthop.toLowerCase();
  if (/[[:]/.test(dest) || isIP(dest) !== 0) return [dest];
  const keys = [dest];
  for (let dot = dest.indexOf('.', 1); dot > 0; dot = dest.indexOf('.', dot + 1)) {
    keys.push(dest.slice(dot));
  }
  return keys;
}

function openPolicy(
  config: Config,
  nexthop: string,
  text: string,
  warn: Warn,
): Result<ClientTls, Dsn> {
  const parsed = parsePolicy(config, text);
  const tls = parsed.ok ? openClientTls(parsed.value.config, parsed.value.level) : parsed;
  if (tls.ok) return tls;
  warn(`smtp_tls_policy_maps, next-hop destination "${nexthop}": ${tls.error}`);
  return err(dsn('4.7.0', 'client TLS configuration problem'));
}

/** The configuration with the attributes of one policy in the place of the usual values. */
function parsePolicy(
  config: Config,
  text: string,
): Result<{ readonly config: Config; readonly level: ClientTls['level'] }, string> {
  const [name = '', ...attributes] = text.split(/[\s,]+/).filter((word) => word !== '');
  const level = parseClientLevel('security level', name.toLowerCase());
  if (!level.ok) return level;
  let own = config;
  for (const attribute of attributes) {
    const equals = attribute.indexOf('=');
    const value = attribute.slice(equals + 1);
    if (equals < 1 || value === '') return err(`malformed attribute "${attribute}"`);
    switch (attribute.slice(0, equals).toLowerCase()) {
      case 'match':
        own = withMatch(own, level.value, value);
        break;
      case 'protocols':
        own = { ...own, smtp_tls_protocols: value, smtp_tls_mandatory_protocols: value };
        break;
      case 'ciphers':
        own = { ...own, smtp_tls_ciphers: value, smtp_tls_mandatory_ciphers: value };
        break;
      case 'exclude': {
        const all = `${own.smtp_tls_exclude_ciphers} ${value}`;
        own = { ...own, smtp_tls_exclude_ciphers: all };
        break;
      }
      case 'servername':
        own = { ...own, smtp_tls_servername: value };
        break;
      case 'connection_reuse':
        // Sessions with TLS are always kept for more mail.
        break;
      default:
        return err(`attribute "${attribute}" is not implemented`);
    }
  }
  return ok({ config: own, level: level.value });
}

/** Names are separated by `:` here; so are the bytes of a fingerprint, so `|` is for those. */
function withMatch(config: Config, level: ClientTls['level'], value: string): Config {
  if (level === 'fingerprint') {
    return { ...config, smtp_tls_fingerprint_cert_match: value.replaceAll('|', ' ') };
  }
  const names = value.replaceAll(/[:|]/g, ' ');
  return { ...config, smtp_tls_verify_cert_match: names, smtp_tls_secure_cert_match: names };
}
