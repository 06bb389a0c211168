/**
 * sendmail(1): take a message from standard input and leave it in maildrop/.
 *
 * Nothing else is needed of the server: mail that is dropped while it is down is sent later. This
 * file imports little, since programs start it for every message.
 *
 * @see sendmail(1) of Postfix for the options; exit statuses are those of sysexits(3)
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { internalAddress } from '../mail/address.ts';
import { DROP_SUFFIX, type Drop, formatHead, TEMPORARY_SUFFIX } from '../pickup/maildrop.ts';
import type { Io } from './main.ts';
import { headerRecipients } from './sendmail-header.ts';
import { parseOptions, type SendmailOptions } from './sendmail-options.ts';
import { sendmailSettings } from './sendmail-settings.ts';

const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const EX_TEMPFAIL = 75;
const EX_NOPERM = 77;
const EX_CONFIG = 78;

export async function sendmail(argv: readonly string[], io: Io): Promise<number> {
  const options = parseOptions(argv);
  if (!options.ok) {
    const { text, isUsage } = options.error;
    io.stderr(isUsage ? `sendmail: ${text}\n` : `sendmail: fatal: ${text}\n`);
    if (isUsage) io.stderr('sendmail: fatal: usage: sendmail [options]\n');
    return EX_USAGE;
  }
  for (const text of options.value.warnings) io.stderr(`sendmail: warning: ${text}\n`);
  const { mode, flushId, flushSite } = options.value;
  switch (mode) {
    case 'queue':
      return (await import('./postqueue.ts')).postqueue(['-p'], io);
    case 'flush': {
      const what =
        flushId === undefined
          ? flushSite === undefined
            ? ['-f']
            : ['-s', flushSite]
          : ['-i', flushId];
      return (await import('./postqueue.ts')).postqueue(what, io);
    }
    case 'aliases':
      return (await import('./newaliases.ts')).newaliases([], io);
    case 'daemon':
      return (await import('./server.ts')).server('start', io);
    case 'ignored':
      return 0;
    case 'smtp':
      return (await import('./sendmail-smtp.ts')).sendmailSmtp(io, (drop, message) =>
        submit(drop, message, io),
      );
    case 'deliver':
      return deliver(options.value, io);
    case 'verify':
      return verify(options.value, io);
  }
}

/** An account that does not exist any more is called `unknown`. */
function caller(): { readonly username: string; readonly uid: number } {
  try {
    return userInfo();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return { username: 'unknown', uid: process.getuid?.() ?? -1 };
  }
}

async function deliver(options: SendmailOptions, io: Io): Promise<number> {
  const user = caller();
  const fatal = (text: string, status: number): number => {
    io.stderr(`sendmail: fatal: ${user.username}(${user.uid}): ${text}\n`);
    return status;
  };
  const named = options.recipients.map(stripBrackets);
  if (named.length === 0 && !options.extract) {
    return fatal(
      'Recipient addresses must be specified on the command line or via the -t option',
      EX_USAGE,
    );
  }
  const message = readMessage(await inputOf(io), options.dotEnds);
  const extracted = options.extract ? headerRecipients(message) : [];
  const recipients = [...new Set([...named, ...extracted].map(internalAddress))];
  if (recipients.length === 0) {
    return fatal('No recipient addresses found in message header', EX_USAGE);
  }
  const sender = options.sender ?? process.env['LOGNAME'] ?? user.username;
  return submit(
    {
      sender: internalAddress(stripBrackets(sender)),
      recipients,
      fullName: options.fullName === '' ? fullNameOf(user.username) : options.fullName,
      body: options.body,
      envid: options.envid,
      ret: options.ret,
      notify: options.notify,
    },
    message,
    io,
  );
}

/** -bv: no message is read; pickup writes the report. */
async function verify(options: SendmailOptions, io: Io): Promise<number> {
  const user = caller();
  const recipients = options.recipients.map((each) => internalAddress(stripBrackets(each)));
  if (recipients.length === 0) {
    const text = 'Recipient addresses must be specified on the command line or via the -t option';
    io.stderr(`sendmail: fatal: ${user.username}(${user.uid}): ${text}\n`);
    return EX_USAGE;
  }
  const sender = internalAddress(
    stripBrackets(options.sender ?? process.env['LOGNAME'] ?? user.username),
  );
  const { body, envid, ret, notify } = options;
  const drop = {
    sender,
    recipients,
    fullName: '',
    body,
    envid,
    ret,
    notify,
    verify: true,
  } as const;
  const code = await submit(drop, Buffer.alloc(0), io);
  if (code === 0) io.stdout(`Mail Delivery Status Report will be mailed to <${sender}>.\n`);
  return code;
}

/** $NAME, else what /etc/passwd says of the user, up to a comma, `&` for the name. */
function fullNameOf(username: string): string {
  const name = process.env['NAME'];
  if (name) return clean(name);
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((each) => each.startsWith(`${username}:`));
    const [text = ''] = (line?.split(':')[4] ?? '').split(',');
    return clean(text.replaceAll('&', username.charAt(0).toUpperCase() + username.slice(1)));
  } catch (error) {
    if (error instanceof Error && 'code' in error) return '';
    throw error;
  }
}

const clean = (text: string): string => text.replaceAll(/[\x00-\x1f\x7f]+/g, ' ').slice(0, 200);

/** Write the drop durably, then tell qmgr; that it is down does not matter. */
export async function submit(drop: Drop, message: Buffer, io: Io): Promise<number> {
  const settings = await sendmailSettings(io.configDirectory);
  if (!settings.ok) {
    io.stderr(`sendmail: fatal: ${settings.error}\n`);
    return EX_CONFIG;
  }
  const { root, sizeLimit, users } = settings.value;
  if (sizeLimit > 0 && message.length > sizeLimit) {
    io.stderr('sendmail: fatal: message file too big\n');
    return EX_UNAVAILABLE;
  }
  const user = caller();
  const refused = await refusedTo(users, user.uid, io);
  if (refused !== null) {
    io.stderr(`sendmail: fatal: User ${refused} is not allowed to submit mail\n`);
    return EX_NOPERM;
  }
  const name = `${Date.now()}.${process.pid}.${randomName()}`;
  const temporary = join(root, 'maildrop', `${name}${TEMPORARY_SUFFIX}`);
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

/** 128 random bits, without the cost of loading node:crypto. */
function randomName(): string {
  const bytes = Buffer.alloc(16);
  const file = openSync('/dev/urandom', 'r');
  readSync(file, bytes);
  closeSync(file);
  return bytes.toString('hex');
}

/** authorized_submit_users, asked only where it is not open to anyone; pickup asks again. */
async function refusedTo(users: string, uid: number, io: Io): Promise<string | null> {
  if (users === 'static:anyone') return null;
  const { mayNotSubmit } = await import('./sendmail-users.ts');
  return mayNotSubmit(uid, io);
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

async function inputOf(io: Io): Promise<Buffer> {
  if (io.readInput) return io.readInput();
  const chunks: Buffer[] = [];
  for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Up to a line with a single dot; LF or CRLF line ends stay as they are. */
function readMessage(message: Buffer, dotEnds: boolean): Buffer {
  if (!dotEnds) return message;
  const text = message.toString('latin1');
  const end = /(^|\n)\.\r?(\n|$)/.exec(text);
  return end ? message.subarray(0, end.index + (end[1]?.length ?? 0)) : message;
}

const stripBrackets = (address: string): string =>
  /^<(.*)>$/.exec(address.trim())?.[1] ?? address.trim();
