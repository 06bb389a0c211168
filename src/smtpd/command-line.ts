/** One command line: which command it is, and what stands in its way before it runs. */
import { isAscii, isUtf8 } from 'node:buffer';
import { type Reply, reply } from '../mail/reply.ts';
import { COMMANDS, type Command } from './commands.ts';

export type CommandLine =
  | { readonly kind: 'bad-text' }
  | {
      readonly kind: 'command';
      readonly verb: string;
      readonly command: Command;
      readonly rest: string;
    }
  | { readonly kind: 'unknown'; readonly verb: string; readonly text: string };

export function readCommandLine(line: Buffer): CommandLine {
  if (!isAscii(line) && !isUtf8(line)) return { kind: 'bad-text' };
  const text = line.toString('utf8').trimEnd();
  const space = text.search(/[ \t]/);
  const verb = (space < 0 ? text : text.slice(0, space)).toUpperCase();
  const command = COMMANDS.get(verb);
  if (!command) return { kind: 'unknown', verb, text };
  return { kind: 'command', verb, command, rest: space < 0 ? '' : text.slice(space + 1).trim() };
}

export type CommandContext = {
  /** Set when the client itself is refused. */
  readonly isDenied: boolean;
  readonly needsTls: boolean;
  readonly client: string;
};

/** Refusals that hold for any command. */
export function standingRefusal(
  verb: string,
  command: Command,
  { isDenied, needsTls, client }: CommandContext,
): Reply | undefined {
  if (isDenied && verb !== 'QUIT') return reply(503, '5.7.0', `Error: access denied for ${client}`);
  if (needsTls && !command.isPreTls) {
    return reply(530, '5.7.0', 'Must issue a STARTTLS command first');
  }
  return undefined;
}
