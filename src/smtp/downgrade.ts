/**
 * 8-bit mail for a server without 8BITMIME: parts that are labelled 8bit or binary become
 * quoted-printable, the MIME structure stays.
 *
 * Each part is converted by itself. Multiparts and messages within messages get the label 7bit, and
 * their parts are looked at in turn; message/global is converted as a whole. What is labelled 7bit,
 * or not labelled at all, goes out as it is, whatever it holds: there is nothing to go by. Headers
 * are not converted.
 *
 * @see RFC 6152 section 3, RFC 2045 section 6.7, Postfix smtp(8) disable_mime_output_conversion
 */
import { type MimeEvent, type MimeLimits, type MimePart, MimeWalk } from '../mail/mime.ts';

export type Downgrader = {
  readonly take: (chunk: Buffer) => Buffer;
  readonly end: () => Buffer;
  /** Multiparts lie deeper than mime_nesting_limit: the conversion cannot be right. */
  readonly isTooDeep: () => boolean;
};

/** A longer line is fed in pieces. */
const MAX_PIECE = 8_192;
const CRLF = '\r\n';
/** A quoted-printable line that is longer ends in a soft line break. */
const SOFT_BREAK_AFTER = 72;

export function openDowngrader(limits: MimeLimits): Downgrader {
  const out: string[] = [];
  const encoder = quotedPrintable(out);
  let headerPart: MimePart | undefined;
  let rest = '';
  const walk = new MimeWalk({
    ...limits,
    onHeaderEnd: (part) => {
      headerPart = part;
      const isGlobal = part.type === 'message' && part.subtype === 'global';
      return isGlobal && part.domain !== '7bit' ? 'opaque' : undefined;
    },
  });

  const write = (events: readonly MimeEvent[]): void => {
    const ended = headerPart;
    headerPart = undefined;
    let label = ended && ended.domain !== '7bit' ? `${labelOf(ended)}${CRLF}` : '';
    for (const event of events) {
      if (event.kind === 'field') {
        // Which label is right is known once the whole header is.
        const isLabel = /^content-transfer-encoding:/i.test(event.text);
        if (!isLabel || (ended ?? walk.part).domain === '7bit') {
          out.push(event.text.replaceAll('\n', CRLF), CRLF);
        }
        continue;
      }
      out.push(label);
      label = '';
      if (event.kind !== 'body') continue;
      if (walk.part.domain !== '7bit') encoder(event.text, event.isCut);
      else out.push(event.text, event.isCut ? '' : CRLF);
    }
    out.push(label);
  };
  const line = (text: string, isCut: boolean): void => {
    const events: MimeEvent[] = [];
    walk.line(text, events, isCut);
    write(events);
  };
  const drain = (): Buffer => Buffer.from(out.splice(0).join(''), 'latin1');

  return {
    take: (chunk) => {
      const text = rest + chunk.toString('latin1');
      let from = 0;
      for (let lf = text.indexOf('\n'); lf >= 0; lf = text.indexOf('\n', from)) {
        line(text.slice(from, text[lf - 1] === '\r' ? lf - 1 : lf), false);
        from = lf + 1;
      }
      rest = text.slice(from);
      if (rest.length > MAX_PIECE) {
        line(rest.slice(0, -1), true);
        rest = rest.slice(-1);
      }
      return drain();
    },
    end: () => {
      if (rest !== '') line(rest, false);
      rest = '';
      const events: MimeEvent[] = [];
      walk.end(events);
      write(events);
      return drain();
    },
    isTooDeep: () => walk.faults.has('nesting'),
  };
}

const labelOf = ({ type, subtype }: MimePart): string =>
  `Content-Transfer-Encoding: ${
    type === 'multipart' || (type === 'message' && subtype !== 'global')
      ? '7bit'
      : 'quoted-printable'
  }`;

/** Lines to quoted-printable lines, appended to `out`; `isCut`: the line goes on. */
function quotedPrintable(out: string[]): (text: string, isCut: boolean) => void {
  let line = '';
  return (text, isCut) => {
    for (let at = 0; at < text.length; at += 1) {
      if (line.length > SOFT_BREAK_AFTER) {
        out.push(line, '=', CRLF);
        line = '';
      }
      const code = text.charCodeAt(at);
      const isPlain = (code >= 0x20 || code === 0x09) && code !== 0x3d && code <= 0x7e;
      line += isPlain ? (text[at] ?? '') : encoded(code);
    }
    if (isCut) return;
    const last = line.at(-1);
    if (last === ' ' || last === '\t') line = line.slice(0, -1) + encoded(last.charCodeAt(0));
    out.push(line, CRLF);
    line = '';
  };
}

const encoded = (code: number): string => `=${code.toString(16).toUpperCase().padStart(2, '0')}`;
