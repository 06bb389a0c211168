/**
 * Where Postern means to differ from Debian's Postfix 3.7, one table for each area, with the reason.
 * The suites in test/compat/ fail on any other difference.
 */

export type RouteDifference = {
  readonly reason: string;
  /** The name of the configuration, and the address in any form. */
  readonly applies: (setup: string, address: string) => boolean;
};

/** test/compat/rewrite.test.ts */
export const ROUTE_DIFFERENCES: readonly RouteDifference[] = [];

/** test/compat/postconf.test.ts: what Postfix 3.7 does not say yet. */
export const NEW_WARNINGS: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /support for parameter .* (will be|has been) removed/, reason: 'since Postfix 3.9' },
  { pattern: /DEPRECATION_README/, reason: 'since Postfix 3.9' },
  { pattern: /#comment after other text is not allowed/, reason: 'since Postfix 3.8' },
  { pattern: /invalid option --/, reason: 'a line of the C library, followed by the usage text' },
];

/** Defaults that are not those of Debian's Postfix 3.7, by reason. */
export const DEFAULT_DIFFERENCES: {
  /** Known to 3.7 and to nothing newer. */
  readonly gone: readonly string[];
  readonly values: ReadonlyMap<string, string>;
} = {
  gone: ['tls_legacy_public_key_fingerprints'],
  values: new Map([
    ...because('newer than 3.7: the default of Postfix 3.11', [
      'import_environment',
      'milter_default_action',
      'proxy_read_maps',
      'smtp_tls_dane_insecure_mx_policy',
      'smtp_tls_security_level',
      'smtpd_forbid_bare_newline',
      'smtpd_forbid_unauth_pipelining',
      'tls_eecdh_auto_curves',
      'tls_export_cipherlist',
      'tls_low_cipherlist',
      'tls_null_cipherlist',
      'address_verify_map',
      'postscreen_cache_map',
      'tlsproxy_client_policy_maps',
      'tlsproxy_client_security_level',
    ]),
    ...because('names, versions and directories are our own, or those of an unchanged Postfix', [
      'config_directory',
      'daemon_directory',
      'data_directory',
      'html_directory',
      'mail_name',
      'mail_owner',
      'mail_release_date',
      'mail_version',
      'manpage_directory',
      'process_id',
      'queue_directory',
      'readme_directory',
    ]),
    ...because('no TLS 1.0, no SHA-1 and no export ciphers unless they are asked for', [
      'lmtp_tls_mandatory_protocols',
      'lmtp_tls_protocols',
      'smtp_tls_mandatory_protocols',
      'smtp_tls_protocols',
      'smtpd_tls_mandatory_ciphers',
      'smtpd_tls_mandatory_protocols',
      'smtpd_tls_protocols',
      'tls_high_cipherlist',
      'tls_medium_cipherlist',
    ]),
    ...because('passwords are checked by the server itself', ['smtpd_sasl_type']),
    ...because('Debian adds nis:, which needs a service that hardly any host has', ['alias_maps']),
    ...because('queue ids are never used twice', ['enable_long_queue_ids']),
    ...because('a slow client may not hold a process', ['smtpd_per_request_deadline']),
    ...because('a list of words, without tables', ['smtpd_forbidden_commands']),
    ...because('old sites without relay restrictions relay for nobody', [
      'smtpd_recipient_restrictions',
    ]),
  ]),
};

function because(reason: string, names: readonly string[]): [string, string][] {
  return names.map((name) => [name, reason]);
}
export type MessageDifference = {
  readonly reason: string;
  /** The case, and reply and deliveries of both, as the test describes them. */
  readonly applies: (name: string, postfix: string, postern: string) => boolean;
};

/** test/compat/messages.test.ts */
export const MESSAGE_DIFFERENCES: readonly MessageDifference[] = [];

export type LookupDifference = {
  readonly reason: string;
  readonly applies: (lookup: {
    readonly table: string;
    /** The text of the table. */
    readonly text: string;
    readonly key: string;
    readonly theirs: string | undefined;
    readonly ours: string | undefined;
  }) => boolean;
};

/** test/compat/postmap.test.ts */
export const LOOKUP_DIFFERENCES: readonly LookupDifference[] = [
  {
    reason:
      'POSIX groups that are repeated, or alternatives of a whole pattern: where several fillings ' +
      'fit the longest match, the C library takes one by the order of its states, and sometimes ' +
      'text that the group cannot match; the rule that is chosen is the same',
    applies: ({ text, theirs, ours }) =>
      text.startsWith('# wild') && theirs?.split(' <')[0] === ours?.split(' <')[0],
  },
];

export type RemoteDifference = {
  readonly reason: string;
  readonly applies: (lookup: {
    readonly table: string;
    readonly settings: Readonly<Record<string, string | number>>;
    readonly key: string;
    /** `= VALUE`, `none` or `error`. */
    readonly theirs: string;
    readonly ours: string;
  }) => boolean;
};

/** test/compat/remote-tables.test.ts */
export const REMOTE_DIFFERENCES: readonly RemoteDifference[] = [
  {
    reason: 'Postfix 3.7 talks Latin-1 to PostgreSQL; newer ones, and we, UTF-8',
    applies: ({ table, key }) => table.startsWith('pgsql:') && /[^\x00-\x7f]/.test(key),
  },
  {
    reason: "a backslash in E'%s' stays one; there a key could end the constant",
    applies: ({ settings, key }) => key.includes('\\') && `${settings['query']}`.includes("E'"),
  },
  {
    reason: 'socketmap: `OK` without a blank is an empty value since Postfix 3.11',
    applies: ({ table, key, theirs, ours }) =>
      table.startsWith('socketmap:') && key === "'" && theirs === 'none' && ours === '= ',
  },
];
