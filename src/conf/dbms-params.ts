/**
 * The settings of database clients: in a file of their own (`mysql:/path`), or, the old way, in
 * main.cf with a prefix (`mysql:name` reads `name_hosts`, `name_user` ...).
 *
 * @see mysql_table(5), pgsql_table(5), sqlite_table(5), ldap_table(5), memcache_table(5)
 */
import { splitOutsideBraces } from '../util/text.ts';

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

const SQL = `hosts user password dbname query domain result_format expansion_limit table
  select_field where_field additional_conditions retry_interval idle_interval`;

const SUFFIXES: ReadonlyMap<string, readonly string[]> = new Map([
  [
    'mysql',
    words(`${SQL} charset option_file option_group require_result_set tls_CAfile tls_CApath
      tls_cert_file tls_ciphers tls_key_file tls_verify_cert`),
  ],
  ['pgsql', words(`${SQL} encoding select_function`)],
  [
    'sqlite',
    words(`dbpath domain expansion_limit query result_format table select_field where_field
      additional_conditions`),
  ],
  [
    'ldap',
    words(`bind bind_dn bind_pw cache cache_expiry cache_size chase_referrals debuglevel
      dereference domain expansion_limit leaf_result_attribute query_filter recursion_limit
      result_attribute result_filter result_format sasl_authz_id sasl_mechs sasl_minssf sasl_realm
      scope search_base server_host server_port size_limit special_result_attribute start_tls
      terminal_result_attribute timeout tls_ca_cert_dir tls_ca_cert_file tls_cert
      tls_cipher_suite tls_key tls_random_file tls_require_cert version`),
  ],
  [
    'memcache',
    words(`backup data_size_limit domain flags key_digest key_format line_size_limit max_try
      memcache retry_pause timeout ttl`),
  ],
  [
    'mongodb',
    words(`collection dbname domain expansion_limit filter options projection query_filter
      result_attribute result_format search_base uri`),
  ],
]);

const PATTERNS: ReadonlySet<string> = new Set(['regexp', 'pcre']);

export type DbmsUse =
  /** `type:name`: these main.cf parameters are settings of the client. */
  | { readonly kind: 'names'; readonly names: readonly string[] }
  /** `type:/path`: a file of settings, of which only these names mean something. */
  | { readonly kind: 'file'; readonly type: string; readonly path: string }
  | { readonly kind: 'comment'; readonly text: string };

/** Settings that a file of that type may have. */
export const settingsOf = (type: string): readonly string[] => SUFFIXES.get(type) ?? [];

/** Database clients and stray comments in an expanded value. */
export function findDbms(value: string, isRecursive = true): DbmsUse[] {
  const uses: DbmsUse[] = [];
  const parts = splitParts(value);
  for (let at = 0; at < parts.length; at += 1) {
    const part = parts[at] ?? '';
    if (part.startsWith('#')) {
      const rest = parts.slice(at + 1).join(' ');
      uses.push({ kind: 'comment', text: `${part} ${rest.slice(0, 20)}` });
      return uses;
    }
    if (part.startsWith('{')) {
      if (isRecursive) uses.push(...findDbms(inner(part)));
      continue;
    }
    uses.push(...clientOf(part.replace(/^(?:(?:proxy|debug):)+/, ''), isRecursive));
  }
  return uses;
}

function clientOf(spec: string, isRecursive: boolean): DbmsUse[] {
  const colon = spec.indexOf(':');
  if (colon < 0) return [];
  const type = spec.slice(0, colon);
  const name = spec.slice(colon + 1);
  const suffixes = SUFFIXES.get(type);
  if (name.startsWith('/')) return suffixes ? [{ kind: 'file', type, path: name }] : [];
  if (name.startsWith('{'))
    return isRecursive || !PATTERNS.has(type)
      ? findDbms(inner(name), isRecursive && !PATTERNS.has(type))
      : [];
  if (!suffixes || name.startsWith('.')) return [];
  return [{ kind: 'names', names: suffixes.map((suffix) => `${name}_${suffix}`) }];
}

const inner = (text: string): string => text.replace(/^\{/, '').replace(/\}$/, '');

/** Parts between commas and blanks; braces protect. */
const splitParts = (text: string): string[] =>
  splitOutsideBraces(text, (char) => ', \t\r\n'.includes(char));
