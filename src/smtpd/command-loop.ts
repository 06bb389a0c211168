/**
 * The lines of a session, one after another: the answer to a challenge, or a command that is looked
 * up, checked against what holds for all commands, counted, and run.
 */
import { reply } from '../mail/reply.ts';
import { CommandCounts } from './command-counts.ts';
import { readCommandLine, standingRefusal } from './command-line.ts';
import type { Command } from './commands.ts';
import type { PosternConnection } from './connection.ts';
import { endForeign, endHopeless, endUnsynchronized, logPipelining } from './goodbye.ts';
import type { Patience } from './patience.ts';

const EMPTY = Buffer.alloc(0);
/** A line of a message: a client that went on after DATA was refused, or a relay of some other kind. */
const HEADER = /^[!-9;-~]+[ \t]*:/;

export type LineHandler = (line: string) => void | Promise<void>;

export class CommandLoop {
  readonly counts = new CommandCounts();
  /** For `lost connection after`. */
  last = 'CONNECT';
  readonly #c: PosternConnection;
  readonly #patience: Patience;
  #lineHandler: LineHandler | undefined;

  constructor(connection: PosternConnection, patience: Patience) {
    this.#c = connection;
    this.#patience = patience;
  }

  /** The next line is not a command. */
  expectLine(handler: LineHandler): void {
    this.#lineHandler = handler;
  }

  get awaitsAnswer(): boolean {
    return this.#lineHandler !== undefined;
  }

  take(line: Buffer): void | Promise<void> {
    const c = this.#c;
    const handler = this.#lineHandler;
    if (handler) {
      this.#lineHandler = undefined;
      if (c.stream) c.stream.lineLimit = c.parts.config.line_length_limit;
      return handler(line.toString('latin1'));
    }
    if (this.#patience.isExhausted) return endHopeless(c, this.last);
    const read = readCommandLine(line);
    switch (read.kind) {
      case 'bad-text':
        return c.send_(reply(500, '5.5.2', 'Error: bad UTF-8 syntax'));
      case 'unknown':
        return this.#unknown(read.verb, read.text);
      case 'command':
        return this.#run(read.verb, read.command, read.rest);
    }
  }

  #run(verb: string, command: Command, rest: string): void | Promise<void> {
    const c = this.#c;
    const { config, tlsLevel } = c.parts;
    this.last = verb;
    const name = verb.toLowerCase();
    this.counts.tried(name);
    if (command.endsGroup || c.session_.protocol === 'SMTP') {
      const isViolation = c.stream?.hasMoreInput === true;
      if (isViolation) {
        const waiting = c.stream?.waiting ?? EMPTY;
        if (config.smtpd_forbid_unauth_pipelining || verb === 'STARTTLS') {
          return endUnsynchronized(c, verb, waiting);
        }
        logPipelining(c, verb, waiting);
      }
      c.hasPipelined = isViolation;
    } else c.hasPipelined = false;
    if (command.isJunk) this.#patience.noteJunk();
    const { errors } = this.#patience;
    const refusal = standingRefusal(verb, command, {
      isDenied: c.isDenied,
      needsTls: tlsLevel === 'encrypt' && !c.secure,
      client: c.client,
    });
    if (refusal) return c.send_(refusal);
    const count = (): void => {
      if (this.#patience.errors === errors && !command.isNeverDone) this.counts.done(name);
    };
    const result = command.run(c, rest);
    if (result instanceof Promise) return result.then(count);
    return count();
  }

  #unknown(verb: string, text: string): void {
    this.counts.tried('unknown');
    const isForeign = this.#c.host.forbidden.has(verb) || !/^[A-Z]/.test(verb);
    if (text !== '' && (isForeign || HEADER.test(text))) {
      return endForeign(this.#c, text);
    }
    this.last = 'UNKNOWN';
    const what = text === '' ? 'bad syntax' : 'command not recognized';
    return this.#c.send_(reply(500, '5.5.2', `Error: ${what}`));
  }
}
