/**
 * Logical lines of a table source, read in pieces so that a large one is never whole in memory.
 *
 * Blank lines and comments vanish wherever they stand; a line that starts with white space
 * continues the one before it. White space is ASCII, as in Postfix readllines(3); a carriage
 * return is white space too.
 */
import { readSync } from 'node:fs';
import type { LogicalLine } from '../../util/logical-lines.ts';

/** Told of lines that are left out or cut short; `line` is 1-based. */
export type OnFault = (line: number, reason: string) => void;

const CHUNK = 1 << 17;
const NEWLINE = 10;

/** Text of an open file, cut at line ends; `isBytes`: a character is a byte. Throws what read(2) says. */
export function* fileChunks(descriptor: number, isBytes = false): Generator<string, void, void> {
  const encoding = isBytes ? 'latin1' : 'utf8';
  let buffer = Buffer.allocUnsafe(CHUNK);
  let kept = 0;
  for (;;) {
    // A line longer than the buffer.
    if (kept === buffer.length) buffer = Buffer.concat([buffer, Buffer.allocUnsafe(buffer.length)]);
    const count = readSync(descriptor, buffer, kept, buffer.length - kept, null);
    const whole = buffer.subarray(0, kept + count);
    if (count === 0) {
      if (kept > 0) yield whole.toString(encoding);
      return;
    }
    const end = whole.lastIndexOf(NEWLINE) + 1;
    if (end > 0) yield whole.toString(encoding, 0, end);
    kept = whole.length - end;
    buffer.copyWithin(0, end, whole.length);
  }
}

/** Chunks must end with a line, the last one excepted. */
export function* sourceLines(
  chunks: Iterable<string>,
  onFault: OnFault,
): Generator<LogicalLine, void, void> {
  let text = '';
  let first = 0;
  let line = 0;
  for (const chunk of chunks) {
    for (let from = 0; from < chunk.length; ) {
      const found = chunk.indexOf('\n', from);
      const end = found < 0 ? chunk.length : found;
      line += 1;
      const raw = chunk.slice(from, end);
      from = end + 1;
      if (isIgnored(raw)) continue;
      if (isSpace(raw.charCodeAt(0)) && text !== '') {
        text += raw;
        continue;
      }
      if (text !== '') {
        const checked = check(text, first, onFault);
        if (checked !== undefined) yield { text: checked, line: first };
      }
      text = raw;
      first = line;
    }
  }
  if (text === '') return;
  const checked = check(text, first, onFault);
  if (checked !== undefined) yield { text: checked, line: first };
}

/** The line as far as it counts; undefined when it is left out. */
function check(text: string, line: number, onFault: OnFault): string | undefined {
  if (isSpace(text.charCodeAt(0))) {
    onFault(line, `logical line must not start with whitespace: "${text.slice(0, 30)}"`);
    return undefined;
  }
  const end = text.indexOf('\0');
  if (end < 0) return text;
  onFault(line, 'text after null byte is ignored');
  return text.slice(0, end);
}

/** Blank, or a comment. */
function isIgnored(raw: string): boolean {
  for (let at = 0; at < raw.length; at += 1) {
    const code = raw.charCodeAt(at);
    if (!isSpace(code)) return code === 0x23;
  }
  return true;
}

const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d);
