/** AUTH: the exchange of auth/exchange.ts on the wire, the verdict of the auth process, the log. */
import {
  type AuthContext,
  beginAuth,
  type Credentials,
  type Move,
  type Pending,
  resumeAuth,
  settleAuth,
} from '../auth/exchange.ts';
import { printable } from '../log/maillog.ts';
import { rateRefusal } from './admission.ts';
import type { PosternConnection } from './connection.ts';

const NONE: ReadonlySet<string> = new Set();

/** What this session is offered now: nothing before TLS where smtpd_tls_auth_only says so. */
export function offeredMechanisms(c: PosternConnection): ReadonlySet<string> {
  const { auth, mechanisms } = c.parts;
  if (!auth || c.standing.isSaslException) return NONE;
  return c.secure ? mechanisms.encrypted : mechanisms.clear;
}

/** For the EHLO list; empty: AUTH is not announced. */
export const announcedMechanisms = (c: PosternConnection): string =>
  c.secure || !c.parts.config.smtpd_tls_auth_only ? [...offeredMechanisms(c)].join(' ') : '';

export async function runAuth(c: PosternConnection, rest: string): Promise<void> {
  const { config } = c.parts;
  const words = rest === '' ? [] : rest.split(/[ \t]+/);
  const move = beginAuth(words, contextOf(c));
  if (move.kind === 'refuse') {
    c.send_(move.reply);
    return;
  }
  const tooOften = await rateRefusal(
    c,
    'auth',
    config.smtpd_client_auth_rate_limit,
    'AUTH command rate',
    'too many AUTH commands',
  );
  if (tooOften) {
    c.send_(tooOften);
    return;
  }
  await follow(c, move, (words[0] ?? '').toUpperCase());
}

const contextOf = (c: PosternConnection): AuthContext => ({
  offered: offeredMechanisms(c),
  encrypted: c.secure,
  tlsOnly: c.parts.config.smtpd_tls_auth_only,
  authenticated: c.session_.login !== undefined,
  inTransaction: c.transaction !== undefined,
  responseLimit: c.parts.config.smtpd_sasl_response_limit,
});

async function follow(c: PosternConnection, move: Move, mechanism: string): Promise<void> {
  switch (move.kind) {
    case 'challenge':
      c.send_(move.reply);
      awaitAnswer(c, move.pending, mechanism);
      return;
    case 'refuse':
      failed(c, mechanism, '', move.reply.lines[0]);
      c.noteFailure('auth');
      c.send_(move.reply);
      return;
    case 'verify':
      await verify(c, move.credentials);
  }
}

function awaitAnswer(c: PosternConnection, pending: Pending, mechanism: string): void {
  const limit = c.parts.config.smtpd_sasl_response_limit;
  c.expectLine((line) => follow(c, resumeAuth(pending, line, contextOf(c)), mechanism), limit + 64);
}

async function verify(c: PosternConnection, credentials: Credentials): Promise<void> {
  const { mechanism, username, secret } = credentials;
  const answer = (await c.parts.auth?.verify(username, secret.reveal(), c.peer.address)) ?? {
    kind: 'unavailable' as const,
  };
  if (answer.kind === 'accepted') {
    c.changeSession({ login: { username: answer.username, method: mechanism } });
    c.groups = answer.groups;
  } else {
    const why = answer.kind === 'rejected' ? 'authentication failure' : 'temporary failure';
    failed(c, mechanism, username, why);
    c.noteFailure('auth');
  }
  c.send_(settleAuth(answer.kind));
}

function failed(c: PosternConnection, mechanism: string, username: string, why: string): void {
  const who = username === '' ? '' : `, sasl_username=${printable(username)}`;
  c.parts.logger.warning(
    `${c.client}: SASL ${printable(mechanism)} authentication failed: ${printable(why)}${who}`,
  );
}
