/** Waiting for a stream that has taken more than it wanted. */
import type { Writable } from 'node:stream';

/** Resolves at the next `drain`, or when the stream has closed. Leaves no listener behind. */
export function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}
