/**
 * The maildrop file format: one JSON line about the message, then the message as it was piped in.
 *
 * sendmail(1) writes a file under a temporary name, syncs it, and renames it to `*.mail`; pickup
 * takes only those. Everything in a file is the word of an unprivileged user: who it is, the file's
 * owner says; what it holds is checked here, once.
 */
import { err, ok, type Result } from '../util/result.ts';

export type Drop = {
  readonly sender: string;
  /** Empty with -t only when the header names nobody, which sendmail refuses. */
  readonly recipients: readonly string[];
  readonly fullName: string;
  readonly body: '' | '7BIT' | '8BITMIME';
  readonly envid: string;
  readonly ret: '' | 'FULL' | 'HDRS';
  readonly notify: readonly ('NEVER' | 'SUCCESS' | 'FAILURE' | 'DELAY')[];
  /** sendmail -bv: tell the sender where the recipients lead, deliver nothing. */
  readonly verify?: true;
};

export const DROP_SUFFIX = '.mail';
/** Of a drop that is being written. */
export const TEMPORARY_SUFFIX = '.tmp';
const MAX_HEAD = 1024 * 1024;
const MAX_RECIPIENTS = 10_000;
const MAX_ADDRESS = 2_000;

export const formatHead = (drop: Drop): string => `${JSON.stringify({ version: 1, ...drop })}\n`;

/** Split a file into its checked head and where the message starts. */
export function parseHead(bytes: Buffer): Result<{ drop: Drop; bodyStart: number }, string> {
  const end = bytes.subarray(0, MAX_HEAD).indexOf(0x0a);
  if (end < 0) return err('no head line');
  let head: unknown;
  try {
    head = JSON.parse(bytes.toString('utf8', 0, end));
  } catch {
    return err('head is not JSON');
  }
  if (typeof head !== 'object' || head === null) return err('head is not an object');
  const field = (name: string): unknown => Reflect.get(head, name);
  const [sender, recipients, fullName, body, envid, ret, notify] = [
    'sender',
    'recipients',
    'fullName',
    'body',
    'envid',
    'ret',
    'notify',
  ].map(field);
  if (field('version') !== 1) return err('unknown version');
  if (!isAddress(sender, true)) return err('bad sender');
  if (!Array.isArray(recipients) || recipients.length === 0 || recipients.length > MAX_RECIPIENTS)
    return err('bad recipient list');
  if (!recipients.every((each) => isAddress(each, false))) return err('bad recipient');
  if (!isClean(fullName) || !isClean(envid)) return err('bad text');
  if (body !== '' && body !== '7BIT' && body !== '8BITMIME') return err('bad body type');
  if (ret !== '' && ret !== 'FULL' && ret !== 'HDRS') return err('bad RET');
  if (!Array.isArray(notify) || !notify.every(isNotify)) return err('bad NOTIFY');
  return ok({
    drop: {
      ...{ sender, recipients, fullName, body, envid, ret, notify },
      ...(field('verify') === true ? { verify: true } : {}),
    },
    bodyStart: end + 1,
  });
}

const isClean = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= MAX_ADDRESS && !/[\x00-\x1f\x7f]/.test(value);

const isAddress = (value: unknown, mayBeNull: boolean): value is string =>
  isClean(value) && (mayBeNull || value !== '');

const isNotify = (value: unknown): value is Drop['notify'][number] =>
  value === 'NEVER' || value === 'SUCCESS' || value === 'FAILURE' || value === 'DELAY';
