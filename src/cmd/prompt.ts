/**
 * Reading a password: from a terminal without echo, twice where it is a new one, or the first line
 * of standard input.
 */
import { ReadStream } from 'node:tty';
import { err, ok, type Result } from '../util/result.ts';
import type { Io } from './main.ts';

const MAX_LINE_BYTES = 4096;

export async function readSecret(
  io: Io,
  fromStdin: boolean,
  isNew: boolean,
): Promise<Result<string, string>> {
  const { stdin } = io;
  if (fromStdin) return firstLine(stdin);
  if (!(stdin instanceof ReadStream)) {
    return err(
      'standard input is not a terminal; pass --password-stdin to read the password there',
    );
  }
  const secret = await prompt(stdin, io, 'Password: ');
  if (!secret.ok || !isNew) return secret;
  const again = await prompt(stdin, io, 'Again: ');
  if (!again.ok) return again;
  return again.value === secret.value ? secret : err('the two passwords differ; nothing changed');
}

async function firstLine(stdin: NodeJS.ReadableStream): Promise<Result<string, string>> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of stdin) {
    bytes = Buffer.concat([bytes, Buffer.from(chunk)]);
    if (bytes.includes(0x0a)) break;
    if (bytes.length > MAX_LINE_BYTES) return err('the first line of standard input is too long');
  }
  const text = bytes.toString('utf8').split('\n', 1)[0] ?? '';
  return ok(text.replace(/\r$/, ''));
}

function prompt(stdin: ReadStream, io: Io, question: string): Promise<Result<string, string>> {
  io.stderr(question);
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  stdin.resume();
  return new Promise((resolve) => {
    let typed = '';
    const finish = (answer: Result<string, string>): void => {
      stdin.off('data', onData);
      stdin.setRawMode(false);
      stdin.pause();
      io.stderr('\n');
      resolve(answer);
    };
    const onData = (chunk: string | Buffer): void => {
      for (const character of chunk.toString()) {
        if (character === '\r' || character === '\n') return finish(ok(typed));
        if (character === '\x03' || character === '\x04') return finish(err('interrupted'));
        if (character === '\x7f' || character === '\b') typed = [...typed].slice(0, -1).join('');
        else if (character === '\x15') typed = '';
        else if (typed.length < MAX_LINE_BYTES) typed += character;
      }
    };
    stdin.on('data', onData);
  });
}
