/**
 * The commands of the server by name: which may be sent before TLS, which must be the last of a
 * pipelined group, which count as junk, and what each does. Reply texts are Postfix's.
 *
 * @see RFC 5321 section 4.1, RFC 2920 section 3.1
 */
import { reply } from '../mail/reply.ts';
import { parsePath } from '../mail/smtp-grammar.ts';
import { runAuth } from './auth.ts';
import type { PosternConnection } from './connection.ts';
import { runBdat, runData } from './data-commands.ts';
import { runMail, runRcpt } from './mail-commands.ts';
import { runStarttls } from './starttls.ts';
import { runXclient } from './xclient.ts';

export type Command = {
  readonly run: (connection: PosternConnection, rest: string) => void | Promise<void>;
  /** Nothing may be pipelined behind it. */
  readonly endsGroup?: true;
  /** Allowed before STARTTLS where TLS is required. */
  readonly isPreTls?: true;
  /** Does nothing for mail: many of them are abuse. */
  readonly isJunk?: true;
  /** Postfix's count of commands takes none of them for done. */
  readonly isNeverDone?: true;
};

export const OK = reply(250, '2.0.0', 'Ok');
const HELP_TEXT = 'Commands: AUTH BDAT DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY';

export const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['HELO', { run: runHelo, endsGroup: true, isPreTls: true, isJunk: true }],
  ['EHLO', { run: runEhlo, endsGroup: true, isPreTls: true, isJunk: true }],
  ['MAIL', { run: runMail }],
  ['RCPT', { run: runRcpt }],
  ['DATA', { run: runData, endsGroup: true }],
  ['BDAT', { run: runBdat }],
  ['RSET', { run: runRset, isJunk: true }],
  ['NOOP', { run: (c) => c.send_(OK), endsGroup: true, isPreTls: true, isJunk: true }],
  ['VRFY', { run: runVrfy, endsGroup: true, isJunk: true }],
  ['HELP', { run: (c) => c.send_(reply(214, '2.0.0', HELP_TEXT)), isPreTls: true, isJunk: true }],
  ['QUIT', { run: runQuit, isPreTls: true }],
  ['AUTH', { run: runAuth }],
  ['STARTTLS', { run: runStarttls, endsGroup: true, isPreTls: true }],
  ['XCLIENT', { run: runXclient, isPreTls: true, isNeverDone: true }],
]);

async function runHelo(c: PosternConnection, rest: string): Promise<void> {
  if (!(await greet(c, 'HELO', rest))) return;
  c.changeSession({ helo: heloName(rest), protocol: 'SMTP' });
  c.write(`250 ${c.parts.config.myhostname}\r\n`);
}

async function runEhlo(c: PosternConnection, rest: string): Promise<void> {
  if (!(await greet(c, 'EHLO', rest))) return;
  c.changeSession({ helo: heloName(rest), protocol: 'ESMTP' });
  if (c.host.discards.size > 0) {
    c.parts.logger.info(`discarding EHLO keywords: ${[...c.host.discards].join(' ')}`);
  }
  c.write(c.host.ehloReply(c));
}

/** Common to both; false when the client was refused. */
async function greet(c: PosternConnection, verb: string, rest: string): Promise<boolean> {
  const { config, restrictions } = c.parts;
  if (rest === '') {
    c.send_({ code: 501, lines: [`Syntax: ${verb} hostname`] });
    return false;
  }
  c.dropTransaction();
  if (config.smtpd_delay_reject || restrictions.isEmpty('helo')) return true;
  c.changeSession({ helo: heloName(rest), protocol: verb === 'EHLO' ? 'ESMTP' : 'SMTP' });
  const { refusal } = await restrictions.evaluate('helo', c.facts());
  if (!refusal) return true;
  c.logRejection(verb, refusal);
  c.send_(refusal);
  return false;
}

/** What is kept of a HELO name: bounded, printable. */
const heloName = (text: string): string => text.replaceAll(/[\x00-\x1f\x7f]/g, '?').slice(0, 255);

function runRset(c: PosternConnection, rest: string): void {
  if (rest !== '') {
    c.send_(reply(501, '5.5.4', 'Syntax: RSET'));
    return;
  }
  c.dropTransaction();
  c.send_(OK);
}

/** An argument is let pass, as in Postfix: the client wants to go. */
function runQuit(c: PosternConnection): void {
  c.send_(reply(221, '2.0.0', 'Bye'));
  c.end();
}

async function runVrfy(c: PosternConnection, rest: string): Promise<void> {
  const { config, restrictions } = c.parts;
  if (config.disable_vrfy_command) {
    c.send_(reply(502, '5.5.1', 'VRFY command is disabled'));
    return;
  }
  const [, address = '', word] = /^(.*?)(?:\s+(SMTPUTF8))?$/i.exec(rest) ?? [];
  if (address === '') {
    const option = config.smtputf8_enable ? ' [SMTPUTF8]' : '';
    c.send_(reply(501, '5.5.4', `Syntax: VRFY address${option}`));
    return;
  }
  const path = parsePath(address.replace(/^<(.*)>$/, '$1'));
  const isAscii = /^[\x20-\x7e]*$/.test(address);
  if (!path.ok || path.value.address === '' || !(isAscii || word)) {
    c.send_(reply(501, '5.1.3', 'Bad recipient address syntax'));
    return;
  }
  const facts = { ...c.facts(path.value.address), sender: c.transaction?.sender ?? '' };
  const { refusal } = await restrictions.atRecipient(facts);
  if (refusal) {
    c.logRejection('VRFY', refusal, { recipient: path.value.given });
    c.send_(refusal);
    return;
  }
  c.send_(reply(252, '2.0.0', address));
}
