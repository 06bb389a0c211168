/** main.cf parameters: address classes, lookup tables, rewriting, and what cleanup does. */
import { bool, int, text } from './descriptor.ts';

export const DELIVERY_PARAMS = {
  default_database_type: text('hash', 'Type of a table that is named by its file alone.'),
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

  append_at_myorigin: bool('yes', 'Append @$myorigin to an address without a domain.'),
  append_dot_mydomain: bool(
    '${{$compatibility_level} <level {1} ? {yes} : {no}}',
    'Append .$mydomain to a domain without a dot.',
  ),
  swap_bangpath: bool('yes', 'Read domain!user as user@domain.'),
  allow_percent_hack: bool('yes', 'Read user%domain as user@domain.'),

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
