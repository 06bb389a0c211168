/**
 * Parameters of Postfix that do nothing here: what that means for a site that sets them.
 *
 * The first rule that fits counts. Parameters that params.ts has are never asked about.
 */
type Rule = readonly [pattern: RegExp, meaning: string];

const RULES: readonly Rule[] = [
  [/^postscreen_|^dnsblog_/, 'there is no postscreen: clients go straight to smtpd'],
  [/^tlsproxy_/, 'there is no tlsproxy: TLS ends in smtpd and smtp themselves'],
  [/^qmqpd_/, 'there is no QMQP server'],
  [
    /^multi_instance_|^postmulti_|^alternate_config_/,
    'one configuration runs at a time; start each with its own -c',
  ],
  [/^non_bdb_/, 'tables are indexed anew from their text, so there is nothing to migrate'],
  [/^berkeley_db_|^lmdb_map_size$/, 'indexes are kept and sized by the server itself'],
  [
    /^address_verify_|^unverified_/,
    'addresses are not verified by probes: reject_unverified_* never rejects',
  ],
  [/milter/, 'no milter is asked: mail passes without that filter'],
  [/^smtpd_proxy_/, 'mail is not passed through a filter before it is queued'],
  [/^content_filter$|^default_filter_nexthop$/, 'mail is not passed through a content filter'],
  [/^smtpd_policy_service_/, 'check_policy_service is not there'],
  [
    /^proxy_write_maps$|^proxymap_|^proxywrite_/,
    'each process opens its own tables; proxy: is taken off',
  ],
  [/^proxy_read_maps$/, 'each process opens its own tables; what proxy: may name is not limited'],
  [/_service_name$/, 'processes find each other without names'],
  [
    /^tls_random_|^tls_daemon_random|_session_cache_database$/,
    'random numbers and session caches are those of Node',
  ],
  [
    /_dcert_file$|_dkey_file$|_dh512_|_dh1024_|_eecdh_|^tls_eecdh_|^tls_ffdhe_/,
    'keys and curves of that kind are chosen by OpenSSL',
  ],
  [/_enable_rpk$/, 'raw public keys are not offered; certificates are used'],
  [/_tlsrpt_|_tlsrpt$/, 'no TLS reports are made'],
  [/requiretls|^tls_required_enable$/, 'REQUIRETLS is not offered'],
  [/_tls_CApath$/, 'certificates are read from files only: use _tls_CAfile'],
  [
    /^smtpd_tls_(CAfile|ask_ccert|ccert_verifydepth|fingerprint_digest)$|^relay_clientcerts$/,
    'clients are not asked for certificates',
  ],
  [/_tls_eccert_file$|_tls_eckey_file$/, 'list client keys in _tls_chain_files or _tls_cert_file'],
  [/^tls_server_sni_maps$/, 'one certificate serves every name'],
  [
    /^tls_config_|^tls_disable_workarounds$|^tls_ssl_options$|^openssl_path$/,
    'OpenSSL is the one inside Node and is not configured',
  ],
  [/^tls_(export|low|null)_cipherlist$/, 'such weak ciphers do not exist here'],
  [
    /^(smtp|lmtp)_tls_|^tls_|_log_tls_feature_status$/,
    'this fine point of client TLS keeps its safe default',
  ],
  [/^smtpd_tls_/, 'this fine point of server TLS keeps its safe default'],
  [/^use_srv_lookup$|srv_lookup/, 'SRV records are not looked up'],
  [/_(header|body|mime_header|nested_header)_checks$/, 'messages are not checked on the way out'],
  [/_generic_maps$/, 'addresses are not rewritten on the way out'],
  [
    /_delivery_status_filter$|_reply_filter$|_dns_reply_filter$|_command_filter$|_reject_filter_maps$/,
    'replies and commands are not rewritten by tables',
  ],
  [/pix_workaround/, 'there are no workarounds for Cisco PIX firewalls'],
  [/xforward/, 'XFORWARD is neither offered nor sent'],
  [/^smtpd_upstream_proxy_/, 'the HAProxy protocol is not read'],
  [/verp/, 'VERP addresses are not made'],
  [/_sasl_auth_cache_/, 'refused logins are not remembered'],
  [
    /_sasl_(path|type)$|^cyrus_sasl_|^send_cyrus_/,
    'logins are done by the server itself, without Cyrus or Dovecot',
  ],
  [/^smtpd_sasl_(local_domain|service)$/, 'realm and service name of Cyrus are not used'],
  [/_sasl_/, 'this fine point of logging in keeps its default'],
  [/sender_dependent_authentication$/, 'one login per next hop, whoever sends'],
  [
    /_(connection_cache|reuse)_|^connection_cache_/,
    'sessions are kept inside each delivery process',
  ],
  [/_discard_[el]hlo_keyword_address_maps$/, 'keywords are left out for everybody, not by address'],
  [
    /^default_(recipient|extra_recipient|delivery_slot|minimum_delivery|destination_concurrency_(neg|pos)|destination_rate|transport_rate)/,
    'the queue is scheduled with fixed values',
  ],
  [/_tempfail_action$/, 'temporary failures of a check always defer'],
  [/^(mailbox|fallback)_transport(_maps)?$/, 'local delivers by itself, without another transport'],
  [/^fast_flush_/, 'deferred mail of one site is found by looking through the queue'],
  [
    /^qmgr_|^ipc_|^daemon_|^fork_|^max_use$|^service_throttle|^trigger_|^in_flow_|^application_event|^anvil_status|^postlogd_/,
    'processes are managed in another way and need no such limit',
  ],
  [
    /_directory$|_path$|^meta_|^shlib_/,
    'where the programs and their pages lie is fixed by the package',
  ],
  [
    /^debug|^fault_injection|^dont_remove$|^destination_concurrency_feedback_debug$/,
    'debugging is done with the log',
  ],
  [/^hash_queue|^queue_file_/, 'the queue is a database, not a tree of files'],
  [/mailbox_(delivery_)?lock$/, 'mailboxes are locked with a dotlock'],
  [/^maps_rbl_/, 'reject_maps_rbl is gone from Postfix too: use reject_rbl_client'],
  [/^default_rbl_reply$|^rbl_reply_maps$/, 'replies to listed clients have a fixed text'],
  [/^smtpd_reject_footer_maps$|^smtpd_expansion_filter$/, 'the footer is the same for every reply'],
  [
    /^import_environment$|^execution_directory_|^command_execution_|^forward_expansion_/,
    'commands get a small, fixed environment',
  ],
  [
    /^local_login_sender_maps$|^empty_address_local_login/,
    'every local user may send as anybody, unless a sending policy says no',
  ],
  [/^setgid_group$/, 'maildrop/ is open to every user and needs no group'],
  [/^owner_request_special$/, 'owner-list and list-request always stay whole'],
  [/^maillog_file_prefixes$/, 'maillog_file may be any path'],
  [/^(smtp|lmtp)_/, 'this fine point of the client keeps its default'],
  [/^smtpd_/, 'this fine point of the server keeps its default'],
  [/smtputf8|idna2003/, 'SMTPUTF8 follows the message, as by default'],
  [/./, 'the server behaves as with its default'],
];

/** `the setting has no effect`, in the words that help. */
export function meaningOf(name: string): string {
  return RULES.find(([pattern]) => pattern.test(name))?.[1] ?? 'the setting has no effect';
}
