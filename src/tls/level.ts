/**
 * Security levels, protocol lists and cipher grades of main.cf, in the terms of node:tls.
 *
 * @see postconf(5) smtpd_tls_security_level, smtpd_tls_mandatory_protocols, smtpd_tls_ciphers
 */
import { constants } from 'node:crypto';
import type { SecureVersion } from 'node:tls';
import type { Config } from '../conf/params.ts';
import { err, ok, type Result } from '../util/result.ts';

export type ServerLevel = 'none' | 'may' | 'encrypt';

export type ProtocolRange = {
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion;
  /** SSL_OP_NO_* of versions left out within the range. */
  readonly secureOptions: number;
};

const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
const NO_VERSION: Readonly<Record<(typeof VERSIONS)[number], number>> = {
  TLSv1: constants.SSL_OP_NO_TLSv1,
  'TLSv1.1': constants.SSL_OP_NO_TLSv1_1,
  'TLSv1.2': constants.SSL_OP_NO_TLSv1_2,
  'TLSv1.3': constants.SSL_OP_NO_TLSv1_3,
};

/** The level of a service; wrapper mode does not change it. */
export function serverLevel(
  config: Pick<Config, 'smtpd_tls_security_level' | 'smtpd_use_tls' | 'smtpd_enforce_tls'>,
): Result<ServerLevel, string> {
  const level = config.smtpd_tls_security_level.trim().toLowerCase();
  switch (level) {
    case '':
      if (config.smtpd_enforce_tls) return ok('encrypt');
      return ok(config.smtpd_use_tls ? 'may' : 'none');
    case 'none':
    case 'may':
    case 'encrypt':
      return ok(level);
    default:
      return err(`smtpd_tls_security_level = ${level}: use none, may or encrypt`);
  }
}

/**
 * Read a protocol list: `>=TLSv1.2`, `<=TLSv1.3`, `!TLSv1`, `TLSv1.2 TLSv1.3`. SSLv2 and SSLv3 may
 * be excluded, and are never there.
 */
export function parseProtocols(parameter: string, value: string): Result<ProtocolRange, string> {
  let allowed = new Set<string>(VERSIONS);
  const named = new Set<string>();
  for (const word of value.split(/[\s,:]+/).filter((part) => part !== '')) {
    const { sign = '', name = '' } = /^(?<sign>>=|<=|!)?(?<name>.+)$/.exec(word)?.groups ?? {};
    if (/^SSLv[23]$/i.test(name) && sign !== '<=') continue;
    const version = VERSIONS.find(
      (known) => known.toLowerCase() === name.toLowerCase().replace(/^tlsv1\.0$/, 'tlsv1'),
    );
    if (!version) return err(`${parameter} = ${value}: unknown protocol ${name}`);
    const at = VERSIONS.indexOf(version);
    if (sign === '!') allowed.delete(version);
    else if (sign === '') named.add(version);
    else {
      const isKept = (i: number): boolean => (sign === '>=' ? i >= at : i <= at);
      allowed = new Set(VERSIONS.filter((v, i) => allowed.has(v) && isKept(i)));
    }
  }
  if (named.size > 0) allowed = allowed.intersection(named);
  const kept = VERSIONS.filter((version) => allowed.has(version));
  const [minVersion] = kept;
  const maxVersion = kept.at(-1);
  if (!minVersion || !maxVersion) return err(`${parameter} = ${value}: leaves no protocol`);
  const holes = VERSIONS.slice(VERSIONS.indexOf(minVersion), VERSIONS.indexOf(maxVersion))
    .filter((version) => !allowed.has(version))
    .map((version) => NO_VERSION[version]);
  return ok({ minVersion, maxVersion, secureOptions: holes.reduce((sum, bit) => sum | bit, 0) });
}

/** The OpenSSL cipher list of a grade, less the excluded ones. */
export function cipherList(
  config: Pick<Config, 'tls_high_cipherlist' | 'tls_medium_cipherlist'>,
  grade: string,
  excluded: string,
  minVersion: SecureVersion,
): string {
  const list =
    grade.toLowerCase() === 'high' ? config.tls_high_cipherlist : config.tls_medium_cipherlist;
  const minus = excluded.split(/[\s,:]+/).filter((name) => name !== '');
  // OpenSSL 3 signs TLS 1.0 and 1.1 handshakes with SHA-1, which security level 1 forbids.
  const isOld = minVersion === 'TLSv1' || minVersion === 'TLSv1.1';
  return [list, ...minus.map((name) => `!${name}`), ...(isOld ? ['@SECLEVEL=0'] : [])].join(':');
}
