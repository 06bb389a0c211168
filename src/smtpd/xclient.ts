/**
 * XCLIENT for smtpd_authorized_xclient_hosts: the session goes on as another client's.
 *
 * Values are xtext; `[UNAVAILABLE]` and `[TEMPUNAVAIL]` stand for what is not known. The command as a
 * whole is taken or refused.
 *
 * @see XCLIENT_README
 */
import { isIP } from 'node:net';
import { reply } from '../mail/reply.ts';
import { decodeXtext } from '../mail/smtp-grammar.ts';
import type { Peer, Session } from '../mail/stages.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { PosternConnection } from './connection.ts';

type Change = {
  peer: { -readonly [K in keyof Peer]?: Peer[K] };
  isNameTemporary: boolean;
  helo: string;
  protocol: Session['protocol'];
  login?: Session['login'];
};

const UNKNOWN: ReadonlySet<string> = new Set(['[UNAVAILABLE]', '[TEMPUNAVAIL]']);

export function runXclient(c: PosternConnection, rest: string): void {
  if (!c.standing.mayXclient) {
    c.send_(reply(550, '5.7.0', 'Error: insufficient authorization'));
    return;
  }
  if (c.transaction) {
    c.send_(reply(503, '5.5.1', 'Error: MAIL transaction in progress'));
    return;
  }
  if (rest === '') {
    c.send_(reply(501, '5.5.4', 'Syntax: XCLIENT attribute=value...'));
    return;
  }
  const change = parseXclient(rest.split(/\s+/), c.session_);
  if (!change.ok) {
    c.send_(reply(501, '5.5.4', change.error));
    return;
  }
  const { peer, helo, protocol, isNameTemporary, login } = change.value;
  const { login: _old, ...kept } = c.session_;
  c.peer = { ...c.peer, ...peer };
  c.isNameTemporary = isNameTemporary;
  c.groups = [];
  c.session_ = { ...kept, peer: c.peer, helo, protocol, ...(login ? { login } : {}) };
  c._sendGreeting();
}

function parseXclient(words: readonly string[], session: Session): Result<Change, string> {
  const change: Change = {
    peer: {},
    isNameTemporary: false,
    helo: '',
    protocol: 'SMTP',
    ...(session.login ? { login: session.login } : {}),
  };
  for (const word of words) {
    const equals = word.indexOf('=');
    const name = word.slice(0, Math.max(0, equals)).toUpperCase();
    const raw = word.slice(equals + 1);
    const isUnknown = UNKNOWN.has(raw.toUpperCase());
    const value = isUnknown ? '' : decodeXtext(raw);
    if (equals < 0 || value === undefined) return err(`Bad ${name || word} attribute syntax`);
    const fault = apply(change, name, value, raw.toUpperCase() === '[TEMPUNAVAIL]');
    if (fault !== undefined) return err(fault);
  }
  return ok(change);
}

function apply(
  change: Change,
  name: string,
  value: string,
  isTemporary: boolean,
): string | undefined {
  switch (name) {
    case 'NAME':
      if (value !== '' && !/^[A-Za-z0-9._-]{1,255}$/.test(value)) return 'Bad NAME attribute value';
      change.peer.name = value || 'unknown';
      change.peer.reverseName = value || 'unknown';
      change.isNameTemporary = isTemporary;
      return undefined;
    case 'REVERSE_NAME':
      if (value !== '' && !/^[A-Za-z0-9._-]{1,255}$/.test(value)) return 'Bad NAME attribute value';
      change.peer.reverseName = value || 'unknown';
      return undefined;
    case 'ADDR': {
      const address = value.replace(/^IPV6:/i, '').toLowerCase();
      if (value !== '' && isIP(address) === 0) return 'Bad ADDR attribute value';
      change.peer.address = address || 'unknown';
      return undefined;
    }
    case 'PORT':
    case 'DESTPORT':
      if (!/^\d{0,5}$/.test(value)) return `Bad ${name} attribute value`;
      if (name === 'PORT') change.peer.port = Number(value);
      else change.peer.localPort = Number(value);
      return undefined;
    case 'DESTADDR':
      if (value !== '' && isIP(value.replace(/^IPV6:/i, '')) === 0)
        return 'Bad DESTADDR attribute value';
      change.peer.localAddress = value.replace(/^IPV6:/i, '');
      return undefined;
    case 'HELO':
      change.helo = value.slice(0, 255);
      return undefined;
    case 'PROTO':
      if (!/^(?:SMTP|ESMTP|)$/i.test(value)) return 'Bad PROTO attribute value';
      change.protocol = /^E/i.test(value) ? 'ESMTP' : 'SMTP';
      return undefined;
    case 'LOGIN':
      if (value === '') delete change.login;
      else change.login = { username: value, method: 'XCLIENT' };
      return undefined;
    default:
      return `Bad ${name} attribute name`;
  }
}
