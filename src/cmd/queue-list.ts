/**
 * A message as postqueue(1) shows it, in a table or as a line of JSON.
 *
 * @see postqueue(1), showq(8)
 */
import type { ListedMessage } from '../ipc/protocol.ts';
import { externalAddress } from '../mail/address.ts';

/** Columns for short and for long queue ids. */
const columns = (hasLongIds: boolean) =>
  hasLongIds
    ? { id: 17, time: 19, title: '---Arrival Time----' }
    : { id: 11, time: 20, title: '----Arrival Time----' };

export function heading(hasLongIds: boolean): string {
  const { id, title } = columns(hasLongIds);
  return `${'-Queue ID-'.padEnd(id)} --Size-- ${title} -Sender/Recipient-------\n`;
}

export const total = (count: number, bytes: number): string =>
  `-- ${Math.floor(bytes / 1024)} Kbytes in ${count} Request${count === 1 ? '' : 's'}.\n`;

/** `*` active, `!` on hold, `#` to be returned; an empty line behind. */
export function tableRows(message: ListedMessage, hasLongIds: boolean): string {
  const { id, queue, isExpired, sizeBytes, arrivedMs, sender, recipients } = message;
  const width = columns(hasLongIds);
  const mark = queue === 'active' ? '*' : queue === 'hold' ? '!' : isExpired ? '#' : ' ';
  const from = sender === '' ? 'MAILER-DAEMON' : externalAddress(sender);
  const size = String(sizeBytes).padStart(8);
  const time = arrival(arrivedMs).padEnd(width.time);
  const rows = [`${`${id}${mark}`.padEnd(width.id)} ${size} ${time} ${from}`];
  let reason: string | undefined;
  for (const each of recipients) {
    if (each.reason !== undefined && each.reason !== reason) {
      rows.push(`${' '.repeat(Math.max(0, REASON_END - each.reason.length))}(${each.reason})`);
    }
    reason = each.reason;
    const indent = ' '.repeat(width.id + 10 + width.time + 1);
    rows.push(`${indent}${externalAddress(each.address)}`);
  }
  return `${rows.join('\n')}\n\n`;
}

/** A reason stands right in the table, without its brackets. */
const REASON_END = 76;

/** `Wed Nov 25 10:01:02`, local time. */
function arrival(ms: number): string {
  const [day = '', month = '', date = '', , time = ''] = new Date(ms).toString().split(' ');
  return `${day} ${month} ${String(Number(date)).padStart(2)} ${time}`;
}

export function jsonLine(message: ListedMessage): string {
  const { id, queue, isExpired, sizeBytes, arrivedMs, sender } = message;
  const recipients = message.recipients.map(({ address, original, reason }) => ({
    address: externalAddress(address),
    ...(original !== address && original !== '' ? { orig_address: externalAddress(original) } : {}),
    ...(reason === undefined ? {} : { delay_reason: reason }),
  }));
  return `${JSON.stringify({
    queue_name: queue,
    queue_id: id,
    arrival_time: Math.floor(arrivedMs / 1000),
    message_size: sizeBytes,
    forced_expire: isExpired,
    sender: sender === '' ? 'MAILER-DAEMON' : externalAddress(sender),
    recipients,
  })}\n`;
}
