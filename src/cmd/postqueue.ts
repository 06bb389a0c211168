/**
 * postqueue(1) and mailq(1): look at the queue, ask for an attempt.
 *
 *   postqueue -p   as a table     postqueue -j   as JSON lines
 *   postqueue -f   try all        postqueue -i ID   try one
 *   postqueue -s SITE   try all mail for a domain
 *
 * The queue is read from disk, so both lists work while the server is down; a running qmgr adds
 * which messages are active.
 */
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import { queueRoot } from '../daemon/directories.ts';
import { openChannel } from '../ipc/channel.ts';
import type { ToQmgr } from '../ipc/protocol.ts';
import { externalAddress } from '../mail/address.ts';
import type { QueueEntry } from '../mail/stages.ts';
import type { Io } from './main.ts';

const USAGE = 'usage: postqueue [-c config_dir] -p | -j | -f | -i queue_id | -s site\n';
const ASK_LIMIT_MS = 2_000;

export async function postqueue(argv: readonly string[], io: Io): Promise<number> {
  const [flag = '', id] = argv.filter((word) => word !== '-v');
  const loaded = loadConfig(io.configDirectory);
  if (!loaded.ok) {
    for (const { text } of loaded.error) io.stderr(`postqueue: fatal: ${text}\n`);
    return 78;
  }
  try {
    process.chdir(queueRoot(loaded.value));
  } catch (error) {
    io.stderr(`postqueue: fatal: ${error instanceof Error ? error.message : String(error)}\n`);
    return 75;
  }
  switch (flag) {
    case '-p':
    case '-j':
      return list(flag === '-j', loaded.value, io);
    case '-f':
      return flush({ kind: 'flush' }, io);
    case '-i':
      if (id === undefined) break;
      return flush({ kind: 'flush', id }, io);
    case '-s':
      if (id === undefined) break;
      return flush({ kind: 'flush', site: id }, io);
    default:
  }
  io.stderr(USAGE);
  return 64;
}

async function list(asJson: boolean, config: Config, io: Io): Promise<number> {
  const active = await activeIds();
  if (isUnused()) {
    if (!asJson) io.stdout('Mail queue is empty\n');
    return 0;
  }
  const { openQueue } = await import('./queue-access.ts');
  const opened = await openQueue(config, io, 'read');
  if (!opened.ok) {
    io.stderr(`postqueue: fatal: ${opened.error}\n`);
    return 75;
  }
  const { store } = opened.value;
  let count = 0;
  let bytes = 0;
  for await (const read of store.list()) {
    if (!read.ok) {
      io.stderr(`postqueue: warning: ${read.error.id}: ${read.error.reason}\n`);
      continue;
    }
    const entry = read.value;
    const queue = entry.onHold
      ? 'hold'
      : active.has(entry.id)
        ? 'active'
        : entry.attempts > 0
          ? 'deferred'
          : 'incoming';
    if (!asJson && count === 0) io.stdout(HEADING);
    io.stdout(asJson ? jsonLine(entry, queue) : tableRows(entry, queue));
    count += 1;
    bytes += entry.content.sizeBytes;
  }
  await store.close();
  if (!asJson) io.stdout(count === 0 ? 'Mail queue is empty\n' : total(count, bytes));
  return 0;
}

/** No server has run here yet; a queue that may not be looked into is not unused. */
function isUnused(): boolean {
  try {
    return statSync('queue/data.mdb', { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  }
}

const HEADING = '-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n';

const total = (count: number, bytes: number): string =>
  `-- ${Math.ceil(bytes / 1024)} Kbytes in ${count} Request${count === 1 ? '' : 's'}.\n`;

/** One message as Postfix's showq writes it: `*` active, `!` on hold. */
export function tableRows(entry: QueueEntry, queue: string): string {
  const mark = queue === 'active' ? '*' : queue === 'hold' ? '!' : ' ';
  const arrival = new Date(entry.arrivedMs)
    .toString()
    .slice(0, 24)
    .replace(
      /^(\w+ \w+) (\d+) (\d{4}) (.*)$/,
      (_all, day, date, _year, time) => `${day} ${String(Number(date)).padStart(2)} ${time}`,
    );
  const sender = entry.sender === '' ? 'MAILER-DAEMON' : externalAddress(entry.sender);
  let text = `${`${entry.id}${mark}`.padEnd(11)} ${String(entry.content.sizeBytes).padStart(8)} ${arrival} ${sender}\n`;
  let reason: string | undefined;
  for (const { state, address, deferred } of entry.recipients) {
    if (state === 'done') continue;
    if (deferred && deferred.reason !== reason) text += `${`(${deferred.reason})`.padStart(40)}\n`;
    reason = deferred?.reason;
    text += `${' '.repeat(41)}${externalAddress(address)}\n`;
  }
  return `${text}\n`;
}

export function jsonLine(entry: QueueEntry, queue: string): string {
  const recipients = entry.recipients
    .filter(({ state }) => state !== 'done')
    .map(({ address, original, deferred }) => ({
      address,
      ...(original !== address && original !== '' ? { orig_address: original } : {}),
      ...(deferred ? { delay_reason: deferred.reason } : {}),
    }));
  return `${JSON.stringify({
    queue_name: queue,
    queue_id: entry.id,
    arrival_time: Math.floor(entry.arrivedMs / 1000),
    message_size: entry.content.sizeBytes,
    forced_expire: false,
    sender: entry.sender === '' ? 'MAILER-DAEMON' : entry.sender,
    recipients,
  })}\n`;
}

/** Ids that a running qmgr works on; none when it is down. */
function activeIds(): Promise<ReadonlySet<string>> {
  return ask({ kind: 'list', seq: 1 }).then((answer) => {
    const active =
      typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'active') : undefined;
    return new Set(Array.isArray(active) ? active.filter((each) => typeof each === 'string') : []);
  });
}

async function flush(message: ToQmgr, io: Io): Promise<number> {
  if ((await ask(message)) !== undefined) return 0;
  io.stderr('postqueue: fatal: Cannot flush mail queue - mail system is down\n');
  return 69;
}

/** One request to qmgr; undefined when it is down or does not answer. */
function ask(message: ToQmgr): Promise<unknown> {
  return new Promise((resolve) => {
    const socket = connect({ path: 'public/qmgr' });
    const timer = setTimeout(() => socket.destroy(), ASK_LIMIT_MS);
    const channel = openChannel<ToQmgr>(socket, {
      onMessage: (answer) => {
        resolve(answer);
        channel.end();
      },
      onClose: () => {
        clearTimeout(timer);
        resolve(undefined);
      },
    });
    socket.once('connect', () => channel.send(message));
  });
}
