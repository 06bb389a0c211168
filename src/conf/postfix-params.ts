/**
 * Every parameter of Postfix 3.11: name, type, least and most, and its default as postconf(5) writes
 * it. Postern's own descriptors (params.ts) come first; this table is for what they leave out, so
 * that a setting without effect is told apart from a typing error, and for the ranges.
 *
 * A row of postfix-rows-*.ts is `name|type|least|most|default`. Ranges are of the number, the seconds, or the length of
 * the text; a most of 0 means no limit. Types: str, raw (never expanded), int, bool, time.
 *
 * @see postconf(5)
 */
import { ROWS_A_L } from './postfix-rows-a-l.ts';
import { ROWS_M_Z } from './postfix-rows-m-z.ts';

export type PostfixParam = {
  readonly type: 'str' | 'raw' | 'int' | 'bool' | 'time';
  readonly min: number;
  readonly max: number;
  readonly default: string;
};

export const POSTFIX_PARAMETERS: ReadonlyMap<string, PostfixParam> = new Map(
  `${ROWS_A_L}${ROWS_M_Z}`
    .split('\n')
    .filter((row) => row !== '')
    .map((row) => {
      const [name = '', type = '', min = '', max = '', ...rest] = row.trim().split('|');
      const text = rest.join('|');
      return [name, { type: typeOf(type), min: Number(min), max: Number(max), default: text }];
    }),
);

function typeOf(text: string): PostfixParam['type'] {
  switch (text) {
    case 'raw':
    case 'int':
    case 'bool':
    case 'time':
      return text;
    default:
      return 'str';
  }
}

/** Old names that Postfix still reads as the default of their successors. */
export const LEGACY_PARAMETERS: ReadonlySet<string> = new Set([
  'virtual_maps',
  'fallback_relay',
  'authorized_verp_clients',
  'smtpd_client_connection_limit_exceptions',
  'postscreen_dnsbl_ttl',
  'postscreen_blacklist_action',
  'postscreen_dnsbl_whitelist_threshold',
  'postscreen_whitelist_interfaces',
  'lmtp_per_record_deadline',
  'smtp_per_record_deadline',
  'smtpd_per_record_deadline',
  'tlsproxy_client_level',
  'tlsproxy_client_policy',
]);

/** Set by Postfix itself; an assignment is ignored with a warning. */
export const READ_ONLY_PARAMETERS: ReadonlySet<string> = new Set([
  'process_id',
  'process_name',
  'service_name',
]);
