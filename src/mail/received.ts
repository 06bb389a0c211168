/**
 * Dates and Received: fields as Postfix writes them.
 *
 * @see RFC 5322 sections 3.3 and 3.6.7, RFC 3848 (with), RFC 6531 section 4.3 (UTF8SMTP)
 */
import { isIPv6 } from 'node:net';
import { externalAddress } from './address.ts';
import type { Login, Session, TlsSummary } from './stages.ts';

export type ReceivedFacts = {
  readonly session: Pick<Session, 'peer' | 'helo' | 'protocol' | 'tls' | 'login'>;
  readonly myhostname: string;
  readonly mail_name: string;
  readonly queueId: string;
  /** The only recipient as given, internal form; undefined when there are several. */
  readonly recipient?: string | undefined;
  readonly smtputf8: boolean;
  readonly atMs: number;
  /** smtpd_tls_received_header, smtpd_sasl_authenticated_header, smtpd_hide_client_session. */
  readonly showsTls: boolean;
  readonly showsLogin: boolean;
  readonly hidesClient: boolean;
};

/** The whole field, CRLF at the end. Foreign text is made harmless. */
export function receivedField(facts: ReceivedFacts): string {
  const { session, myhostname, mail_name, queueId } = facts;
  const lines: string[] = [];
  const by = `by ${myhostname} (${mail_name}) with ${protocolWord(facts)} id ${queueId}`;
  if (facts.hidesClient) lines.push(`Received: ${by}`);
  else {
    const { helo, peer, tls, login } = session;
    const name = clean(peer.name);
    lines.push(
      `Received: from ${helo === '' ? name : clean(helo)} (${name} [${literal(peer.address)}])`,
    );
    if (facts.showsTls && tls) lines.push(...tlsLines(tls));
    if (facts.showsLogin && login) lines.push(loginLine(login));
    lines.push(by);
  }
  const date = mailDate(facts.atMs);
  if (facts.recipient === undefined) {
    lines[lines.length - 1] += ';';
    lines.push(date);
  } else lines.push(`for <${clean(externalAddress(facts.recipient))}>; ${date}`);
  return `${lines.join('\r\n\t')}\r\n`;
}

/** The field of a message from sendmail(1). */
export function pickupReceivedField(facts: {
  readonly myhostname: string;
  readonly mail_name: string;
  readonly queueId: string;
  readonly uid: number;
  readonly atMs: number;
}): string {
  const { myhostname, mail_name, queueId, uid, atMs } = facts;
  const by = `Received: by ${myhostname} (${mail_name}, from userid ${uid})`;
  return `${by}\r\n\tid ${queueId}; ${mailDate(atMs)}\r\n`;
}

/** `ESMTPSA`: the protocol, S under TLS, A after login. */
export function protocolWord({
  session,
  smtputf8,
}: Pick<ReceivedFacts, 'session' | 'smtputf8'>): string {
  const base = smtputf8 && session.protocol === 'ESMTP' ? 'UTF8SMTP' : session.protocol;
  return base + (session.tls ? 'S' : '') + (session.login ? 'A' : '');
}

function tlsLines({ protocol, cipher, cipherBits }: TlsSummary): string[] {
  return [
    `(using ${protocol} with cipher ${cipher} (${cipherBits}/${cipherBits} bits))`,
    '(No client certificate requested)',
  ];
}

const loginLine = ({ username }: Login): string => `(Authenticated sender: ${clean(username)})`;

const literal = (address: string): string => (isIPv6(address) ? `IPv6:${address}` : address);

const clean = (text: string): string => text.replaceAll(/[\x00-\x1f\x7f]/g, '?');

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

let cachedSecond = Number.NaN;
let cachedDate = '';

/** `Wed, 25 Nov 2026 11:14:03 +0000 (UTC)`, in the time zone of the process. */
export function mailDate(atMs: number): string {
  const second = Math.floor(atMs / 1000);
  if (second === cachedSecond) return cachedDate;
  const date = new Date(second * 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const offset = -date.getTimezoneOffset();
  const zone = two(Math.floor(Math.abs(offset) / 60)) + two(Math.abs(offset) % 60);
  const day = `${DAYS[date.getDay()]}, ${date.getDate()} ${MONTHS[date.getMonth()]}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const name = zoneName(date);
  cachedDate =
    `${day} ${date.getFullYear()} ${time} ${offset < 0 ? '-' : '+'}${zone}` +
    (name === '' ? '' : ` (${name})`);
  cachedSecond = second;
  return cachedDate;
}

const ZONE = new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' });

/** `UTC`, `CET`; `''` for a zone that only has an offset. */
function zoneName(date: Date): string {
  const part = ZONE.formatToParts(date).find(({ type }) => type === 'timeZoneName');
  return part && /^[A-Z]{2,5}$/.test(part.value) ? part.value : '';
}
