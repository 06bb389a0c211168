/**
 * XCLIENT for smtpd_authorized_xclient_hosts: the session goes on as another client's.
 *
 * Values are xtext; `[UNAVAILABLE]` and `[TEMPUNAVAIL]` stand for what is not known. The command as a
 * whole is taken or refused. What it does not name of HELO, protocol and login is forgotten; name
 * and address stay.
 *
 * @see XCLIENT_README
 */
import { isIP } from 'node:net';
import { printable } from '../log/maillog.ts';
import { reply } from '../mail/reply.ts';
import { decodeXtext } from '../mail/smtp-grammar.ts';
import type { Peer, Session } from '../mail/stages.ts';
import { isValidHostname } from '../restrict/host-checks.ts';
import { err, ok, type Result } from '../util/result.ts';
import { clientRefusal, standingOf } from './admission.ts';
import type { PosternConnection } from './connection.ts';

type Change = {
  peer: { -readonly [K in keyof Peer]?: Peer[K] };
  isNameTemporary?: boolean;
  helo: string;
  protocol: Session['protocol'];
  login?: Session['login'];
};

const UNAVAILABLE = '[UNAVAILABLE]';
const TEMPORARY = '[TEMPUNAVAIL]';
const MAX_VALUE = 255;

export async function runXclient(c: PosternConnection, rest: string): Promise<void> {
  if (c.transaction) {
    c.send_(reply(503, '5.5.1', 'Error: MAIL transaction in progress'));
    return;
  }
  if (rest === '') {
    c.send_(reply(501, '5.5.4', 'Syntax: XCLIENT attribute=value...'));
    return;
  }
  if (!c.standing.mayXclient) {
    c.send_(reply(550, '5.7.0', 'Error: insufficient authorization'));
    return;
  }
  const change = parseXclient(rest.split(/\s+/));
  if (!change.ok) {
    c.send_(reply(501, '5.5.4', change.error));
    return;
  }
  const { peer, helo, protocol, isNameTemporary } = change.value;
  const login = c.parts.config.smtpd_sasl_auth_enable ? change.value.login : undefined;
  const { login: _old, ...kept } = c.session_;
  c.peer = { ...c.peer, ...peer };
  if (isNameTemporary !== undefined) c.isNameTemporary = isNameTemporary;
  c.groups = [];
  c.session_ = { ...kept, peer: c.peer, helo, protocol, ...(login ? { login } : {}) };
  // The new client's rights, not those of the one that speaks for it.
  c.standing = await standingOf(c);
  const refusal = await clientRefusal(c);
  if (refusal) c.send_(refusal);
  else c._sendGreeting();
}

function parseXclient(words: readonly string[]): Result<Change, string> {
  const change: Change = { peer: {}, helo: '', protocol: 'SMTP' };
  for (const word of words) {
    const equals = word.indexOf('=');
    const value = word.slice(equals + 1);
    if (equals < 0 || value === '') return err('Error: attribute=value expected');
    if (value.length > MAX_VALUE) return err('Error: attribute value too long');
    const fault = apply(change, word.slice(0, equals).toUpperCase(), value);
    if (fault !== undefined) return err(fault);
  }
  return ok(change);
}

/** Take over one attribute; the fault is the text of the refusal. */
function apply(change: Change, name: string, raw: string): string | undefined {
  const isUnknown = raw.toUpperCase() === UNAVAILABLE;
  const isTemporary = raw.toUpperCase() === TEMPORARY;
  const bad = `Bad ${name} syntax: ${printable(raw)}`;
  const value = decodeXtext(raw);
  if (value === undefined) return bad;
  switch (name) {
    case 'NAME':
    case 'REVERSE_NAME': {
      const isNone = isUnknown || isTemporary;
      if (!isNone && !isValidHostname(value)) return bad;
      if (name === 'NAME') {
        change.peer.name = isNone ? 'unknown' : value;
        change.isNameTemporary = isTemporary;
      } else change.peer.reverseName = isNone ? 'unknown' : value;
      return undefined;
    }
    case 'ADDR':
    case 'DESTADDR': {
      const address = isUnknown ? 'unknown' : addressOf(value);
      if (address === undefined) return bad;
      if (name === 'ADDR') change.peer.address = address;
      else change.peer.localAddress = address;
      return undefined;
    }
    case 'PORT':
    case 'DESTPORT':
      if (!isUnknown && !/^\d{1,5}$/.test(value)) return bad;
      change.peer[name === 'PORT' ? 'port' : 'localPort'] = isUnknown ? 0 : Number(value);
      return undefined;
    case 'HELO':
      change.helo = isUnknown ? '' : value.replaceAll(/[\x00-\x1f\x7f]/g, '?');
      return undefined;
    case 'PROTO':
      if (!/^E?SMTP$/i.test(value)) return bad;
      change.protocol = /^E/i.test(value) ? 'ESMTP' : 'SMTP';
      return undefined;
    case 'LOGIN':
      if (isUnknown) delete change.login;
      else change.login = { username: value, method: 'XCLIENT' };
      return undefined;
    default:
      return `Bad XCLIENT attribute name: ${printable(name)}`;
  }
}

function addressOf(text: string): string | undefined {
  const isSix = /^IPV6:/i.test(text);
  const address = isSix ? text.slice('IPV6:'.length) : text;
  return isIP(address) === (isSix ? 6 : 4) ? address.toLowerCase() : undefined;
}
