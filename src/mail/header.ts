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
