/**
 * Fields that a message of ours lacks: Message-Id, Date, From, and a recipient field; with `Resent-`
 * in front when the message is a resent one.
 *
 * @see postconf(5) always_add_missing_headers, RFC 5322 section 3.6
 */
import type { Config } from '../conf/params.ts';
import { writeBytes } from '../mail/bytes.ts';
import { mailDate } from '../mail/received.ts';
import { quoteAddress } from '../mail/tok822.ts';

export type MissingFacts = {
  readonly config: Pick<
    Config,
    'myhostname' | 'enable_long_queue_ids' | 'undisclosed_recipients_header' | 'header_from_format'
  >;
  readonly queueId: string;
  /** As the envelope will have it, internal form. */
  readonly sender: string;
  /** Of the submitting user; `''` when not known. */
  readonly fullName: string;
  readonly atMs: number;
};

export type Added = {
  /** Field texts, folded with LF, latin1. */
  readonly fields: readonly string[];
  readonly messageId?: string;
  readonly addsFrom: boolean;
};

/** `seen`: names of known fields, lower case. */
export function missingFields(seen: ReadonlySet<string>, facts: MissingFacts): Added {
  const { config, queueId, atMs } = facts;
  const isResent = [...seen].some((name) => name.startsWith('resent-'));
  const prefix = isResent ? 'Resent-' : '';
  const lacks = (name: string) => !seen.has(`${prefix}${name}`.toLowerCase());
  const fields: string[] = [];
  let messageId: string | undefined;
  if (lacks('message-id')) {
    const id = config.enable_long_queue_ids ? queueId : `${stamp(atMs)}.${queueId}`;
    const text = `<${id}@${config.myhostname}>`;
    if (!isResent) messageId = text;
    fields.push(`${prefix}Message-Id: ${text}`);
  }
  if (lacks('date')) fields.push(`${prefix}Date: ${mailDate(atMs)}`);
  const addsFrom = lacks('from');
  if (addsFrom) fields.push(fromField(prefix, facts));
  const isAddressed = ['to', 'cc', 'resent-to', 'resent-cc'].some((name) => seen.has(name));
  const undisclosed = config.undisclosed_recipients_header;
  if (!isAddressed && undisclosed !== '') fields.push(writeBytes(undisclosed));
  return { fields, addsFrom, ...(messageId === undefined ? {} : { messageId }) };
}

/** `From: Full Name <address>`, or `address (Full Name)`: header_from_format. */
function fromField(prefix: string, { sender, fullName, config }: MissingFacts): string {
  const address = quoteAddress(sender === '' ? 'MAILER-DAEMON' : sender);
  const plain = (text: string): string => text.replaceAll(/[\x00-\x1f\x7f]+/g, ' ').trim();
  const name = plain(fullName);
  const author = plain(address);
  if (sender === '' || name === '') return writeBytes(`${prefix}From: ${author}`);
  if (config.header_from_format === 'obsolete') {
    return writeBytes(`${prefix}From: ${author} (${encoded(name, quotedComment)})`);
  }
  return writeBytes(`${prefix}From: ${encoded(name, quotedPhrase)} <${author}>`);
}

/** Words of RFC 2047 where the name is not ASCII. */
function encoded(name: string, ascii: (name: string) => string): string {
  if (!/[^\x00-\x7f]/.test(name)) return ascii(name);
  const words: string[] = [];
  let chunk = '';
  // An encoded word has 75 characters at most: 45 bytes in base64.
  for (const char of name) {
    if (Buffer.byteLength(chunk + char) > 45) {
      words.push(chunk);
      chunk = '';
    }
    chunk += char;
  }
  words.push(chunk);
  return words.map((word) => `=?utf-8?B?${Buffer.from(word).toString('base64')}?=`).join(' ');
}

/** A phrase of atoms stays, anything else is quoted. */
const quotedPhrase = (name: string): string =>
  /^[^\x00-\x1f\x7f()<>[\]:;@\\,."]+$/.test(name) ? name : `"${name.replaceAll(/["\\]/g, '\\$&')}"`;

const quotedComment = (name: string): string => name.replaceAll(/[()\\]/g, '\\$&');

/** `YYYYMMDDHHMMSS`, UTC. */
const stamp = (atMs: number): string =>
  new Date(atMs).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14);
