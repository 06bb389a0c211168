/**
 * The message as a mailbox or a command gets it: the agent's header fields in front, LF line ends,
 * for mbox files a From_ line and `>From` quoting. Nothing else is changed.
 *
 * Pieces are turned whole by native string functions, whatever their size.
 *
 * @see Postfix mail_copy(3)
 */
import { externalAddress } from '../mail/address.ts';
import type { AgentBody } from './body.ts';

export type CopyOptions = {
  /** Lines with LF, in order; empty for none. */
  readonly prepend: string;
  /** mbox: quote `From ` at the start of a line. */
  readonly quotesFrom?: boolean;
  /** End with an empty line. */
  readonly endsBlank?: boolean;
  /** Double a dot at the start of a line. */
  readonly stuffsDots?: boolean;
  /** Line end to write; default LF. */
  readonly eol?: string;
};

/** Whole pieces to write, in order. A small message is one piece. */
export async function* copyMessage(
  body: AgentBody,
  options: CopyOptions,
): AsyncGenerator<Buffer, void, void> {
  const head = Buffer.from(options.prepend, 'utf8');
  const turn = lineTurner(options);
  if (body.bytes) {
    const text = turn.add(body.bytes) + turn.end();
    yield Buffer.concat([head, Buffer.from(text, 'latin1')]);
    return;
  }
  if (head.length > 0) yield head;
  for await (const chunk of body.chunks) {
    const text = turn.add(chunk);
    if (text !== '') yield Buffer.from(text, 'latin1');
  }
  const rest = turn.end();
  if (rest !== '') yield Buffer.from(rest, 'latin1');
}

type Turner = { readonly add: (chunk: Buffer) => string; readonly end: () => string };

/** Text in latin1: one character a byte. */
function lineTurner(options: CopyOptions): Turner {
  const { quotesFrom = false, endsBlank = false, stuffsDots = false, eol = '\n' } = options;
  let held = '';
  let last = '\n';
  const out = (text: string): string => {
    if (text === '') return '';
    const lines = text.replaceAll('\r\n', '\n');
    let result = lines;
    if (quotesFrom) {
      result = lines.replaceAll('\nFrom ', '\n>From ');
      if (last === '\n' && result.startsWith('From ')) result = `>${result}`;
    }
    if (stuffsDots) {
      result = result.replaceAll('\n.', '\n..');
      if (last === '\n' && result.startsWith('.')) result = `.${result}`;
    }
    last = lines[lines.length - 1] ?? last;
    return eol === '\n' ? result : result.replaceAll('\n', eol);
  };
  return {
    add: (chunk) => {
      const text = held + chunk.latin1Slice();
      const keep = text.length - heldLength(text, quotesFrom && last === '\n', quotesFrom);
      held = text.slice(keep);
      return out(text.slice(0, keep));
    },
    end: () => {
      const text = out(held);
      held = '';
      if (!endsBlank) return text;
      return `${text}${last === '\n' ? '' : eol}${eol}`;
    },
  };
}

/** What must wait for the next piece: half a CRLF, half a `From ` at the start of a line. */
function heldLength(text: string, isAtLineStart: boolean, quotesFrom: boolean): number {
  const lineStart = text.lastIndexOf('\n') + 1;
  if (quotesFrom && (lineStart > 0 || isAtLineStart)) {
    const tail = text.slice(lineStart);
    if (tail.length < 5 && 'From '.startsWith(tail)) return tail.length;
  }
  return text.endsWith('\r') ? 1 : 0;
}

export type DeliveryFields = {
  readonly sender: string;
  /** As first given; `''` leaves X-Original-To: out. */
  readonly original: string;
  /** `''` leaves Delivered-To: out. */
  readonly deliveredTo: string;
};

/** Return-Path:, X-Original-To:, Delivered-To:. Controls in addresses become `?`. */
export function deliveryFields({ sender, original, deliveredTo }: DeliveryFields): string {
  const lines = [`Return-Path: <${clean(externalAddress(sender))}>\n`];
  if (original !== '') lines.push(`X-Original-To: ${clean(externalAddress(original))}\n`);
  if (deliveredTo !== '') lines.push(`Delivered-To: ${clean(externalAddress(deliveredTo))}\n`);
  return lines.join('');
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** `From sender  Wed Nov 25 10:11:12 2026`, local time; the null sender is MAILER-DAEMON. */
export function fromLine(sender: string, nowMs: number): string {
  const at = new Date(nowMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const day = `${DAYS[at.getDay()]} ${MONTHS[at.getMonth()]} ${String(at.getDate()).padStart(2)}`;
  const name = sender === '' ? 'MAILER-DAEMON' : clean(externalAddress(sender));
  return `From ${name}  ${day} ${time} ${at.getFullYear()}\n`;
}

/** Whether the message has been delivered to this address before (5.4.6). */
export function isLooping({ head }: AgentBody, address: string): boolean {
  const end = head.indexOf('\r\n\r\n');
  const header = head.subarray(0, end < 0 ? head.length : end + 2).toString('utf8');
  const wanted = externalAddress(address).toLowerCase();
  for (const match of header.matchAll(/^delivered-to:[ \t]*([^\r\n]*)/gim)) {
    if (match[1]?.trim().toLowerCase() === wanted) return true;
  }
  return false;
}

const clean = (text: string): string => text.replaceAll(/[\x00-\x1f\x7f]/g, '?');
