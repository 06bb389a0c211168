/**
 * The bytes of a delivery report: multipart/report with a notice for people, the delivery status
 * for programs, and the message it is about (or its header).
 *
 * Layout and field names are Postfix's, so that programs which read its bounces read ours. Foreign
 * text enters through `oneLine()`: no value can start a field or a line of its own. The returned
 * message is copied byte by byte.
 *
 * @see RFC 3462, RFC 3464, RFC 6533 (global types), bounce(5)
 */
import { isAscii } from 'node:buffer';
import MimeNode from 'nodemailer/lib/mime-node';
import { externalAddress } from '../mail/address.ts';
import type { Dsn } from '../mail/dsn.ts';
import { mailDate } from '../mail/received.ts';
import type { DeliveryAction, QueueEntry, Recipient } from '../mail/stages.ts';
import type { ReportKind } from './template.ts';

export type ReportResult = {
  readonly recipient: Recipient;
  readonly dsn: Dsn;
  /** What a success was: `Action:` of the recipient. */
  readonly action?: DeliveryAction;
};

export type ReportFacts = {
  readonly kind: ReportKind;
  /** The message that is reported about. */
  readonly entry: QueueEntry;
  readonly results: readonly ReportResult[];
  /** The returned message in stored form (CRLF), whole or cut behind its header. */
  readonly body: Buffer;
  /** Return the header only. */
  readonly headersOnly: boolean;
  /** Where the report goes, internal form. */
  readonly to: string;
  /** For the postmaster: no text for a sender, `Auto-Submitted: auto-generated`. */
  readonly isCopy: boolean;
  readonly subject: string;
  /** The From: field. */
  readonly from: string;
  /** What a person reads first, LF line ends; and its charset. */
  readonly text: string;
  readonly charset: string;
  /** Queue id of the report itself. */
  readonly id: string;
  readonly nowMs: number;
  /** For `delayed`: when the message will be given up. */
  readonly retryUntilMs?: number;
  readonly myhostname: string;
  readonly myorigin: string;
  readonly mail_name: string;
};

/** The whole message, CRLF line ends, its Received: field included. */
export async function buildReport(facts: ReportFacts): Promise<Buffer> {
  const { entry, myhostname, id, nowMs } = facts;
  const isGlobal = entry.smtputf8;
  const returned = facts.headersOnly ? headerOf(facts.body) : facts.body;
  const notice8bit = /[^\x00-\x7f]/.test(facts.text);
  const has8bit = isGlobal || notice8bit || !isAscii(returned);
  const root = new MimeNode('multipart/report; report-type=delivery-status', {
    boundaryPrefix: `${id}.${nowMs}`,
    hostname: myhostname,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const raw = (value: string) => ({ prepared: true, value: oneLine(value) });
  root.setHeader([
    { key: 'Date', value: mailDate(nowMs) },
    { key: 'Subject', value: raw(facts.subject) },
    { key: 'Auto-Submitted', value: raw(facts.isCopy ? 'auto-generated' : 'auto-replied') },
    { key: 'Message-ID', value: `<${compactDate(nowMs)}.${id}@${myhostname}>` },
  ]);
  if (has8bit) root.setHeader('Content-Transfer-Encoding', '8bit');

  // Text in front of the first part: MimeNode writes the content of a multipart there.
  root.setContent('This is a MIME-encapsulated message.\r\n\r\n');

  const notice = root.createChild(`text/plain; charset=${oneLine(facts.charset)}`);
  notice.setHeader('Content-Description', 'Notification');
  if (notice8bit) notice.setHeader('Content-Transfer-Encoding', '8bit');
  notice.setContent(noticeText(facts));

  const status = root.createChild(
    isGlobal ? 'message/global-delivery-status' : 'message/delivery-status',
  );
  status.setHeader('Content-Description', 'Delivery report');
  if (isGlobal) status.setHeader('Content-Transfer-Encoding', '8bit');
  status.setContent(Buffer.from(statusText(facts), 'utf8'));

  const part = root.createChild('message/rfc822');
  part.setRaw(Buffer.concat([Buffer.from(returnedHead(facts, has8bit), 'latin1'), returned]));

  // MimeNode would parse and rewrite addresses, so these fields stand before its own.
  const head =
    `Received: by ${myhostname} (${facts.mail_name})\r\n\tid ${id}; ${mailDate(nowMs)}\r\n` +
    `From: ${oneLine(facts.from)}\r\n` +
    `To: ${oneLine(externalAddress(facts.to))}\r\n`;
  return Buffer.concat([Buffer.from(head, 'utf8'), await root.build()]);
}

/** The part header is ours, since MimeNode would encode text/rfc822-headers. */
function returnedHead(facts: ReportFacts, has8bit: boolean): string {
  const { headersOnly, entry, kind } = facts;
  const what = kind === 'delivered' ? 'Message' : 'Undelivered Message';
  const type = headersOnly
    ? entry.smtputf8
      ? 'message/global-headers'
      : 'text/rfc822-headers'
    : entry.smtputf8
      ? 'message/global'
      : 'message/rfc822';
  const lines = [
    `Content-Type: ${type}`,
    `Content-Description: ${what}${headersOnly ? ' Headers' : ''}`,
    ...(has8bit ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    oneLine(`Return-Path: <${senderOf(facts)}>`),
  ];
  return `${lines.join('\r\n')}\r\n`;
}

/** The null sender by the name that mail programs show. */
const senderOf = ({ entry, myorigin }: ReportFacts): string =>
  entry.sender === '' ? `MAILER-DAEMON@${myorigin}` : externalAddress(entry.sender);

/** Bytes up to the blank line, which is left out. */
function headerOf(body: Buffer): Buffer {
  if (body.subarray(0, 2).toString('latin1') === '\r\n') return body.subarray(0, 0);
  const end = body.indexOf('\r\n\r\n');
  return end < 0 ? body : body.subarray(0, end + 2);
}

/** What a person reads: a copy for the postmaster holds the results alone. */
function noticeText({ text, isCopy, results }: ReportFacts): string {
  const lines = [
    ...(isCopy ? [] : text.replace(/\n$/, '').split('\n')),
    '',
    ...results.flatMap(({ recipient, dsn }) => wrap(resultText(recipient, dsn))),
  ];
  return `${lines.join('\r\n')}\r\n`;
}

function resultText({ address, original }: Recipient, { reason }: Dsn): string {
  const isOther = original !== '' && original.toLowerCase() !== address.toLowerCase();
  const from = isOther ? ` (expanded from <${externalAddress(original)}>)` : '';
  return oneLine(`<${externalAddress(address)}>${from}: ${reason}`);
}

/** Lines of at most 75 characters, continued with four blanks; long words stay whole. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/ +/)) {
    if (line !== '' && line.length + 1 + word.length > 75) {
      lines.push(line);
      line = `    ${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line, ''];
}

/** The machine-readable part: one group for the message, one for each recipient. */
function statusText(facts: ReportFacts): string {
  const { entry, myhostname } = facts;
  const type = entry.smtputf8 ? 'utf-8' : 'rfc822';
  const groups = [
    [
      `Reporting-MTA: dns; ${myhostname}`,
      ...(isPrintable(entry.envid) ? [`Original-Envelope-Id: ${entry.envid}`] : []),
      `X-Postfix-Queue-ID: ${entry.id}`,
      `X-Postfix-Sender: ${type}; ${senderOf(facts)}`,
      `Arrival-Date: ${mailDate(entry.arrivedMs)}`,
    ],
    ...facts.results.map((result) => recipientFields(facts, result)),
  ];
  return groups.map((fields) => `${fields.map(oneLine).join('\r\n')}\r\n`).join('\r\n');
}

function recipientFields(facts: ReportFacts, { recipient, dsn, action }: ReportResult): string[] {
  const { kind, entry, retryUntilMs } = facts;
  const type = entry.smtputf8 ? 'utf-8' : 'rfc822';
  const { address, original, orcpt } = recipient;
  // Without ORCPT the address as first given is the original recipient, as in Postfix.
  const origin = isPrintable(orcpt) ? orcpt : `rfc822;${externalAddress(original)}`;
  const fields = [
    `Final-Recipient: ${type}; ${externalAddress(address)}`,
    ...(orcpt !== '' || original !== '' ? [`Original-Recipient: ${origin}`] : []),
    `Action: ${action ?? kind}`,
    `Status: ${dsn.status}`,
  ];
  if (dsn.remote) {
    fields.push(`Remote-MTA: dns; ${dsn.remote.mta}`);
    fields.push(...fold(`Diagnostic-Code: smtp; ${dsn.remote.reply}`));
  } else fields.push(...fold(`Diagnostic-Code: X-Postfix; ${dsn.reason}`));
  if (kind === 'delayed' && retryUntilMs !== undefined) {
    fields.push(`Will-Retry-Until: ${mailDate(retryUntilMs)}`);
  }
  return fields;
}

/** One field in lines below 998 octets: continuation lines start with blanks. */
const fold = (field: string): string[] => wrap(oneLine(field)).slice(0, -1);

/** Controls become blanks: what is quoted cannot end its line. */
const oneLine = (text: string): string => text.replaceAll(/[\x00-\x1f\x7f]/g, ' ');

/** Not empty and without controls: fit to be returned as it came (ENVID, ORCPT). */
const isPrintable = (text: string): boolean => text !== '' && !/[\x00-\x1f\x7f]/.test(text);

/** `20261125101502`, UTC. */
const compactDate = (ms: number): string =>
  new Date(ms).toISOString().replaceAll(/[^\d]/g, '').slice(0, 14);
