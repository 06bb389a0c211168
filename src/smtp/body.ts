/**
 * The message on its way to the wire: dot-stuffing and the final dot.
 *
 * Stored bytes end their lines with CRLF and hold no other CR or LF, so a line start is what
 * follows `\n`. A body without dot lines is written as it is stored, in one write with the end.
 *
 * @see RFC 5321 section 4.5.2
 */
import type { Writable } from 'node:stream';
import type { Body } from '../queue/store.ts';
import { drained } from '../util/drained.ts';

const DOT = 0x2e;
const LF = 0x0a;
const END = Buffer.from('.\r\n');
const END_AFTER_NO_LINE_END = Buffer.from('\r\n.\r\n');
const ONE_DOT = Buffer.from('.');

/** Written as one piece below this size: two small writes cost more than one copy. */
const COPY_BELOW = 65_536;

/**
 * Write the body and the closing dot; `tail` (a pipelined QUIT) leaves in the same write. Resolves
 * when the socket has taken everything, with an error when the body cannot be read; a socket that
 * closes meanwhile ends the writing quietly, its own error tells the story.
 */
export function writeBody(
  socket: Writable,
  body: Body,
  hasDotLines: boolean,
  tail: Buffer | undefined,
  onProgress: () => void,
): undefined | Promise<Error | undefined> {
  if (body.bytes) {
    const { bytes } = body;
    const end = endOf(bytes.length === 0 ? LF : (bytes[bytes.length - 1] ?? LF), tail);
    if (!hasDotLines && bytes.length < COPY_BELOW) {
      const whole = Buffer.allocUnsafe(bytes.length + end.length);
      bytes.copy(whole, 0);
      end.copy(whole, bytes.length);
      socket.write(whole);
      return undefined;
    }
    socket.cork();
    if (hasDotLines) for (const piece of stuff(bytes, true)) socket.write(piece);
    else socket.write(bytes);
    socket.write(end);
    socket.uncork();
    return undefined;
  }
  return writeChunks(socket, body.chunks, hasDotLines, tail, onProgress);
}

async function writeChunks(
  socket: Writable,
  chunks: AsyncIterable<Buffer>,
  hasDotLines: boolean,
  tail: Buffer | undefined,
  onProgress: () => void,
): Promise<Error | undefined> {
  let last = LF;
  try {
    for await (const chunk of chunks) {
      if (socket.destroyed) return undefined;
      if (chunk.length === 0) continue;
      if (hasDotLines) {
        socket.cork();
        for (const piece of stuff(chunk, last === LF)) socket.write(piece);
        socket.uncork();
      } else socket.write(chunk);
      last = chunk[chunk.length - 1] ?? LF;
      if (socket.writableNeedDrain) await drained(socket);
      onProgress();
    }
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
  if (!socket.destroyed) socket.write(endOf(last, tail));
  return undefined;
}

/** Slices of `bytes` with a dot put before each dot that starts a line; nothing is copied. */
export function* stuff(bytes: Buffer, atLineStart: boolean): Generator<Buffer, void, void> {
  if (atLineStart && bytes[0] === DOT) yield ONE_DOT;
  let from = 0;
  for (let at = bytes.indexOf('\n.'); at >= 0; at = bytes.indexOf('\n.', at + 1)) {
    yield bytes.subarray(from, at + 1);
    yield ONE_DOT;
    from = at + 1;
  }
  if (from < bytes.length) yield bytes.subarray(from);
}

function endOf(lastByte: number, tail: Buffer | undefined): Buffer {
  const end = lastByte === LF ? END : END_AFTER_NO_LINE_END;
  return tail ? Buffer.concat([end, tail]) : end;
}
