/** main.cf parameters: TLS of the SMTP server and of the SMTP client. */
import { bool, int, text, time } from './descriptor.ts';

export const TLS_PARAMS = {
  smtpd_tls_security_level: text('', 'none, may or encrypt; empty: by the obsolete parameters.'),
  smtpd_use_tls: bool('no', 'Obsolete form of smtpd_tls_security_level = may.'),
  smtpd_enforce_tls: bool('no', 'Obsolete form of smtpd_tls_security_level = encrypt.'),
  smtpd_tls_auth_only: bool('no', 'No AUTH in an unencrypted session.'),
  smtpd_tls_wrappermode: bool('no', 'TLS from the first byte (port 465).'),
  smtpd_tls_chain_files: text(
    '',
    'PEM files, each private key before its certificate chain; they replace the cert/key pairs.',
  ),
  smtpd_tls_cert_file: text('', 'PEM file with the RSA server certificate and its chain.'),
  smtpd_tls_key_file: text('$smtpd_tls_cert_file', 'PEM file with its private key.'),
  smtpd_tls_eccert_file: text('', 'PEM file with the ECDSA server certificate and its chain.'),
  smtpd_tls_eckey_file: text('$smtpd_tls_eccert_file', 'PEM file with its private key.'),
  smtpd_tls_protocols: text(
    '>=TLSv1.2',
    'Protocols with level may. Unlike Postfix (>=TLSv1), old ones are off unless asked for.',
  ),
  smtpd_tls_mandatory_protocols: text('>=TLSv1.2', 'Protocols with level encrypt.'),
  smtpd_tls_ciphers: text('medium', 'Lowest cipher grade with level may.'),
  smtpd_tls_mandatory_ciphers: text(
    'high',
    'Lowest cipher grade with level encrypt. Unlike Postfix (medium): no SHA-1 MACs.',
  ),
  smtpd_tls_exclude_ciphers: text('', 'Ciphers never used by the server.'),
  smtpd_tls_mandatory_exclude_ciphers: text('', 'Ciphers not used with level encrypt.'),
  smtpd_tls_req_ccert: bool(
    'no',
    'Require a client certificate. Not implemented: with yes the service does not start.',
  ),
  smtpd_tls_loglevel: int('0', 'How much of TLS is logged: 0 to 4.', 0, 4),
  smtpd_tls_received_header: bool('no', 'Write protocol and cipher into Received:.'),
  smtpd_tls_session_cache_timeout: time('3600s', 'How long a TLS session may be resumed.'),
  smtpd_starttls_timeout: time(
    '${stress?{10}:{300}}s',
    'Limit for the TLS handshake of the server.',
  ),

  smtp_tls_security_level: text(
    '${{$compatibility_level} <level {3.11} ? {} : {may}}',
    'none, may, encrypt, verify, secure, fingerprint, dane or dane-only; empty: none.',
  ),
  smtp_use_tls: bool('no', 'Obsolete form of smtp_tls_security_level = may.'),
  smtp_enforce_tls: bool('no', 'Obsolete form of smtp_tls_security_level = encrypt.'),
  smtp_tls_wrappermode: bool('no', 'TLS from the first byte, towards port 465.'),
  smtp_tls_CAfile: text('', 'PEM file of the authorities that server certificates must come from.'),
  smtp_tls_cert_file: text('', 'PEM file with the RSA client certificate.'),
  smtp_tls_key_file: text('$smtp_tls_cert_file', 'PEM file with its private key.'),
  smtp_tls_chain_files: text('', 'PEM files with client keys and chains.'),
  smtp_tls_protocols: text('>=TLSv1.2', 'Protocols with level may. Unlike Postfix (>=TLSv1).'),
  smtp_tls_mandatory_protocols: text('>=TLSv1.2', 'Protocols with level encrypt and above.'),
  smtp_tls_ciphers: text('medium', 'Lowest cipher grade with level may.'),
  smtp_tls_mandatory_ciphers: text('medium', 'Lowest cipher grade with level encrypt and above.'),
  smtp_tls_exclude_ciphers: text('', 'Ciphers never used by the client.'),
  smtp_tls_mandatory_exclude_ciphers: text('', 'Ciphers not used with level encrypt and above.'),
  smtp_tls_verify_cert_match: text('hostname', 'Names that satisfy level verify.'),
  smtp_tls_secure_cert_match: text('nexthop, dot-nexthop', 'Names that satisfy level secure.'),
  smtp_tls_fingerprint_cert_match: text('', 'Certificate digests for level fingerprint.'),
  smtp_tls_fingerprint_digest: text(
    '${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}',
    'Digest of smtp_tls_fingerprint_cert_match.',
  ),
  smtp_tls_servername: text('', 'Name sent in the TLS handshake; empty: none below level verify.'),
  smtp_tls_policy_maps: text('', 'Security level by next hop.'),
  smtp_tls_loglevel: int('0', 'How much of TLS is logged: 0 to 4.', 0, 4),
  smtp_tls_note_starttls_offer: bool('no', 'Log hosts that offer STARTTLS when it is off.'),
  smtp_starttls_timeout: time('300s', 'Limit for the TLS handshake of the client.'),

  tls_append_default_CA: bool('no', 'Also trust the authorities of the system.'),
  tls_preempt_cipherlist: bool('no', 'Prefer the server order of ciphers.'),
  tls_high_cipherlist: text(
    'ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM:DHE+AESGCM:DHE+CHACHA20:!aNULL:!eNULL:!DSS:!PSK',
    'OpenSSL cipher list of grade high.',
  ),
  tls_medium_cipherlist: text(
    'HIGH:!aNULL:!eNULL:!3DES:!RC4:!PSK:!SRP:!DSS',
    'OpenSSL cipher list of grade medium.',
  ),
} as const;
