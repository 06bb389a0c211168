/**
 * The TLS of the SMTP server, as options for node:tls and smtp-server.
 *
 * TLS 1.2 at least unless main.cf asks for less, no renegotiation, no HTTP over ALPN, and tickets
 * that resume in every process of the same service and in no other one.
 *
 * @see reference: RFC 8996, RFC 7301; ALPACA (USENIX Security 2021)
 */
import { constants, createHash, hkdfSync } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Config } from '../conf/params.ts';
import type { KeyMaterial } from '../ipc/protocol.ts';
import { err, ok, type Result } from '../util/result.ts';
import { cipherList, parseProtocols, serverLevel } from './level.ts';

export type ServerTlsOptions = SecureContextOptions & {
  readonly cert: string[];
  readonly key: string[];
  readonly sessionIdContext: string;
  /** No client certificates: with smtpd_tls_req_ccert the service does not start. */
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  readonly ALPNCallback: AlpnCallback;
};

/** The protocol to use, or undefined to end the handshake. Never throws. */
export type AlpnCallback = (offer: {
  readonly servername: string;
  readonly protocols: readonly string[];
}) => string | undefined;

/**
 * @param ticketKeys 48 bytes in base64, of master; each service derives its own from them
 * @param service master.cf name of the row
 */
export function serverTlsOptions(
  config: Config,
  keys: readonly KeyMaterial[],
  ticketKeys: string,
  service: string,
): Result<ServerTlsOptions, string> {
  const level = serverLevel(config);
  if (!level.ok) return level;
  const isMandatory = level.value === 'encrypt' || config.smtpd_tls_wrappermode;
  const protocols = isMandatory
    ? parseProtocols('smtpd_tls_mandatory_protocols', config.smtpd_tls_mandatory_protocols)
    : parseProtocols('smtpd_tls_protocols', config.smtpd_tls_protocols);
  if (!protocols.ok) return protocols;
  const { minVersion, maxVersion, secureOptions } = protocols.value;
  const grade = isMandatory ? config.smtpd_tls_mandatory_ciphers : config.smtpd_tls_ciphers;
  const excluded = isMandatory
    ? `${config.smtpd_tls_exclude_ciphers} ${config.smtpd_tls_mandatory_exclude_ciphers}`
    : config.smtpd_tls_exclude_ciphers;
  return ok({
    cert: keys.map(({ certPem }) => certPem),
    key: keys.map(({ keyPem }) => keyPem),
    minVersion,
    maxVersion,
    ciphers: cipherList(config, grade, excluded, minVersion),
    honorCipherOrder: config.tls_preempt_cipherlist,
    secureOptions:
      secureOptions | constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
    sessionIdContext: createHash('sha256').update(`smtpd ${service}`).digest('hex').slice(0, 32),
    sessionTimeout: config.smtpd_tls_session_cache_timeout,
    ticketKeys: serviceTicketKeys(ticketKeys, service),
    requestCert: false,
    rejectUnauthorized: false,
    ALPNCallback: refuseForeignProtocol,
  });
}

/** A context for TLSSocket; the error is OpenSSL's, for the log. */
export function serverContext(options: ServerTlsOptions): Result<SecureContext, string> {
  try {
    return ok(createSecureContext(options));
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

/**
 * A browser or another cross-protocol client is turned away in the handshake. Mail clients offer no
 * ALPN at all; one that offers something else than HTTP gets its first choice.
 */
export const refuseForeignProtocol: AlpnCallback = ({ protocols }) =>
  protocols.some((name) => /^(?:h2c?|h3|http\/.*|spdy\/.*|ftp|imap|pop3)$/i.test(name))
    ? undefined
    : protocols[0];

function serviceTicketKeys(ticketKeys: string, service: string): Buffer {
  const secret = Buffer.from(ticketKeys, 'base64');
  return Buffer.from(hkdfSync('sha256', secret, '', `tickets of smtpd ${service}`, 48));
}
