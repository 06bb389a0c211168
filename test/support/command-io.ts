/** What a command writes, kept for a test. */
import { Readable } from 'node:stream';
import type { Io } from '../../src/cmd/main.ts';

export type Kept = { readonly io: Io; readonly out: () => string; readonly errors: () => string };

export function keptIo(configDirectory: string): Kept {
  let out = '';
  let errors = '';
  const io: Io = {
    stdin: Readable.from([]),
    readInput: async () => Buffer.alloc(0),
    stdout: (text) => void (out += text),
    stderr: (text) => void (errors += text),
    configDirectory,
  };
  return { io, out: () => out, errors: () => errors };
}
