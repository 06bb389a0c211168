/**
 * The TLS of the SMTP client: levels, options for node:tls, and what a certificate proves.
 *
 * Every handshake is completed, whatever the certificate; `judge` then says how far it is to be
 * trusted, which the log tells at every level, and whether that satisfies the level. Below `verify`
 * anything does: opportunistic TLS hides mail from listeners and proves nothing. At `fingerprint`
 * the authority does not count. `verify` and `secure` differ in the names they accept; `dane` and
 * `dane-only` belong to a later version and are refused by name.
 *
 * @see postconf(5) smtp_tls_security_level, TLS_README "Security levels"
 */
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  getCACertificates,
  type PeerCertificate,
  type TLSSocket,
} from 'node:tls';
import type { Config } from '../conf/params.ts';
import { err, ok, type Result } from '../util/result.ts';
import { cipherList, parseProtocols } from './level.ts';

export type ClientLevel = 'none' | 'may' | 'encrypt' | 'fingerprint' | 'verify' | 'secure';

/** Which host this is about: the next hop as routed, and the host that was connected to. */
export type ClientTarget = { readonly nexthop: string; readonly host: string };

/** What does not change between connections: build it once per level. */
export type ClientTls = {
  readonly level: ClientLevel;
  /** Options for one connection, names included. */
  readonly optionsFor: (target: ClientTarget) => ConnectionOptions;
  /** After the handshake. */
  readonly judge: (
    socket: Pick<TLSSocket, 'authorized' | 'authorizationError' | 'getPeerCertificate'>,
    target: ClientTarget,
  ) => Trust;
};

/** What a server certificate is worth. */
export type Trust = {
  /** The first word of "Trusted TLS connection established to". */
  readonly status: 'Untrusted' | 'Trusted' | 'Verified';
  readonly isEnough: boolean;
  /** Why the chain is not trusted, as OpenSSL names it: `CERT_HAS_EXPIRED`. */
  readonly chainFault?: string;
};

export function clientLevel(
  config: Pick<Config, 'smtp_tls_security_level' | 'smtp_use_tls' | 'smtp_enforce_tls'>,
): Result<ClientLevel, string> {
  const text = config.smtp_tls_security_level.trim().toLowerCase();
  if (text !== '') return parseClientLevel('smtp_tls_security_level', text);
  if (config.smtp_enforce_tls) return ok('encrypt');
  return ok(config.smtp_use_tls ? 'may' : 'none');
}

export function parseClientLevel(parameter: string, text: string): Result<ClientLevel, string> {
  switch (text) {
    case 'none':
    case 'may':
    case 'encrypt':
    case 'fingerprint':
    case 'verify':
    case 'secure':
      return ok(text);
    case 'dane':
    case 'dane-only':
    case 'half-dane':
      return err(`${parameter} = ${text}: not implemented in this version; use may or secure`);
    default:
      return err(`${parameter} = ${text}: use none, may, encrypt, fingerprint, verify or secure`);
  }
}

/** Read what a level needs: protocols, ciphers, authorities. Reads files: at start, not per mail. */
export function openClientTls(config: Config, level: ClientLevel): Result<ClientTls, string> {
  const isMandatory = level !== 'none' && level !== 'may';
  const protocols = isMandatory
    ? parseProtocols('smtp_tls_mandatory_protocols', config.smtp_tls_mandatory_protocols)
    : parseProtocols('smtp_tls_protocols', config.smtp_tls_protocols);
  if (!protocols.ok) return protocols;
  if (level === 'fingerprint' && config.smtp_tls_fingerprint_digest !== 'sha256') {
    return err('smtp_tls_fingerprint_digest: only sha256 is possible');
  }
  const authorities = readAuthorities(config);
  if (!authorities.ok) return authorities;
  const { minVersion, maxVersion, secureOptions } = protocols.value;
  const grade = isMandatory ? config.smtp_tls_mandatory_ciphers : config.smtp_tls_ciphers;
  const excluded = isMandatory
    ? `${config.smtp_tls_exclude_ciphers} ${config.smtp_tls_mandatory_exclude_ciphers}`
    : config.smtp_tls_exclude_ciphers;
  const identity = readIdentity(config);
  if (!identity.ok) return identity;
  const ciphers = cipherList(config, grade, excluded, minVersion);
  const options: ConnectionOptions = {
    minVersion,
    maxVersion,
    ciphers,
    secureOptions: secureOptions | constants.SSL_OP_NO_RENEGOTIATION,
    ca: authorities.value,
    ...identity.value,
  };
  const context = contextOf(options, level);
  if (!context.ok) return context;
  return ok({
    level,
    optionsFor: (target) => {
      const servername = serverNameFor(config, level, target);
      return {
        ...context.value,
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
        ...(servername === '' ? {} : { servername }),
      };
    },
    judge: (socket, target) => judge(config, level, socket, target),
  });
}

/** One context for all connections; without TLS there is none to make. */
function contextOf(
  options: ConnectionOptions,
  level: ClientLevel,
): Result<ConnectionOptions, string> {
  if (level === 'none') return ok({});
  try {
    return ok({ ...options, secureContext: createSecureContext(options) });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return err(`TLS client: ${reason}; check the key, certificate, CA and cipher parameters`);
  }
}

function judge(
  config: Config,
  level: ClientLevel,
  socket: Parameters<ClientTls['judge']>[0],
  target: ClientTarget,
): Trust {
  const fault = socket.authorized ? undefined : `${socket.authorizationError}`;
  const isMatch = identityFault(config, level, target, socket.getPeerCertificate()) === undefined;
  const isVerified =
    level === 'fingerprint'
      ? isMatch
      : (level === 'verify' || level === 'secure') && isMatch && socket.authorized;
  return {
    status: isVerified ? 'Verified' : socket.authorized ? 'Trusted' : 'Untrusted',
    isEnough: isVerified || level === 'may' || level === 'encrypt',
    ...(fault === undefined ? {} : { chainFault: fault }),
  };
}

/** Whether the certificate bears a name that satisfies the level. Undefined when it does. */
export function identityFault(
  config: Pick<
    Config,
    'smtp_tls_verify_cert_match' | 'smtp_tls_secure_cert_match' | 'smtp_tls_fingerprint_cert_match'
  >,
  level: ClientLevel,
  target: ClientTarget,
  certificate: PeerCertificate,
): Error | undefined {
  if (level === 'fingerprint') {
    const wanted = words(config.smtp_tls_fingerprint_cert_match).map((text) => text.toUpperCase());
    return wanted.includes(certificate.fingerprint256)
      ? undefined
      : new Error('certificate fingerprint mismatch');
  }
  if (level !== 'verify' && level !== 'secure') return undefined;
  const strategies = words(
    level === 'verify' ? config.smtp_tls_verify_cert_match : config.smtp_tls_secure_cert_match,
  );
  return strategies.some((strategy) => bearsName(strategy, target, certificate))
    ? undefined
    : new Error(`server certificate not valid for ${target.nexthop}`);
}

function bearsName(strategy: string, target: ClientTarget, certificate: PeerCertificate): boolean {
  const nexthop = bareHost(target.nexthop);
  switch (strategy) {
    case 'hostname':
      return checkServerIdentity(bareHost(target.host), certificate) === undefined;
    case 'nexthop':
      return checkServerIdentity(nexthop, certificate) === undefined;
    case 'dot-nexthop':
      return bearsSubdomain(nexthop, certificate);
    default:
      return strategy.startsWith('.')
        ? bearsSubdomain(strategy.slice(1), certificate)
        : checkServerIdentity(strategy, certificate) === undefined;
  }
}

function bearsSubdomain(domain: string, { subjectaltname = '' }: PeerCertificate): boolean {
  const names = subjectaltname.split(', ').filter((name) => name.startsWith('DNS:'));
  return names.some((name) => name.slice(4).toLowerCase().endsWith(`.${domain.toLowerCase()}`));
}

function serverNameFor(config: Config, level: ClientLevel, target: ClientTarget): string {
  const { smtp_tls_servername: wanted } = config;
  const name =
    wanted === 'hostname'
      ? target.host
      : wanted === 'nexthop'
        ? bareHost(target.nexthop)
        : wanted !== ''
          ? wanted
          : level === 'verify' || level === 'secure'
            ? target.host
            : '';
  return isIP(bareHost(name)) ? '' : name;
}

function readAuthorities(config: Config): Result<string[], string> {
  const system = config.tls_append_default_CA ? getCACertificates('system') : [];
  if (config.smtp_tls_CAfile === '') return ok(system);
  try {
    return ok([readFileSync(config.smtp_tls_CAfile, 'utf8'), ...system]);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return err(`smtp_tls_CAfile: cannot read ${config.smtp_tls_CAfile}: ${reason}`);
  }
}

/** The client's own key and certificate chain: smtp_tls_chain_files, or smtp_tls_cert_file. */
function readIdentity(config: Config): Result<{ key?: string; cert?: string }, string> {
  const files = words(config.smtp_tls_chain_files);
  const [keyFiles, certFiles] =
    files.length > 0
      ? [files, files]
      : config.smtp_tls_cert_file === ''
        ? [[], []]
        : [[config.smtp_tls_key_file], [config.smtp_tls_cert_file]];
  if (certFiles.length === 0) return ok({});
  try {
    const read = (names: readonly string[]): string =>
      names.map((name) => readFileSync(name, 'utf8')).join('\n');
    return ok({ key: read(keyFiles), cert: read(certFiles) });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return err(`client certificate: ${reason}; check smtp_tls_cert_file and smtp_tls_key_file`);
  }
}

/** `[mail.example.com]:587` becomes `mail.example.com`. */
const bareHost = (nexthop: string): string =>
  nexthop.replace(/^\[(?:ipv6:)?([^\]]*)\](?::.*)?$/i, '$1').replace(/^([^:]+):\w+$/, '$1');

const words = (text: string): string[] => text.split(/[\s,|]+/).filter((word) => word !== '');
