/**
 * Framed messages over a stream socket: how two processes of ours talk.
 *
 * A frame is a 4-byte big-endian length, one type byte, and the payload: `J` JSON, `B` binary with
 * a 4-byte sequence number in front. Frames written in one turn leave in one write. A frame above
 * `MAX_FRAME` or one that does not parse ends the connection: the peer is not ours.
 */
import type { Socket } from 'node:net';
import { drained } from '../util/drained.ts';

export const MAX_FRAME = 16 * 1024 * 1024;
const HEAD = 5;

export type Channel<Out> = {
  readonly send: (message: Out) => void;
  /** Returns false when the caller should wait for `drained` before sending more. */
  readonly sendBytes: (seq: number, bytes: Buffer) => boolean;
  readonly drained: () => Promise<void>;
  readonly end: () => void;
  readonly socket: Socket;
};

export type ChannelEvents = {
  readonly onMessage: (message: unknown) => void;
  readonly onBytes?: (seq: number, bytes: Buffer) => void;
  /** Once, however the connection ended. */
  readonly onClose: (error?: Error) => void;
};

/** Take over a connected socket. */
export function openChannel<Out>(socket: Socket, events: ChannelEvents): Channel<Out> {
  let rest: Buffer = Buffer.alloc(0);
  let failure: Error | undefined;
  let corked = false;

  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (rest.length - at >= HEAD) {
      const length = rest.readUInt32BE(at);
      if (length > MAX_FRAME) return void socket.destroy(new Error(`frame of ${length} bytes`));
      if (rest.length - at < HEAD + length) break;
      const payload = rest.subarray(at + HEAD, at + HEAD + length);
      const type = rest[at + 4];
      at += HEAD + length;
      if (type === 0x4a) {
        const message = parseJson(payload);
        if (message === undefined) return void socket.destroy(new Error('frame is not JSON'));
        events.onMessage(message);
      } else if (type === 0x42 && length >= 4) {
        events.onBytes?.(payload.readUInt32BE(0), payload.subarray(4));
      } else return void socket.destroy(new Error('unknown frame type'));
    }
    rest = rest.subarray(at);
  });
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('close', () => events.onClose(failure));

  const write = (type: number, ...parts: Buffer[]): boolean => {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(() => {
        corked = false;
        socket.uncork();
      });
    }
    const head = Buffer.allocUnsafe(HEAD);
    head.writeUInt32BE(
      parts.reduce((sum, part) => sum + part.length, 0),
      0,
    );
    head[4] = type;
    let more = socket.write(head);
    for (const part of parts) more = socket.write(part);
    return more;
  };

  return {
    socket,
    send: (message) => void write(0x4a, Buffer.from(JSON.stringify(message))),
    sendBytes: (seq, bytes) => {
      const number = Buffer.allocUnsafe(4);
      number.writeUInt32BE(seq, 0);
      return write(0x42, number, bytes);
    },
    drained: () =>
      !socket.writableNeedDrain || socket.destroyed ? Promise.resolve() : drained(socket),
    end: () => socket.end(),
  };
}

function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
}
