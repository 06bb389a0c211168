/**
 * Which of PLAIN and LOGIN a session may be offered: smtpd_sasl_mechanism_filter, and the security
 * options, which speak of properties that both mechanisms have or lack.
 */
import type { Config } from '../conf/params.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';

export type Mechanisms = {
  /** In the order of the EHLO reply; empty: no AUTH. */
  readonly clear: ReadonlySet<string>;
  readonly encrypted: ReadonlySet<string>;
};

type MechanismConfig = Pick<
  Config,
  'smtpd_sasl_auth_enable' | 'smtpd_sasl_security_options' | 'smtpd_sasl_tls_security_options'
>;

const ALL = ['PLAIN', 'LOGIN'];
/** Both send the password itself, and neither authenticates the server or keeps past secrets. */
const EXCLUDES: ReadonlyMap<string, boolean> = new Map([
  ['noplaintext', true],
  ['forward_secrecy', true],
  ['mutual_auth', true],
  ['noanonymous', false],
  ['noactive', false],
  ['nodictionary', false],
]);

/** @param isAllowed smtpd_sasl_mechanism_filter */
export function openMechanisms(
  config: MechanismConfig,
  isAllowed: (mechanism: string) => boolean,
): Result<Mechanisms, string> {
  const names = config.smtpd_sasl_auth_enable ? ALL.filter(isAllowed) : [];
  const under = (
    parameter: 'smtpd_sasl_security_options' | 'smtpd_sasl_tls_security_options',
  ): Result<ReadonlySet<string>, string> => {
    const words = splitList(config[parameter].toLowerCase());
    const unknown = words.find((word) => !EXCLUDES.has(word));
    if (unknown !== undefined) {
      return err(`${parameter}: unknown option ${unknown}; use ${[...EXCLUDES.keys()].join(', ')}`);
    }
    return ok(new Set(words.some((word) => EXCLUDES.get(word)) ? [] : names));
  };
  const clear = under('smtpd_sasl_security_options');
  const encrypted = under('smtpd_sasl_tls_security_options');
  if (!clear.ok) return clear;
  if (!encrypted.ok) return encrypted;
  return ok({ clear: clear.value, encrypted: encrypted.value });
}
