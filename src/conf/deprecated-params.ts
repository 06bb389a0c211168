/**
 * Parameters that Postfix gives up or has given up, and what to write instead.
 *
 * @see Postfix DEPRECATION_README
 */
const level = (name: string): string => `specify "${name}_security_level"`;
const rename = (name: string): string => `specify "${name}"`;

/** Still read, with a warning; names that Postfix no longer knows are told apart by their absence. */
export const DEPRECATED_PARAMETERS: ReadonlyMap<string, string> = new Map([
  ['disable_dns_lookups', rename('smtp_dns_support_level')],
  ['lmtp_use_tls', level('lmtp_tls')],
  ['postscreen_use_tls', level('postscreen_tls')],
  ['smtp_use_tls', level('smtp_tls')],
  ['smtpd_use_tls', level('smtpd_tls')],
  ['tlsproxy_client_use_tls', level('tlsproxy_client')],
  ['tlsproxy_use_tls', level('tlsproxy_tls')],
  ['lmtp_enforce_tls', level('lmtp_tls')],
  ['postscreen_enforce_tls', level('postscreen_tls')],
  ['smtp_enforce_tls', level('smtp_tls')],
  ['smtpd_enforce_tls', level('smtpd_tls')],
  ['tlsproxy_client_enforce_tls', level('tlsproxy_client')],
  ['tlsproxy_enforce_tls', level('tlsproxy_tls')],
  ['lmtp_tls_per_site', rename('lmtp_tls_policy_maps')],
  ['smtp_tls_per_site', rename('smtp_tls_policy_maps')],
  ['tlsproxy_client_per_site', rename('tlsproxy_client_policy_maps')],
  ['smtpd_tls_dh1024_param_file', 'do not specify (leave at default)'],
  ['smtpd_tls_eecdh_grade', 'do not specify (leave at default)'],
  ['authorized_verp_clients', rename('smtpd_authorized_verp_clients')],
  ['fallback_relay', rename('smtp_fallback_relay')],
  ['lmtp_per_record_deadline', rename('lmtp_per_request_deadline')],
  ['lmtp_tls_enforce_peername', level('lmtp_tls')],
  ['postscreen_blacklist_action', rename('postscreen_denylist_action')],
  ['postscreen_dnsbl_ttl', rename('postscreen_dnsbl_max_ttl')],
  ['postscreen_dnsbl_whitelist_threshold', rename('postscreen_dnsbl_allowlist_threshold')],
  ['postscreen_whitelist_interfaces', rename('postscreen_allowlist_interfaces')],
  ['smtpd_client_connection_limit_exceptions', rename('smtpd_client_event_limit_exceptions')],
  ['smtpd_per_record_deadline', rename('smtpd_per_request_deadline')],
  ['smtp_per_record_deadline', rename('smtp_per_request_deadline')],
  ['smtp_tls_enforce_peername', level('smtp_tls')],
  ['tlsproxy_client_level', level('tlsproxy_client')],
  ['tlsproxy_client_policy', rename('tlsproxy_client_policy_maps')],
  ['virtual_maps', rename('virtual_alias_maps')],
  ['lmtp_cname_overrides_servername', 'do not specify'],
  ['smtp_cname_overrides_servername', 'do not specify'],
]);

/** Names of older releases: they do nothing in Postfix 3.11 either. */
export const REMOVED_PARAMETERS: ReadonlyMap<string, string> = new Map([
  ['program_directory', rename('daemon_directory')],
  ['sender_based_routing', rename('sender_dependent_relayhost_maps')],
  ['smtpd_sasl_application_name', rename('smtpd_sasl_path')],
  ['lmtp_cache_connection', rename('lmtp_connection_cache_on_demand')],
  ['tls_daemon_random_source', rename('tls_random_source')],
  ['smtp_skip_4xx_greeting', 'do not specify: a 4xx greeting always leads to the next host'],
  ['extract_recipient_limit', 'do not specify'],
  ['qmgr_site_hog_factor', 'do not specify'],
  ['tls_legacy_public_key_fingerprints', 'list both fingerprints while certificates change'],
]);

/** What to write instead of a parameter that is going or gone, or undefined. */
export function replacementOf(name: string): string | undefined {
  return DEPRECATED_PARAMETERS.get(name) ?? REMOVED_PARAMETERS.get(name);
}
