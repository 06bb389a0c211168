/**
 * sendmail(1): take a message from standard input and leave it in maildrop/.
 *
 * Nothing else is needed of the server: mail that is dropped while it is down is sent later. This
 * file imports little, since programs start it for every message.
 *
 * @see sendmail(1) of Postfix for the options; exit statuses are those of sysexits(3)
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { internalAddress } from '../mail/address.ts';
import { DROP_SUFFIX, type Drop, formatHead } from '../pickup/maildrop.ts';
import type { Io } from './main.ts';
import { headerRecipients } from './sendmail-header.ts';
import { parseOptions, type SendmailOptions } from './sendmail-options.ts';
import { sendmailSettings } from './sendmail-settings.ts';

const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const EX_TEMPFAIL = 75;
const EX_CONFIG = 78;

export async function sendmail(argv: readonly string[], io: Io): Promise<number> {
  const options = parseOptions(argv);
  if (!options.ok) {
    io.stderr(`sendmail: fatal: ${options.error}\n`);
    return EX_USAGE;
  }
  const { mode } = options.value;
  switch (mode) {
    case 'queue':
      return (await import('./postqueue.ts')).postqueue(['-p'], io);
    case 'flush':
      return (await import('./postqueue.ts')).postqueue(
        options.value.flushId ? ['-i', options.value.flushId] : ['-f'],
        io,
      );
    case 'aliases':
      return (await import('./newaliases.ts')).newaliases([], io);
    case 'daemon':
      return (await import('./server.ts')).server('start', io);
    case 'smtp':
      return (await import('./sendmail-smtp.ts')).sendmailSmtp(io, (drop, message) =>
        submit(drop, message, io),
      );
    case 'deliver':
      return deliver(options.value, io);
  }
}

async function deliver(options: SendmailOptions, io: Io): Promise<number> {
  const message = await readMessage(io.stdin, options.dotEnds);
  const user = options.sender ?? process.env['LOGNAME'] ?? userInfo().username;
  const named = options.recipients.map(stripBrackets);
  const extracted = options.extract ? headerRecipients(message) : [];
  const recipients = [...new Set([...named, ...extracted].map(internalAddress))];
  if (recipients.length === 0) {
    const hint = options.extract
      ? 'No recipient addresses found in message header'
      : 'Recipient addresses must be specified on the command line or via the -t option';
    io.stderr(`sendmail: fatal: ${hint}\n`);
    return EX_USAGE;
  }
  return submit(
    {
      sender: internalAddress(stripBrackets(user)),
      recipients,
      fullName: options.fullName,
      body: options.body,
      envid: options.envid,
      ret: options.ret,
      notify: options.notify,
    },
    message,
    io,
  );
}

/** Write the drop durably, then tell qmgr; that it is down does not matter. */
export async function submit(drop: Drop, message: Buffer, io: Io): Promise<number> {
  const settings = await sendmailSettings(io.configDirectory);
  if (!settings.ok) {
    io.stderr(`sendmail: fatal: ${settings.error}\n`);
    return EX_CONFIG;
  }
  const { root, sizeLimit } = settings.value;
  if (sizeLimit > 0 && message.length > sizeLimit) {
    io.stderr('sendmail: fatal: message file too big\n');
    return EX_UNAVAILABLE;
  }
  const name = `${Date.now()}.${process.pid}.${randomBytes(16).toString('hex')}`;
  const temporary = join(root, 'maildrop', `${name}.tmp`);
  try {
    const file = openSync(temporary, 'wx', 0o600);
    fchmodSync(file, modeFor(file, join(root, 'maildrop')));
    for (const part of [Buffer.from(formatHead(drop)), message]) {
      for (let at = 0; at < part.length; at += writeSync(file, part, at));
    }
    fsyncSync(file);
    closeSync(file);
    renameSync(temporary, join(root, 'maildrop', `${name}${DROP_SUFFIX}`));
    syncDirectory(join(root, 'maildrop'));
  } catch (error) {
    io.stderr(`sendmail: fatal: ${error instanceof Error ? error.message : String(error)}\n`);
    remove(temporary);
    return EX_TEMPFAIL;
  }
  await notify(root);
  return 0;
}

/**
 * The least that lets mail_owner, to whom the maildrop belongs, read the file: nothing in one's own
 * maildrop, its group where the directory hands that on. Else everybody: the directory cannot be
 * listed and the name cannot be guessed.
 */
function modeFor(file: number, maildrop: string): number {
  const directory = statSync(maildrop);
  if ((directory.mode & 0o2000) !== 0 && fstatSync(file).gid === directory.gid) return 0o640;
  return fstatSync(file).uid === directory.uid ? 0o600 : 0o644;
}

/** The rename itself is made durable, where this user may open the directory. */
function syncDirectory(path: string): void {
  try {
    const directory = openSync(path, 'r');
    fsyncSync(directory);
    closeSync(directory);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EACCES')) throw error;
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}

const NOTICE = Buffer.from(JSON.stringify({ kind: 'maildrop' }));

function notify(root: string): Promise<void> {
  process.chdir(root);
  return new Promise((resolve) => {
    const socket = connect({ path: 'public/qmgr' }, () => {
      const head = Buffer.alloc(5);
      head.writeUInt32BE(NOTICE.length, 0);
      head.write('J', 4);
      socket.end(Buffer.concat([head, NOTICE]));
    });
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.once('close', () => resolve());
  });
}

/** Standard input to its end, or to a line with a single dot; LF or CRLF line ends stay as they are. */
async function readMessage(input: NodeJS.ReadableStream, dotEnds: boolean): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of input)
    chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  const message = Buffer.concat(chunks);
  if (!dotEnds) return message;
  const text = message.toString('latin1');
  const end = /(^|\n)\.\r?(\n|$)/.exec(text);
  return end ? message.subarray(0, end.index + (end[1]?.length ?? 0)) : message;
}

const stripBrackets = (address: string): string =>
  /^<(.*)>$/.exec(address.trim())?.[1] ?? address.trim();
