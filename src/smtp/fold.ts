/**
 * Lines longer than smtp_line_length_limit, broken with CRLF and a blank.
 *
 * Lines end with CRLF and hold no other CR or LF. The limit is of bytes without the line end; the
 * blank counts. Bytes are looked at only where a line end is due, so that ordinary mail costs next
 * to nothing.
 *
 * @see RFC 5321 section 4.5.3.1.6, postconf(5) smtp_line_length_limit
 */
const LF = 0x0a;
const CR = 0x0d;
const BREAK = Buffer.from('\r\n ');

export type Folder = {
  /** Pieces of the message in order; without a long line the chunk itself. */
  readonly take: (chunk: Buffer) => readonly Buffer[];
  /** What was held back: call it once, at the end. */
  readonly end: () => readonly Buffer[];
};

/** `onBreak` is called for the first line that is broken. A limit of 0 breaks nothing. */
export function openFolder(limit: number, onBreak: () => void): Folder {
  let column = 0;
  let isNoted = false;
  /** A CR at the end of a chunk: the LF behind it decides whether it counts. */
  let held: Buffer | undefined;

  const take = (input: Buffer): readonly Buffer[] => {
    const joined = held ? Buffer.concat([held, input]) : input;
    const endsInCr = joined[joined.length - 1] === CR;
    held = endsInCr ? joined.subarray(joined.length - 1) : undefined;
    const chunk = endsInCr ? joined.subarray(0, joined.length - 1) : joined;
    if (chunk.length === 0) return [];
    const next = columnAfter(chunk, column, limit);
    if (next !== undefined) {
      column = next;
      return [chunk];
    }
    if (!isNoted) onBreak();
    isNoted = true;
    return breakLines(chunk);
  };

  const breakLines = (chunk: Buffer): Buffer[] => {
    const pieces: Buffer[] = [];
    let from = 0;
    while (from < chunk.length) {
      const lf = chunk.indexOf(LF, from);
      const end = lf < 0 ? chunk.length : lf + 1;
      let left = lf < 0 ? end - from : Math.max(0, lf - from - 1);
      while (column + left > limit) {
        const fits = limit - column;
        pieces.push(chunk.subarray(from, from + fits), BREAK);
        from += fits;
        left -= fits;
        column = 1;
      }
      pieces.push(chunk.subarray(from, end));
      column = lf < 0 ? column + left : 0;
      from = end;
    }
    return pieces;
  };

  if (limit <= 0) return { take: (chunk) => [chunk], end: () => [] };
  return { take, end: () => (held ? [held] : []) };
}

/** The column behind a chunk, or undefined when a line in it is too long. */
function columnAfter(chunk: Buffer, column: number, limit: number): number | undefined {
  let start = -column;
  while (chunk.length - start > limit) {
    // The last line end at which this line could still be short enough: its LF, after the CR.
    const lf = chunk.lastIndexOf(LF, Math.min(start + limit + 1, chunk.length - 1));
    if (lf < 0 || lf < start) return undefined;
    start = lf + 1;
  }
  const lf = chunk.lastIndexOf(LF);
  return lf < 0 ? column + chunk.length : chunk.length - lf - 1;
}
