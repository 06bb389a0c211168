/** main.cf parameters of the SMTP server's logins. smtp_sasl_* are the client's: params-smtp.ts. */
import { bool, int, text, time } from './descriptor.ts';

export const AUTH_PARAMS = {
  smtpd_sasl_auth_enable: bool('no', 'Offer AUTH to SMTP clients.'),
  smtpd_sasl_type: text(
    'postern',
    'Who checks passwords. Only "postern": the server itself, by smtpd_sasl_backends.',
  ),
  smtpd_sasl_backends: text(
    'passwd:$config_directory/passwd',
    'Where login users are kept; the first place that knows a user decides.',
  ),
  smtpd_sasl_security_options: text(
    'noanonymous',
    'Mechanisms that are left out of an unencrypted session: noplaintext, noanonymous.',
  ),
  smtpd_sasl_tls_security_options: text(
    '$smtpd_sasl_security_options',
    'Mechanisms that are left out of an encrypted session.',
  ),
  smtpd_sasl_mechanism_filter: text(
    '!external, static:rest',
    'Mechanisms that may be offered, of PLAIN and LOGIN: names, !names, static:rest.',
  ),
  smtpd_sasl_authenticated_header: bool('no', 'Write the login name into Received:.'),
  smtpd_sasl_exceptions_networks: text('', 'Clients to whom AUTH is not offered.'),
  smtpd_sasl_response_limit: int('12288', 'Longest line of a client in an AUTH exchange, bytes.'),
  broken_sasl_auth_clients: bool('no', 'Also announce AUTH in the form of old Outlook clients.'),
  smtpd_sasl_failure_delay: time(
    '1s',
    'A failed login is answered no sooner than this after it began.',
  ),
  smtpd_sasl_request_timeout: time(
    '20s',
    'How long smtpd waits for the auth process before it answers 454.',
  ),
  smtpd_sasl_queue_limit: int('32', 'Password checks that wait for a processor before 454.', 1),
  smtpd_sasl_cache_size: int(
    '10000',
    'Successful password checks to remember, so that a reconnect costs no hash; 0 turns it off.',
  ),
  smtpd_sasl_cache_time: time('1h', 'How long a successful password check is remembered.'),
} as const;
