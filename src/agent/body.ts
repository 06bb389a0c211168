/**
 * The body of a delivery as it comes from qmgr: small ones are kept, large ones stream.
 *
 * While more than `BUFFER` bytes of a stream wait for their reader, the socket is paused. What ends
 * before its announced length is a fault.
 */
import { err, ok, type Result } from '../util/result.ts';

export type AgentBody = {
  /** The start of the message, with its whole header unless that is above `HEAD_LIMIT`. */
  readonly head: Buffer;
  /** Stored form (CRLF), the head included; may be iterated once. Throws `BodyFault`. */
  readonly chunks: AsyncIterable<Buffer>;
  /** Present when the whole body is in memory. */
  readonly bytes?: Buffer;
};

/** The body ended before its announced length. Temporary. */
export class BodyFault extends Error {}

export type BodyReader = {
  readonly open: () => Promise<Result<AgentBody, string>>;
  readonly add: (bytes: Buffer) => void;
  /** The last byte has come, or it will never come. */
  readonly end: (fault?: string) => void;
  /** Let what still comes pass unread. */
  readonly abandon: () => void;
};

/** Kept in memory for all recipients of the delivery. */
const KEEP = 1024 * 1024;
const BUFFER = 1024 * 1024;
const HEAD_LIMIT = 128 * 1024;

type Parts = {
  readonly wireBytes: number;
  readonly ask: () => void;
  readonly pause: () => void;
  readonly resume: () => void;
};

export function bodyReader({ wireBytes, ask, pause, resume }: Parts): BodyReader {
  let kept: Buffer | undefined;
  let queue: Buffer[] = [];
  let queued = 0;
  let received = 0;
  let state: 'idle' | 'reading' | 'ended' = 'idle';
  let fault: string | undefined;
  let isAbandoned = false;
  let wake: (() => void) | undefined;

  const notify = (): void => {
    const woken = wake;
    wake = undefined;
    woken?.();
  };
  const begin = (): void => {
    queue = [];
    queued = 0;
    received = 0;
    fault = undefined;
    state = 'reading';
    ask();
  };
  /** The next piece, undefined at the end. */
  const next = async (): Promise<Buffer | undefined> => {
    while (queue.length === 0 && state === 'reading') {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const piece = queue.shift();
    if (!piece) return undefined;
    queued -= piece.length;
    if (queued < BUFFER / 2) resume();
    return piece;
  };
  const open = async (): Promise<Result<AgentBody, string>> => {
    if (kept) return ok(wholeBody(kept));
    if (state === 'reading') return err('the body is still being read');
    begin();
    const pieces: Buffer[] = [];
    let size = 0;
    const wanted = wireBytes <= KEEP ? Number.POSITIVE_INFINITY : HEAD_LIMIT;
    while (size < wanted) {
      const piece = await next();
      if (!piece) break;
      pieces.push(piece);
      size += piece.length;
    }
    const head = pieces.length === 1 ? (pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(pieces);
    if (fault !== undefined) return err(fault);
    if (wireBytes <= KEEP) {
      kept = head;
      return ok(wholeBody(head));
    }
    return ok({ head, chunks: rest(head) });
  };
  async function* rest(head: Buffer): AsyncGenerator<Buffer, void, void> {
    yield head;
    for (let piece = await next(); piece; piece = await next()) yield piece;
    if (fault !== undefined) throw new BodyFault(fault);
  }
  return {
    open,
    add: (bytes) => {
      if (state !== 'reading') return;
      received += bytes.length;
      if (isAbandoned) return;
      queue.push(bytes);
      queued += bytes.length;
      if (queued > BUFFER && wireBytes > KEEP) pause();
      notify();
    },
    end: (reason) => {
      if (state !== 'reading') return;
      state = 'ended';
      if (reason !== undefined) fault = reason;
      else if (received !== wireBytes) fault = `body of ${received} bytes instead of ${wireBytes}`;
      notify();
    },
    abandon: () => {
      isAbandoned = true;
      queue = [];
      resume();
    },
  };
}

function wholeBody(bytes: Buffer): AgentBody {
  return { head: bytes, bytes, chunks: one(bytes) };
}

async function* one(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}
