/**
 * What a client sends after DATA or BDAT, turned into stored form (see `Content`): CRLF line ends,
 * no stray CR or LF, no dot-stuffing. Pure: chunks in, pieces and a verdict out.
 *
 * The message ends at CRLF.CRLF alone. A bare LF is a line end but never part of an end of data
 * (mode `normalize`, `note`, `reject`); with `no` LF.LF ends the data too, as in old Postfix. A CR
 * that is not followed by LF becomes a blank (cleanup_replace_stray_cr_lf). A leading dot is taken
 * off every line, doubled or not. None of this depends on how the input is cut into chunks: what
 * could be the start of an end of data is held back.
 *
 * Work per chunk is a constant number of native scans, whatever the chunk holds.
 *
 * @see RFC 5321 section 4.5.2, postconf(5) smtpd_forbid_bare_newline
 */
export type BareNewline = 'normalize' | 'reject' | 'note' | 'no';

export type Scan = {
  /** Stored-form bytes, in order. */
  readonly pieces: readonly Buffer[];
  /** Bytes behind the end of data; present when the message is over. */
  readonly rest?: Buffer;
};

const END = Buffer.from('\r\n.\r\n', 'latin1');
const LINE_DOT = Buffer.from('\r\n.', 'latin1');
const CRLF = Buffer.from('\r\n', 'latin1');
const EMPTY = Buffer.alloc(0);
const STRAY = /\r(?!\n)|(?<!\r)\n/;
/** A suffix that may be the start of an end of data, or half of a line end. */
const OPEN_END = /(?:\r?\n(?:\.\r?)?|\r)$/;
const LOOSE_END = /\r?\n\.\r?\n/;
const DOT = 0x2e;
const CR = 0x0d;

export class BodyScanner {
  readonly #kind: 'data' | 'bdat';
  readonly #mode: BareNewline;
  /** Held back; it precedes the next chunk. DATA starts as if behind a line end. */
  #held: Buffer;
  /** Bytes at the front of the output that are not the client's (the pretended line end). */
  #skip: number;
  hasBareNewline = false;

  constructor(kind: 'data' | 'bdat', mode: BareNewline) {
    this.#kind = kind;
    this.#mode = mode;
    this.#held = kind === 'data' ? CRLF : EMPTY;
    this.#skip = kind === 'data' ? 2 : 0;
  }

  push(chunk: Buffer): Scan {
    return this.#kind === 'data' ? this.#pushData(chunk) : { pieces: this.#pushBdat(chunk) };
  }

  /** BDAT only: the last chunk has been pushed. */
  finish(): readonly Buffer[] {
    const held = this.#held;
    this.#held = EMPTY;
    return held.length > 0 ? [this.#clean(held)] : [];
  }

  #pushData(chunk: Buffer): Scan {
    if (chunk.length === 0) return { pieces: [] };
    const pieces: Buffer[] = [];
    let input = chunk;
    if (this.#held.length > 0) {
      // A complete line end that no dot follows needs no joining.
      if (this.#held.equals(CRLF) && chunk[0] !== DOT) this.#emit(pieces, this.#held);
      else input = Buffer.concat([this.#held, chunk]);
      this.#held = EMPTY;
    }
    const end = this.#findEnd(input);
    if (end) {
      this.#emit(pieces, this.#clean(input.subarray(0, end.at)));
      return { pieces, rest: input.subarray(end.next) };
    }
    const keep = openEnd(input);
    if (keep > 0) this.#held = Buffer.from(input.subarray(input.length - keep));
    this.#emit(pieces, this.#clean(input.subarray(0, input.length - keep)));
    return { pieces };
  }

  /** Where the content stops (behind its last line end) and where the next command starts. */
  #findEnd(input: Buffer): { readonly at: number; readonly next: number } | undefined {
    if (this.#mode !== 'no') {
      const at = input.indexOf(END);
      return at < 0 ? undefined : { at: at + 2, next: at + END.length };
    }
    const found = LOOSE_END.exec(input.toString('latin1'));
    if (!found) return undefined;
    const lineEnd = found[0].startsWith('\r') ? 2 : 1;
    return { at: found.index + lineEnd, next: found.index + found[0].length };
  }

  #pushBdat(chunk: Buffer): readonly Buffer[] {
    if (chunk.length === 0) return [];
    const input = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk;
    this.#held = EMPTY;
    if (input[input.length - 1] !== CR) return [this.#clean(input)];
    this.#held = Buffer.from(input.subarray(input.length - 1));
    return input.length > 1 ? [this.#clean(input.subarray(0, input.length - 1))] : [];
  }

  #emit(pieces: Buffer[], piece: Buffer): void {
    const skipped = Math.min(this.#skip, piece.length);
    this.#skip -= skipped;
    if (piece.length > skipped) pieces.push(skipped > 0 ? piece.subarray(skipped) : piece);
  }

  #clean(input: Buffer): Buffer {
    if (input.length === 0) return input;
    const text = input.toString('latin1');
    const isStray = STRAY.test(text);
    const unstuff = this.#kind === 'data';
    if (!isStray && !(unstuff && input.includes(LINE_DOT))) return input;
    let out = text;
    if (isStray) {
      out = out.replace(/\r(?!\n)/g, ' ');
      if (/(?<!\r)\n/.test(out)) {
        this.hasBareNewline = true;
        out = out.replace(/(?<!\r)\n/g, '\r\n');
      }
    }
    if (unstuff) out = out.replaceAll('\r\n.', '\r\n');
    return Buffer.from(out, 'latin1');
  }
}

/** How many bytes at the end of the input may not be handed on yet. */
function openEnd(input: Buffer): number {
  const last = input[input.length - 1];
  if (last !== CR && last !== 0x0a && last !== DOT) return 0;
  const tail = input.toString('latin1', Math.max(0, input.length - 4));
  return OPEN_END.exec(tail)?.[0].length ?? 0;
}
