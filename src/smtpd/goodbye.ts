/** Why the server ends a session by itself: each says it to the client and to the log. */
import { printable } from '../log/maillog.ts';
import { formatReply, reply } from '../mail/reply.ts';
import type { PosternConnection } from './connection.ts';

const PIPELINED = reply(554, '5.5.0', 'Error: SMTP protocol synchronization');
const GOODBYE = formatReply(reply(221, '2.7.0', 'Error: I can break rules, too. Goodbye.'));
const MAX_SHOWN = 100;

/** The client did not wait for a reply that it needs. */
export function endUnsynchronized(c: PosternConnection, after: string, data: Buffer): void {
  logPipelining(c, after, data);
  c.send_(PIPELINED);
  c.end();
}

export function logPipelining(c: PosternConnection, after: string, data: Buffer): void {
  const input = escaped(data.subarray(0, MAX_SHOWN).toString('latin1'));
  c.parts.logger.info(`improper command pipelining after ${after} from ${c.client}: ${input}`);
}

/** A browser, or another program that speaks something else. */
export function endForeign(c: PosternConnection, text: string): void {
  const shown = printable(text).slice(0, MAX_SHOWN);
  c.parts.logger.warning(`non-SMTP command from ${c.client}: ${shown}`);
  c.write(GOODBYE);
  c.end();
}

export function endHopeless(c: PosternConnection, after: string): void {
  c.parts.logger.info(`too many errors after ${after} from ${c.client}`);
  c.hangUp(421, '4.7.0', 'Error: too many errors');
}

export function endLongLine(c: PosternConnection): void {
  c.parts.logger.warning(`command line too long from ${c.client}`);
  c.hangUp(421, '4.7.0', 'Error: command line too long');
}

export function endTimeout(c: PosternConnection, after: string): void {
  c.parts.logger.info(`timeout after ${after} from ${c.client}`);
  c.hangUp(421, '4.4.2', 'Error: timeout exceeded');
}

/** smtpd_forbid_bare_newline = reject */
export function endBareNewline(c: PosternConnection, after: string): void {
  const { config } = c.parts;
  c.logRefusal(after, 'bare <LF> received');
  const code = config.smtpd_forbid_bare_newline_reject_code;
  const text = `${config.myhostname} Error: bare <LF> received`;
  c.send_(reply(code, code >= 500 ? '5.5.2' : '4.5.2', text));
  c.end();
}

/** As C writes it: `\r\n`, `\303`. */
const escaped = (text: string): string =>
  text.replaceAll(/[^ -~]|\\/g, (char) => {
    const name = ESCAPES[char];
    return name ?? `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`;
  });
const ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
};
