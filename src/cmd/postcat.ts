/**
 * postcat(1): show a message of the queue.
 *
 *   postcat [-bdehoqv] queue_id...
 *
 * -e envelope, -h header, -b body; none of them means all three. Unlike Postfix: the names are
 * always queue ids, `-q` or not, since messages are no files. Line ends are shown as LF.
 */
import type { Config } from '../conf/params.ts';
import { printable } from '../log/maillog.ts';
import { isQueueId } from '../mail/queue-id.ts';
import type { QueueEntry } from '../mail/stages.ts';
import type { Body, QueueStore, StoreFault } from '../queue/store.ts';
import { err, ok, type Result } from '../util/result.ts';
import { commandConfig } from './command-config.ts';
import type { Io } from './main.ts';
import { openQueue } from './queue-access.ts';

const USAGE =
  'usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] ' +
  '[-e (envelope records)] [-h (header text)] [-q (access queue)] [-v] [file(s)...]';

type Parts = { readonly envelope: boolean; readonly header: boolean; readonly body: boolean };

/** The exit status. */
export async function postcat(argv: readonly string[], io: Io, loaded?: Config): Promise<number> {
  const fatal = (text: string): number => {
    io.stderr(`postcat: fatal: ${text}\n`);
    return 1;
  };
  const words = argv.filter((word) => word !== '--');
  const flags = words.filter((word) => word.startsWith('-')).join('');
  const ids = words.filter((word) => !word.startsWith('-'));
  const unknown = /[^-bdehoqv]/.exec(flags)?.[0];
  if (unknown !== undefined) {
    io.stderr(`postcat: invalid option -- '${unknown}'\n`);
    return fatal(USAGE);
  }
  if (ids.length === 0) return fatal(USAGE);
  const config = loaded ?? commandConfig('postcat', io);
  if (!config) return 1;
  const all = !/[beh]/.test(flags);
  const parts: Parts = {
    envelope: all || flags.includes('e'),
    header: all || flags.includes('h'),
    body: all || flags.includes('b'),
  };
  const opened = await openQueue(config, io, 'read');
  if (!opened.ok) return fatal(opened.error);
  const { store } = opened.value;
  try {
    for (const id of ids) {
      const shown = isQueueId(id)
        ? await show(store, id, parts, io.stdout)
        : err({ kind: 'absent' as const, reason: '' });
      if (shown.ok) continue;
      const { kind, reason } = shown.error;
      const why = kind === 'absent' ? 'No such file or directory' : reason;
      return fatal(`open queue file ${id}: ${why}`);
    }
    return 0;
  } finally {
    await store.close();
  }
}

async function show(
  store: QueueStore,
  id: string,
  parts: Parts,
  write: (text: string) => void,
): Promise<Result<void, StoreFault>> {
  const read = await store.read(id);
  if (!read.ok) return read;
  const entry = read.value;
  const name = `${queueOf(entry)}/${id}`;
  if (parts.envelope) write(`*** ENVELOPE RECORDS ${name} ***\n${envelopeText(entry)}`);
  if (parts.header || parts.body) {
    const body = await store.openBody(entry);
    if (!body.ok) return body;
    if (parts.envelope) write(`*** MESSAGE CONTENTS ${name} ***\n`);
    await writeContents(body.value, parts, write);
  }
  if (parts.envelope) write(`*** HEADER EXTRACTED ${name} ***\n*** MESSAGE FILE END ${name} ***\n`);
  return ok(undefined);
}

const queueOf = (entry: QueueEntry): string =>
  entry.onHold ? 'hold' : entry.attempts > 0 ? 'deferred' : 'active';

function envelopeText(entry: QueueEntry): string {
  const { client, helo, protocol, login } = entry.origin;
  const attribute = (name: string, value: string | number): string =>
    value === '' ? '' : `named_attribute: ${name}=${printable(String(value))}\n`;
  return [
    `message_size: ${entry.content.sizeBytes}\n`,
    `message_arrival_time: ${postfixTime(entry.arrivedMs)}\n`,
    `create_time: ${postfixTime(entry.arrivedMs)}\n`,
    `next_attempt: ${postfixTime(entry.dueMs)}, attempts: ${entry.attempts}\n`,
    attribute('encoding', entry.content.has8bit ? '8bit' : '7bit'),
    attribute('log_client_name', client.name),
    attribute('log_client_address', client.address),
    attribute('log_client_port', client.port || ''),
    attribute('log_helo_name', helo),
    attribute('log_protocol_name', protocol),
    attribute('sasl_method', login?.method ?? ''),
    attribute('sasl_username', login?.username ?? ''),
    attribute('policy', entry.verdict ? `${entry.verdict.policy} (${entry.verdict.id})` : ''),
    attribute('envelope_id', entry.envid),
    attribute('ret_flags', entry.ret),
    `sender: ${printable(entry.sender)}\n`,
    ...entry.recipients.map((recipient) => {
      const address = printable(recipient.address);
      const deferred = recipient.deferred
        ? `deferred: ${recipient.deferred.status} ${printable(recipient.deferred.reason)}\n`
        : '';
      return (
        attribute('dsn_orig_rcpt', recipient.orcpt) +
        attribute('notify_flags', recipient.notify.join(',')) +
        `original_recipient: ${printable(recipient.original)}\n` +
        `${recipient.state === 'done' ? 'done_recipient' : 'recipient'}: ${address}\n${deferred}`
      );
    }),
  ].join('');
}

/** `Wed Nov 25 10:01:02 2026` */
function postfixTime(ms: number): string {
  const words = new Date(ms).toString().split(' ');
  const [day = '', month = '', date = '', year = '', time = ''] = words;
  return `${day} ${month} ${date.replace(/^0/, ' ')} ${time} ${year}`;
}

async function writeContents(
  body: Body,
  parts: Parts,
  write: (text: string) => void,
): Promise<void> {
  let inHeader = true;
  let head = '';
  // A CR at the end of a chunk waits for the LF at the start of the next.
  let carry = '';
  for await (const chunk of body.chunks) {
    const text = carry + chunk.toString('latin1');
    carry = text.endsWith('\r') ? '\r' : '';
    let rest = text.slice(0, text.length - carry.length).replaceAll('\r\n', '\n');
    if (inHeader) {
      head += rest;
      const end = head.startsWith('\n') ? 0 : head.indexOf('\n\n') + 1;
      if (end === 0 && !head.startsWith('\n')) continue;
      if (parts.header) write(bytesOf(head.slice(0, end)));
      rest = head.slice(end);
      inHeader = false;
    }
    if (parts.body) write(bytesOf(rest));
  }
  if (inHeader && parts.header) write(bytesOf(head + carry));
}

/** The text again as UTF-8, where it was; bytes that are not become U+FFFD. */
const bytesOf = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('utf8');
