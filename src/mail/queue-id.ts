/**
 * Queue ids. Long form as Postfix writes it (enable_long_queue_ids): base-52 seconds and
 * microseconds, `z`, and a base-51 number; Unlike Postfix: the number is the process id, since
 * there is no inode. Short form: the same facts in hexadecimal.
 *
 * Unique on one host: microseconds never repeat within a process and a pid is one process's.
 */
const DIGITS = '0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz';

let lastUs = 0;

/** A new id. `nowMs` is the wall clock. */
export function newQueueId(form: 'long' | 'short', nowMs: number, pid: number): string {
  lastUs = Math.max(Math.floor(nowMs * 1000), lastUs + 1);
  const seconds = Math.floor(lastUs / 1e6);
  const us = lastUs % 1e6;
  if (form === 'long') return `${digits(seconds, 52, 6)}${digits(us, 52, 4)}z${digits(pid, 51, 1)}`;
  const hex = (value: number, width: number) =>
    value.toString(16).toUpperCase().padStart(width, '0');
  return `${hex(us, 5)}${hex(seconds, 8)}${hex(pid, 6)}`;
}

/** What may be a queue id: a guard before an id becomes part of a path or a key. */
export const isQueueId = (text: string): boolean => /^[0-9A-Za-z]{6,64}$/.test(text);

function digits(value: number, base: number, width: number): string {
  let text = '';
  for (let rest = value; rest > 0; rest = Math.floor(rest / base)) {
    text = (DIGITS[rest % base] ?? '') + text;
  }
  return text.padStart(width, '0');
}
