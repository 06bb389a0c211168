/** main.cf parameters: address classes, lookup tables, rewriting, and what cleanup does. */
import { bool, int, text } from './descriptor.ts';

export const DELIVERY_PARAMS = {
  default_database_type: text('hash', 'Type of a table that is named by its file alone.'),
  map_rebuild_enable: bool(
    'yes',
    'Use a changed table text once it has rested; no: warn, until postmap or postalias is run.',
  ),
  parent_domain_matches_subdomains: text(
    'debug_peer_list, fast_flush_domains, mynetworks, permit_mx_backup_networks, ' +
      'qmqpd_authorized_clients, relay_domains, smtpd_access_maps',
    'Parameters in which example.com also stands for its subdomains.',
  ),
  proxy_interfaces: text('', 'Addresses of this system on the far side of a proxy or NAT.'),

  virtual_alias_maps: text('$virtual_maps', 'Tables that redirect recipients of any domain.'),
  virtual_alias_domains: text('$virtual_alias_maps', 'Domains that hold nothing but aliases.'),
  virtual_alias_expansion_limit: int('1000', 'Addresses one recipient may expand to.', 1),
  virtual_alias_recursion_limit: int('1000', 'How deep virtual aliases may nest.', 1),
  virtual_alias_address_length_limit: int('1000', 'Longest address in an expansion.', 1),
  virtual_mailbox_domains: text('$virtual_mailbox_maps', 'Domains of $virtual_transport.'),
  virtual_mailbox_maps: text('', 'Mailboxes of virtual_mailbox_domains; empty accepts all.'),
  local_recipient_maps: text(
    'proxy:unix:passwd.byname $alias_maps',
    'Recipients of mydestination; empty accepts all.',
  ),
  relay_recipient_maps: text('', 'Recipients of relay_domains; empty accepts all.'),
  alias_maps: text('hash:/etc/aliases', 'Aliases of local recipients.'),
  alias_database: text('hash:/etc/aliases', 'Alias files that newaliases checks and indexes.'),
  propagate_unmatched_extensions: text(
    'canonical, virtual',
    'Tables whose results keep the extension of the address.',
  ),

  local_transport: text('local:$myhostname', 'Delivery of mydestination.'),
  virtual_transport: text('virtual', 'Delivery of virtual_mailbox_domains.'),
  relay_transport: text('relay', 'Delivery of relay_domains.'),
  default_transport: text('smtp', 'Delivery of everything else.'),
  transport_maps: text('', 'Tables from address or domain to transport:nexthop.'),
  relocated_maps: text('', 'Addresses that have moved, and where to.'),
  sender_dependent_relayhost_maps: text('', 'Relay host by sender address or @domain.'),
  sender_dependent_default_transport_maps: text('', 'Default transport by sender.'),
  empty_address_default_transport_maps_lookup_key: text('<>', 'Key of the null sender.'),
  empty_address_relayhost_maps_lookup_key: text('<>', 'Key of the null sender.'),
  resolve_numeric_domain: bool('no', 'Treat user@192.0.2.1 as user@[192.0.2.1].'),
  resolve_null_domain: bool('no', 'Treat an address that ends in @ as local.'),
  resolve_dequoted_address: bool('yes', 'Follow routes within quotes: "user@elsewhere"@here.'),
  empty_address_recipient: text('MAILER-DAEMON', 'Recipient of mail for the null address.'),
  allow_min_user: bool('no', 'Accept recipients that start with "-".'),
  show_user_unknown_table_name: bool('yes', 'Name the table in "User unknown" replies.'),
  relocated_prefix_enable: bool(
    'yes',
    'Put "5.1.6 User has moved to" in front of what relocated_maps says.',
  ),

  append_at_myorigin: bool('yes', 'Append @$myorigin to an address without a domain.'),
  append_dot_mydomain: bool(
    '${{$compatibility_level} <level {1} ? {yes} : {no}}',
    'Append .$mydomain to a domain without a dot.',
  ),
  swap_bangpath: bool('yes', 'Read domain!user as user@domain.'),
  allow_percent_hack: bool('yes', 'Read user%domain as user@domain.'),

  canonical_maps: text('', 'Tables that rewrite addresses in envelopes and headers.'),
  canonical_classes: text(
    'envelope_sender, envelope_recipient, header_sender, header_recipient',
    'Addresses that canonical_maps is for.',
  ),
  sender_canonical_maps: text('', 'The same for sender addresses, asked before canonical_maps.'),
  sender_canonical_classes: text(
    'envelope_sender, header_sender',
    'Addresses that sender_canonical_maps is for.',
  ),
  recipient_canonical_maps: text('', 'The same for recipients, asked before canonical_maps.'),
  recipient_canonical_classes: text(
    'envelope_recipient, header_recipient',
    'Addresses that recipient_canonical_maps is for.',
  ),
  masquerade_domains: text('', 'Domains that stand for all hosts below them; !domain does not.'),
  masquerade_classes: text(
    'envelope_sender, header_sender, header_recipient',
    'Addresses that masquerade_domains is for.',
  ),
  masquerade_exceptions: text('', 'User names that are not masqueraded.'),
  sender_bcc_maps: text('', 'Tables from a sender to an address that gets a copy.'),
  recipient_bcc_maps: text('', 'Tables from a recipient to an address that gets a copy.'),
  duplicate_filter_limit: int(
    '1000',
    'Recipients that are remembered to drop repetitions; 0: all.',
  ),

  header_checks: text('', 'Tables of patterns for message headers; see header_checks(5).'),
  mime_header_checks: text('$header_checks', 'The same for MIME headers.'),
  nested_header_checks: text('$header_checks', 'The same for headers of enclosed messages.'),
  body_checks: text('', 'Tables of patterns for lines of the body.'),
  body_checks_size_limit: int('51200', 'Bytes of each part that body_checks sees; 0: all.'),
  header_address_token_limit: int('10240', 'Tokens of an address header that are rewritten.', 1),
  line_length_limit: int(
    '2048',
    'Longest command line of smtpd; longer lines of a message are looked at in pieces of this size.',
    512,
  ),
  mime_nesting_limit: int('100', 'How deep multipart messages may nest.', 1),
  mime_boundary_length_limit: int('2048', 'Characters of a MIME boundary that count.', 1),
  disable_mime_input_processing: bool('no', 'Take everything behind the header for body text.'),
  strict_7bit_headers: bool('no', 'Refuse 8-bit text in headers.'),
  strict_8bitmime: bool('no', 'Both strict_7bit_headers and strict_8bitmime_body.'),
  strict_8bitmime_body: bool('no', 'Refuse 8-bit text in parts that do not announce it.'),
  strict_mime_encoding_domain: bool('no', 'Refuse encodings that MIME forbids for their type.'),
  non_empty_end_of_header_action: text(
    'fix_quietly',
    'When text ends a header: fix_quietly, add_header or reject.',
  ),
  message_reject_characters: text('', 'Characters that a message may not hold, as C escapes.'),
  message_strip_characters: text('', 'Characters that are taken out, as C escapes.'),
  receive_override_options: text(
    '',
    'Switch off, for one service: no_address_mappings, no_header_body_checks, ' +
      'no_unknown_recipient_checks.',
  ),

  undisclosed_recipients_header: text('', 'Header that is added when To and Cc are missing.'),
  remote_header_rewrite_domain: text(
    '',
    'Domain that completes header addresses of remote clients; empty: they stay as they are.',
  ),
  header_from_format: text('standard', 'Form of a From that is added: standard or obsolete.'),
  local_header_rewrite_clients: text(
    'permit_inet_interfaces',
    'Clients whose messages get missing headers: permit_inet_interfaces, permit_mynetworks, ' +
      'permit_sasl_authenticated, permit_tls_all_clientcerts.',
  ),
  always_add_missing_headers: bool('no', 'Add missing headers to every message.'),
  always_bcc: text('', 'A copy of every message goes here.'),
  hopcount_limit: int('50', 'Received headers from which on a message loops.', 1),
  header_size_limit: int('102400', 'Bytes of a message header that are examined.', 1024),
  message_drop_headers: text(
    'bcc, content-length, resent-bcc, return-path',
    'Headers that are removed.',
  ),
  enable_original_recipient: bool('yes', 'Keep recipients with different originals apart.'),
} as const;
