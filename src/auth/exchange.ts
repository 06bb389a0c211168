/**
 * The AUTH exchange of RFC 4954 as a pure state machine, for PLAIN (RFC 4616) and LOGIN.
 *
 *   beginAuth --> challenge --> resumeAuth --> challenge ... --> verify --> settle
 *        \____________\________________\______________________________________ refuse
 *
 * The caller owns the socket, the clock and the password database. It sends what it is told to
 * send, feeds each line it reads to `resumeAuth`, has `verify` checked by the auth worker, and
 * hands the verdict to `settleAuth`. Nothing here waits, logs, or remembers: the whole state of an
 * exchange is the `Pending` value that goes out with a challenge and comes back with the answer.
 *
 * Reply codes and texts are those of Postfix where it has one.
 */
import { isUtf8 } from 'node:buffer';
import { challenge, type EnhancedStatus, type Reply, reply } from '../mail/reply.ts';
import { err, ok, type Result, unreachable } from '../util/result.ts';

/** What the server has asked for and not yet been told. */
export type Pending =
  | { readonly kind: 'plain' }
  | { readonly kind: 'login-name' }
  | { readonly kind: 'login-secret'; readonly username: string };

/** What the session must do next. */
export type Move =
  | { readonly kind: 'challenge'; readonly reply: Reply; readonly pending: Pending }
  | { readonly kind: 'verify'; readonly credentials: Credentials }
  | { readonly kind: 'refuse'; readonly reply: Reply };

export type Credentials = {
  readonly mechanism: 'PLAIN' | 'LOGIN';
  readonly username: string;
  readonly secret: Secret;
};

/** What the auth worker says of them. */
export type Verdict = 'accepted' | 'rejected' | 'unavailable';

/** A value that inspect() and JSON.stringify() cannot show, so that no log line ever will. */
export type Secret = { readonly reveal: () => string };

/** The facts of the session and of its configuration that AUTH depends on. */
export type AuthContext = {
  readonly offered: ReadonlySet<string>;
  readonly encrypted: boolean;
  /** smtpd_tls_auth_only */
  readonly tlsOnly: boolean;
  readonly authenticated: boolean;
  readonly inTransaction: boolean;
  /** smtpd_sasl_response_limit: longest line from the client, in bytes as sent (base64). */
  readonly responseLimit: number;
};

/** Start on the words that follow `AUTH`: a mechanism, and perhaps an initial response. */
export function beginAuth(words: readonly string[], session: AuthContext): Move {
  const [name = '', initial] = words;
  const mechanism = name.toUpperCase();
  if (session.offered.size === 0) return refuse(503, '5.5.1', 'Error: authentication not enabled');
  if (session.inTransaction) return refuse(503, '5.5.1', 'Error: MAIL transaction in progress');
  if (session.tlsOnly && !session.encrypted)
    return refuse(504, '5.5.4', 'Encryption required for requested authentication mechanism');
  if (session.authenticated) return refuse(503, '5.5.1', 'Error: already authenticated');
  if (words.length < 1 || words.length > 2) return refuse(501, '5.5.4', 'Syntax: AUTH mechanism');
  if (!session.offered.has(mechanism)) return INVALID_MECHANISM;

  switch (mechanism) {
    case 'PLAIN':
      if (initial === undefined) return ask('', { kind: 'plain' });
      return resumeAuth({ kind: 'plain' }, initial === '=' ? '' : initial, session);
    case 'LOGIN':
      if (initial === undefined) return ask('Username:', { kind: 'login-name' });
      return resumeAuth({ kind: 'login-name' }, initial === '=' ? '' : initial, session);
    default:
      return INVALID_MECHANISM;
  }
}

/** Take the client's answer to a challenge: one line, without its CRLF. */
export function resumeAuth(pending: Pending, line: string, session: AuthContext): Move {
  if (line === '*') return refuse(501, '5.7.0', 'Authentication aborted');
  if (line.length > session.responseLimit)
    return refuse(500, '5.5.6', 'SASL response limit exceeded');
  const decoded = decodeBase64(line);
  if (!decoded.ok) return refuse(501, '5.5.2', decoded.error);

  switch (pending.kind) {
    case 'plain': {
      const [authorize = '', username = '', secret = '', ...more] = decoded.value.split('\0');
      if (more.length > 0 || secret === '' || !isCleanName(username)) return REJECTED;
      if (authorize !== '' && authorize !== username) return REJECTED;
      return verify('PLAIN', username, secret);
    }
    case 'login-name':
      if (!isCleanName(decoded.value)) return REJECTED;
      return ask('Password:', { kind: 'login-secret', username: decoded.value });
    case 'login-secret':
      if (decoded.value === '') return REJECTED;
      return verify('LOGIN', pending.username, decoded.value);
    default:
      return unreachable(pending);
  }
}

/** The reply that ends an exchange. An outage is 454: on 535, clients forget the password. */
export function settleAuth(verdict: Verdict): Reply {
  switch (verdict) {
    case 'accepted':
      return reply(235, '2.7.0', 'Authentication successful');
    case 'rejected':
      return REJECTED.reply;
    case 'unavailable':
      return reply(454, '4.7.0', 'Temporary authentication failure');
    default:
      return unreachable(verdict);
  }
}

const refuse = (code: number, status: EnhancedStatus, text: string) =>
  ({ kind: 'refuse', reply: reply(code, status, text) }) as const;

const INVALID_MECHANISM = refuse(504, '5.5.4', 'Error: invalid authentication mechanism');
/** One answer for all bad credentials: it must not tell a wrong name from a wrong password. */
const REJECTED = refuse(535, '5.7.8', 'Error: authentication failed');

const ask = (prompt: string, pending: Pending): Move => ({
  kind: 'challenge',
  reply: challenge(prompt),
  pending,
});

const verify = (mechanism: Credentials['mechanism'], username: string, secret: string): Move => ({
  kind: 'verify',
  credentials: { mechanism, username, secret: { reveal: () => secret } },
});

/** Names end up in log lines, Received: headers and line-based protocols. */
const isCleanName = (name: string): boolean => name !== '' && !/[\x00-\x1f\x7f-\x9f]/.test(name);

function decodeBase64(text: string): Result<string, string> {
  const canonical = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/;
  if (!canonical.test(text)) return err('Error: malformed base64');
  const bytes = Buffer.from(text, 'base64');
  return isUtf8(bytes) ? ok(bytes.toString('utf8')) : err('Error: response is not UTF-8');
}
