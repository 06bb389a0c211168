/**
 * Walks a message line by line and says what each line is: a header field of the message, of a MIME
 * part or of an enclosed message, or a line of a body.
 *
 * Pure and streaming: it keeps the open header field (at most header_size_limit, the rest of a longer
 * field is dropped) and the stack of boundaries (mime_nesting_limit deep, each cut at
 * mime_boundary_length_limit). Tolerant like Postfix: a boundary is recognized by its first
 * characters wherever it is expected or overdue, and a line that cannot be in a header ends it.
 *
 * Text is latin1, so that a character is a byte; lines come without their line end.
 *
 * @see RFC 2045, RFC 2046, Postfix mime_state(3)
 */
import { fieldNameLength } from './header.ts';
import { type HeaderToken, nextHeaderTokens } from './header-token.ts';

export type HeaderClass = 'primary' | 'mime' | 'nested';

export type MimeEvent =
  /** A whole field: `Name: value`, folded lines joined by LF, no line end; 'Name :' has become `Name:`. */
  | { readonly kind: 'field'; readonly headerClass: HeaderClass; readonly text: string }
  /** The primary header is over; `isBlank` when by an empty line. */
  | { readonly kind: 'header-end'; readonly isBlank: boolean }
  /** `offset` within the body segment, line ends counted as one; `isCut`: the line goes on. */
  | {
      readonly kind: 'body';
      readonly text: string;
      readonly offset: number;
      readonly isCut: boolean;
    };

/** What is wrong with a message; each kind is reported once. */
export type MimeFault =
  | 'nesting'
  | 'header-8bit'
  | 'body-8bit'
  | 'encoding-domain'
  | 'header-not-ended';

export type MimeLimits = {
  readonly header_size_limit: number;
  readonly mime_nesting_limit: number;
  readonly mime_boundary_length_limit: number;
};

/** `isMime` false: all behind the primary header is body (disable_mime_input_processing). */
export type MimeOptions = MimeLimits & {
  readonly isMime?: boolean;
  readonly onFault?: (fault: MimeFault, text: string) => void;
  /** Each header is over, its fields are out, and its part begins; `opaque`: an enclosed message is body. */
  readonly onHeaderEnd?: (part: MimePart) => 'opaque' | undefined;
};

export type MimeEncoding = '7bit' | '8bit' | 'binary' | 'base64' | 'quoted-printable';
export type MimeDomain = '7bit' | '8bit' | 'binary';
type MediaType = 'text' | 'message' | 'multipart' | 'other';

/** The part that the walk is in, as its header says. */
export type MimePart = {
  readonly type: MediaType;
  /** `rfc822`, `partial`, `external-body`, `global`, `digest` …; lower case. */
  readonly subtype: string;
  readonly encoding: MimeEncoding;
  /** What the encoding leaves: base64 and quoted-printable are 7bit. */
  readonly domain: MimeDomain;
};

const PLAIN: MimePart = { type: 'text', subtype: 'plain', encoding: '7bit', domain: '7bit' };
const OTHER: MimePart = { type: 'other', subtype: '', encoding: '7bit', domain: '7bit' };
const DIGEST_ITEM: MimePart = { ...PLAIN, type: 'message', subtype: 'rfc822' };

const ENCODINGS: ReadonlyMap<string, Pick<MimePart, 'encoding' | 'domain'>> = new Map([
  ['7bit', { encoding: '7bit', domain: '7bit' }],
  ['8bit', { encoding: '8bit', domain: '8bit' }],
  ['binary', { encoding: 'binary', domain: 'binary' }],
  ['base64', { encoding: 'base64', domain: '7bit' }],
  ['quoted-printable', { encoding: 'quoted-printable', domain: '7bit' }],
]);

type Boundary = { readonly text: string; readonly defaults: MimePart };

const TSPECIALS = '()<>@,;:\\"/[]?=';
const RFC822_SPECIALS = '()<>@,;:\\".[]';
const EIGHT_BIT = /[\x80-\xff]/;

export class MimeWalk {
  readonly #options: MimeOptions;
  readonly #stack: Boundary[] = [];
  readonly #reported = new Set<MimeFault>();
  #state: HeaderClass | 'body' = 'primary';
  #part: MimePart = PLAIN;
  #open: string[] = [];
  #openLength = 0;
  #bodyOffset = 0;
  #isContinued = false;
  #isOver = false;

  constructor(options: MimeOptions) {
    this.#options = options;
  }

  get part(): MimePart {
    return this.#part;
  }

  get faults(): ReadonlySet<MimeFault> {
    return this.#reported;
  }

  /** `end` has been called. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * One line, or a piece of one: `isCut` says that the line goes on in the next call. Events are
   * appended to `out`.
   */
  line(text: string, out: MimeEvent[], isCut = false): void {
    const isContinued = this.#isContinued;
    this.#isContinued = isCut;
    if (this.#state !== 'body' && this.#inHeader(text, isContinued, out)) return;
    this.#inBody(text, isContinued, isCut, out);
  }

  /** The end of the message: the field that is open, and the end of a header that had none. */
  end(out: MimeEvent[]): void {
    this.#closeField(out);
    if (this.#state !== 'body') this.#options.onHeaderEnd?.(this.#part);
    if (this.#state === 'primary') out.push({ kind: 'header-end', isBlank: true });
    this.#state = 'body';
  }

  /** True when the line belongs to the header. */
  #inHeader(text: string, isContinued: boolean, out: MimeEvent[]): boolean {
    if (this.#openLength > 0) {
      const first = text.charCodeAt(0);
      if (isContinued || first === 0x20 || first === 0x09) {
        if (this.#openLength < this.#options.header_size_limit) {
          const added = isContinued ? text : `\n${text}`;
          this.#open.push(added);
          this.#openLength += added.length;
        }
        return true;
      }
      this.#closeField(out);
    }
    const nameLength = fieldNameLength(text);
    if (nameLength > 0) {
      const colon = text.indexOf(':', nameLength);
      const line = colon === nameLength ? text : text.slice(0, nameLength) + text.slice(colon);
      this.#open = [line];
      this.#openLength = line.length;
      return true;
    }
    return this.#endHeader(text, out);
  }

  #closeField(out: MimeEvent[]): void {
    if (this.#openLength === 0) return;
    const text = this.#open.length === 1 ? (this.#open[0] ?? '') : this.#open.join('');
    this.#open = [];
    this.#openLength = 0;
    if (this.#options.isMime !== false) this.#readField(text);
    if (EIGHT_BIT.test(text)) this.#report('header-8bit', text);
    if (this.#state !== 'body') out.push({ kind: 'field', headerClass: this.#state, text });
  }

  #readField(text: string): void {
    if (!/^content-t/i.test(text)) return;
    const [, name = '', value = ''] = /^([!-9;-~]+):([\s\S]*)$/.exec(text) ?? [];
    if (/^content-type$/i.test(name)) this.#readType(value, text);
    else if (/^content-transfer-encoding$/i.test(name)) {
      const token = nextHeaderTokens(value, 0, RFC822_SPECIALS, '', 1)?.tokens[0];
      const found = token?.kind === 'token' ? ENCODINGS.get(token.text.toLowerCase()) : undefined;
      if (found) this.#part = { ...this.#part, ...found };
    }
  }

  #readType(value: string, field: string): void {
    let step = nextHeaderTokens(value, 0, TSPECIALS, ';', 3);
    const word = (token: HeaderToken | undefined): string =>
      token?.kind === 'token' ? token.text.toLowerCase() : '';
    if (!step || step.tokens.length === 0) {
      this.#part = { ...this.#part, type: 'other' };
      return;
    }
    const [first, slash, second] = step.tokens;
    const type = word(first);
    // Postfix keeps what the part was taken for when the type is none that it knows.
    if (type !== 'text' && type !== 'message' && type !== 'multipart') return;
    const subtype = slash?.text === '/' ? word(second) : '';
    this.#part = { ...this.#part, type, subtype };
    if (type !== 'multipart') return;
    const defaults = subtype === 'digest' ? DIGEST_ITEM : PLAIN;
    for (step = nextHeaderTokens(value, step.next, TSPECIALS, ';', 3); step; ) {
      const [name, equals, boundary] = step.tokens;
      if (word(name) === 'boundary' && equals?.text === '=' && boundary) {
        this.#push(boundary.text, defaults, field);
      }
      step = nextHeaderTokens(value, step.next, TSPECIALS, ';', 3);
    }
  }

  #push(text: string, defaults: MimePart, field: string): void {
    if (this.#stack.length - 1 > this.#options.mime_nesting_limit) {
      this.#report('nesting', field);
      return;
    }
    this.#stack.push({ text: text.slice(0, this.#options.mime_boundary_length_limit), defaults });
  }

  /** Always false: what ended the header is looked at as a body line. An empty line stays one. */
  #endHeader(text: string, out: MimeEvent[]): false {
    const isBlank = text === '';
    const isOpaque = this.#options.onHeaderEnd?.(this.#part) === 'opaque';
    if (this.#state === 'primary') {
      if (!isBlank) this.#report('header-not-ended', text);
      out.push({ kind: 'header-end', isBlank });
      if (!isBlank) this.#bodyLine('', false, out);
    }
    this.#checkDomain();
    const { type, subtype } = this.#part;
    this.#bodyOffset = 0;
    const isMessage =
      !isOpaque && type === 'message' && (subtype === 'rfc822' || subtype === 'global');
    if (isBlank && isMessage && this.#options.isMime !== false) {
      this.#state = 'nested';
      this.#part = PLAIN;
    } else {
      this.#state = 'body';
      if (isBlank && type === 'multipart') this.#part = OTHER;
    }
    return false;
  }

  #checkDomain(): void {
    const { type, subtype, encoding, domain } = this.#part;
    if (type === 'multipart' || (type === 'message' && subtype === 'rfc822')) {
      if (encoding !== domain) this.#report('encoding-domain', encoding);
    } else if (type === 'message' && (subtype === 'partial' || subtype === 'external-body')) {
      if (domain !== '7bit') this.#report('encoding-domain', encoding);
    }
  }

  #inBody(text: string, isContinued: boolean, isCut: boolean, out: MimeEvent[]): void {
    const was7bit = this.#part.encoding === '7bit';
    if (was7bit && EIGHT_BIT.test(text)) this.#report('body-8bit', text);
    if (!isContinued && this.#stack.length > 0 && text.length > 2 && text.startsWith('--')) {
      this.#atBoundary(text);
    }
    this.#bodyLine(text, isCut, out);
  }

  #bodyLine(text: string, isCut: boolean, out: MimeEvent[]): void {
    out.push({ kind: 'body', text, offset: this.#bodyOffset, isCut });
    this.#bodyOffset += text.length + 1;
  }

  /** The innermost boundary that fits; the ones within it are overdue. */
  #atBoundary(text: string): void {
    const at = this.#stack.findLastIndex((each) => text.startsWith(each.text, 2));
    const found = this.#stack[at];
    if (!found) return;
    const isLast = text.startsWith('--', 2 + found.text.length);
    this.#stack.length = isLast ? at : at + 1;
    this.#state = isLast ? 'body' : 'mime';
    this.#part = isLast ? OTHER : found.defaults;
    this.#bodyOffset = 0;
  }

  #report(fault: MimeFault, text: string): void {
    if (this.#reported.has(fault)) return;
    this.#reported.add(fault);
    this.#options.onFault?.(fault, text);
  }
}
