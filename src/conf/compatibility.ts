/**
 * Old defaults that are in force because compatibility_level is below the level that changed them
 * and main.cf does not say otherwise.
 *
 * @see Postfix COMPATIBILITY_README
 */
import { compareLevels } from '../util/compat-level.ts';

/** From this level on every default is the newest. */
export const LAST_LEVEL = '3.11';

type Change = {
  readonly below: string;
  readonly name: string;
  /** Setting any of these decides too. */
  readonly or?: readonly string[];
};

const CHANGES: readonly Change[] = [
  { below: '1', name: 'append_dot_mydomain' },
  { below: '1', name: 'smtputf8_enable' },
  { below: '1', name: 'smtpd_relay_restrictions' },
  { below: '2', name: 'mynetworks_style', or: ['mynetworks'] },
  { below: '2', name: 'relay_domains' },
  { below: '3.6', name: 'smtpd_relay_before_recipient_restrictions' },
  { below: '3.6', name: 'smtp_tls_fingerprint_digest' },
  { below: '3.6', name: 'lmtp_tls_fingerprint_digest' },
  { below: '3.11', name: 'smtp_tls_security_level', or: ['smtp_use_tls', 'smtp_enforce_tls'] },
];

/** Names of the parameters that have an old default. */
export function oldDefaults(level: string, isSet: (name: string) => boolean): readonly string[] {
  return CHANGES.filter(
    ({ below, name, or = [] }) => compareLevels(level, below) < 0 && ![name, ...or].some(isSet),
  ).map(({ name }) => name);
}

/** What the start of the server says about it; empty at the newest level. */
export function compatibilityNotice(level: string): readonly string[] {
  if (compareLevels(level, LAST_LEVEL) >= 0) return [];
  return [
    'Postern is using backwards-compatible default settings',
    'See https://www.postfix.org/COMPATIBILITY_README.html for details',
    `To disable backwards compatibility use "postconf compatibility_level=${LAST_LEVEL}" and "postern reload"`,
  ];
}

/** What is logged where an old default makes a difference, as Postfix words it. */
export const oldDefaultNotice = (name: string, value: string): string =>
  `using backwards-compatible default setting ${name}=${value === '' ? '(empty)' : value}`;
