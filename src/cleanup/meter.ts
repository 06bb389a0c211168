/**
 * Measures a message while it passes: bytes, lines, whether 8-bit, whether a line starts with a dot.
 *
 * Native scans only; nothing is copied but a latin1 view for counting lines.
 */
import { isAscii } from 'node:buffer';
import type { Content } from '../mail/stages.ts';

const LF = 0x0a;
const DOT = 0x2e;
const LINE_DOT = Buffer.from('\n.', 'latin1');

export class Meter {
  #wireBytes = 0;
  #lineEnds = 0;
  #has8bit = false;
  #hasDotLines = false;
  /** The last byte so far; a message starts as behind a line end. */
  #last = LF;

  get endsLine(): boolean {
    return this.#last === LF;
  }

  get wireBytes(): number {
    return this.#wireBytes;
  }

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#wireBytes += piece.length;
    if (!this.#has8bit && !isAscii(piece)) this.#has8bit = true;
    if (!this.#hasDotLines) {
      this.#hasDotLines = (this.#last === LF && piece[0] === DOT) || piece.includes(LINE_DOT);
    }
    const text = piece.toString('latin1');
    let lineEnds = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lineEnds += 1;
    this.#lineEnds += lineEnds;
    this.#last = piece[piece.length - 1] ?? LF;
  }

  content(): Content {
    return {
      wireBytes: this.#wireBytes,
      sizeBytes: this.#wireBytes - this.#lineEnds,
      has8bit: this.#has8bit,
      hasDotLines: this.#hasDotLines,
    };
  }
}
