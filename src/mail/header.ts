/**
 * The header block of a message, seen once: where its fields are, and where it ends.
 *
 * Works on stored form (CRLF) as latin1 text, one step a line. A line that is neither a field nor
 * a continuation ends the header: the blank line is missing there, and the rest is body.
 *
 * @see RFC 5322 section 2.2, Postfix is_header(3)
 */
export type HeaderField = {
  /** Lower case. */
  readonly name: string;
  readonly start: number;
  /** Where the value starts, behind the colon. */
  readonly valueStart: number;
  /** Behind the last line end of the field. */
  readonly end: number;
};

export type HeaderBlock = {
  readonly fields: readonly HeaderField[];
  /** Where the fields end: the blank line, or the first body line when `isBlankMissing`. */
  readonly end: number;
  readonly isBlankMissing: boolean;
};

const NAME = /([!-9;-~]+)[ \t]*:/y;

/** Length of the name that a line starts a field with; 0 when it starts none. */
export function fieldNameLength(line: string): number {
  NAME.lastIndex = 0;
  return NAME.exec(line)?.[1]?.length ?? 0;
}

/** What cleanup must know about a field by its name. */
export type FieldKind = {
  /** Which rewriting applies to the addresses in it. */
  readonly addresses?: 'sender' | 'recipient';
  /** Judged by mime_header_checks wherever it stands. */
  readonly isMime?: true;
  readonly isResent?: true;
};

const SENDER: FieldKind = { addresses: 'sender' };
const RECIPIENT: FieldKind = { addresses: 'recipient' };
const MIME: FieldKind = { isMime: true };
const RESENT: FieldKind = { isResent: true };

/** Fields that mean something to a mail system, by name in lower case. */
export const FIELD_KINDS: ReadonlyMap<string, FieldKind> = new Map([
  ['apparently-to', RECIPIENT],
  ['bcc', RECIPIENT],
  ['cc', RECIPIENT],
  ['to', RECIPIENT],
  ['disposition-notification-to', SENDER],
  ['errors-to', SENDER],
  ['from', SENDER],
  ['mail-followup-to', SENDER],
  ['reply-to', SENDER],
  ['return-path', SENDER],
  ['return-receipt-to', SENDER],
  ['sender', SENDER],
  ['resent-bcc', { ...RECIPIENT, ...RESENT }],
  ['resent-cc', { ...RECIPIENT, ...RESENT }],
  ['resent-to', { ...RECIPIENT, ...RESENT }],
  ['resent-reply-to', { ...RECIPIENT, ...RESENT }],
  ['resent-from', { ...SENDER, ...RESENT }],
  ['resent-sender', { ...SENDER, ...RESENT }],
  ['resent-date', RESENT],
  ['resent-message-id', RESENT],
  ['content-description', MIME],
  ['content-disposition', MIME],
  ['content-id', MIME],
  ['content-transfer-encoding', MIME],
  ['content-type', MIME],
  ['mime-version', MIME],
]);

/** `text` holds whole lines; a header that goes on behind it is taken to end there. */
export function scanHeader(text: string): HeaderBlock {
  const fields: HeaderField[] = [];
  let open: { name: string; start: number; valueStart: number } | undefined;
  let at = 0;
  while (at < text.length) {
    const first = text.charCodeAt(at);
    const isContinuation = first === 0x20 || first === 0x09;
    if (!isContinuation || !open) {
      if (open) fields.push({ ...open, end: at });
      open = undefined;
      if (first === 0x0d) return { fields, end: at, isBlankMissing: false };
      NAME.lastIndex = at;
      const match = NAME.exec(text);
      if (!match) return { fields, end: at, isBlankMissing: true };
      open = { name: (match[1] ?? '').toLowerCase(), start: at, valueStart: NAME.lastIndex };
    }
    const lineEnd = text.indexOf('\n', at);
    at = lineEnd < 0 ? text.length : lineEnd + 1;
  }
  if (open) fields.push({ ...open, end: at });
  return { fields, end: at, isBlankMissing: false };
}

/** The value unfolded: line ends dropped, outer blanks too. Bytes above ASCII read as UTF-8. */
export function fieldValue(text: string, { valueStart, end }: HeaderField): string {
  const value = text.slice(valueStart, end).replaceAll('\r\n', '').trim();
  return /[\x80-\xff]/.test(value) ? Buffer.from(value, 'latin1').toString('utf8') : value;
}

const MAX_LIST_LINE = 70;

/** A rewritten address field, one address a line: as many on a line as fit. */
export function foldList(text: string): string {
  const [first = '', ...rest] = text.split('\n');
  const lines = [first];
  for (const line of rest) {
    const joined = `${lines.at(-1)} ${line}`;
    if (joined.length < MAX_LIST_LINE) lines[lines.length - 1] = joined;
    else lines.push(line);
  }
  return lines.join('\n');
}

/** LF to CRLF; every line behind the first starts with a blank: a tab where rewriting left none. */
export const refolded = (text: string): string =>
  text.replaceAll(/\n(?![ \t])/g, '\n\t').replaceAll('\n', '\r\n');

/** One field without its line end, folded lines joined by LF, no blank before the colon. */
export function fieldText(text: string, { name, start, valueStart, end }: HeaderField): string {
  const nameEnd = start + name.length;
  const stop = text.endsWith('\r\n', end) ? end - 2 : end;
  const whole =
    valueStart === nameEnd + 1
      ? text.slice(start, stop)
      : `${text.slice(start, nameEnd)}:${text.slice(valueStart, stop)}`;
  return whole.includes('\r\n') ? whole.replaceAll('\r\n', '\n') : whole;
}
