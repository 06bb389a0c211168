/**
 * postqueue(1) and mailq(1): look at the queue, ask for an attempt.
 *
 *   postqueue -p   as a table     postqueue -j   as JSON lines
 *   postqueue -f   try all        postqueue -i ID   try one
 *   postqueue -s SITE   try all mail for a domain
 *
 * The running queue manager answers, whoever asks (authorized_mailq_users, authorized_flush_users).
 * While it is down root and the queue's owner get the list from the disk.
 *
 * Unlike Postfix: -s needs no fast_flush_domains, any domain will do.
 */
import { statSync } from 'node:fs';
import type { Config } from '../conf/params.ts';
import { queueRoot } from '../daemon/directories.ts';
import type { ListedMessage, ToQmgr } from '../ipc/protocol.ts';
import { isQueueId } from '../mail/queue-id.ts';
import { commandConfig } from './command-config.ts';
import type { Io } from './main.ts';
import { askQmgr, makeProof } from './qmgr-request.ts';
import { heading, jsonLine, tableRows, total } from './queue-list.ts';

const USAGE =
  'usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site';
/** A domain, or an address literal. */
const SITE = /^(?:\[[\w.:-]+\]|[\w.\u0080-\u{10ffff}-]+)$/u;
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const EX_TEMPFAIL = 75;
const EX_NOPERM = 77;
const EX_CONFIG = 78;

type Request =
  | { readonly kind: 'list'; readonly asJson: boolean }
  | { readonly kind: 'flush'; readonly id?: string; readonly site?: string };

export async function postqueue(argv: readonly string[], io: Io, loaded?: Config): Promise<number> {
  const fatal = (text: string, status: number): number => {
    io.stderr(`postqueue: fatal: ${text}\n`);
    return status;
  };
  const request = parse(argv, io);
  if (!request) return fatal(USAGE, EX_USAGE);
  const config = loaded ?? commandConfig('postqueue', io);
  if (!config) return EX_CONFIG;
  if (request.kind === 'flush') {
    const { id, site } = request;
    if (id !== undefined && !isQueueId(id)) {
      return fatal(`Cannot flush queue ID - invalid name: "${id}"`, EX_USAGE);
    }
    if (site !== undefined && !SITE.test(site)) {
      return fatal(`Cannot flush mail queue - invalid destination: "${site}"`, EX_USAGE);
    }
  }
  try {
    process.chdir(queueRoot(config));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return fatal(`${error.message}`, EX_TEMPFAIL);
  }
  return request.kind === 'list'
    ? list(request.asJson, config, io, fatal)
    : flush(request, config, fatal);
}

/** The one thing that is asked for; undefined: wrong usage. */
function parse(argv: readonly string[], io: Io): Request | undefined {
  const requests: Request[] = [];
  const words = [...argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const letters = word.startsWith('-') ? word.slice(1) : '';
    if (letters === '' || word === '--') return undefined;
    for (let at = 0; at < letters.length; at += 1) {
      const flag = letters[at] ?? '';
      if (flag === 'v') continue;
      if (flag === 'p' || flag === 'j') requests.push({ kind: 'list', asJson: flag === 'j' });
      else if (flag === 'f') requests.push({ kind: 'flush' });
      else if (flag === 'i' || flag === 's') {
        const value = letters.slice(at + 1) || words.shift();
        if (value === undefined) {
          io.stderr(`postqueue: option requires an argument -- '${flag}'\n`);
          return undefined;
        }
        requests.push({ kind: 'flush', ...(flag === 'i' ? { id: value } : { site: value }) });
        break;
      } else {
        io.stderr(`postqueue: invalid option -- '${flag}'\n`);
        return undefined;
      }
    }
  }
  return requests.length === 1 ? requests[0] : undefined;
}

type Fatal = (text: string, status: number) => number;

async function flush(
  request: Extract<ToQmgr, { kind: 'flush' }>,
  config: Config,
  fatal: Fatal,
): Promise<number> {
  const { proof, end } = makeProof(config.authorized_flush_users);
  const answer = await askQmgr({ ...request, ...(proof === undefined ? {} : { proof }) });
  end();
  if (answer.kind === 'done') return 0;
  if (answer.kind === 'refused') {
    return fatal(`User ${answer.user} is not allowed to flush the mail queue`, EX_NOPERM);
  }
  return fatal('Cannot flush mail queue - mail system is down', EX_UNAVAILABLE);
}

async function list(asJson: boolean, config: Config, io: Io, fatal: Fatal): Promise<number> {
  const printer = openPrinter(asJson, config, io);
  const { proof, end } = makeProof(config.authorized_mailq_users);
  const answer = await askQmgr(
    { kind: 'list', seq: 1, ...(proof === undefined ? {} : { proof }) },
    (messages) => messages.forEach(printer.add),
  );
  end();
  if (answer.kind === 'refused') {
    return fatal(`User ${answer.user} is not allowed to view the mail queue`, EX_NOPERM);
  }
  if (answer.kind === 'down') {
    if (printer.count() > 0) return fatal(`the list broke off: ${answer.reason}`, EX_UNAVAILABLE);
    const read = await readQueue(config, io, answer.reason, printer.add);
    if (read !== undefined) return fatal(read, EX_UNAVAILABLE);
  }
  printer.end();
  return 0;
}

/** From the disk, for those who may read it. The reason why not, in Postfix's words. */
async function readQueue(
  config: Config,
  io: Io,
  reason: string,
  add: (message: ListedMessage) => void,
): Promise<string | undefined> {
  const owner = statSync('queue', { throwIfNoEntry: false })?.uid;
  const uid = process.getuid?.();
  if (uid !== 0 && uid !== owner && owner !== undefined) {
    return 'Queue report unavailable - mail system is down';
  }
  io.stderr(
    `postqueue: warning: Mail system is down -- accessing queue directly (Connect to the queue manager: ${reason})\n`,
  );
  // No server has run here yet.
  if (!statSync('queue/data.mdb', { throwIfNoEntry: false })) return undefined;
  const { openQueue } = await import('./queue-access.ts');
  const { listedMessage } = await import('../qmgr/showq.ts');
  const opened = await openQueue(config, io, 'read');
  if (!opened.ok) return opened.error;
  const { store } = opened.value;
  for await (const read of store.list()) {
    if (read.ok) add(listedMessage(read.value, false));
    else io.stderr(`postqueue: warning: ${read.error.id}: ${read.error.reason}\n`);
  }
  await store.close();
  return undefined;
}

function openPrinter(asJson: boolean, { enable_long_queue_ids }: Config, io: Io) {
  let count = 0;
  let bytes = 0;
  return {
    count: () => count,
    add: (message: ListedMessage): void => {
      if (!asJson && count === 0) io.stdout(heading(enable_long_queue_ids));
      io.stdout(asJson ? jsonLine(message) : tableRows(message, enable_long_queue_ids));
      count += 1;
      bytes += message.sizeBytes;
    },
    end: (): void => {
      if (!asJson) io.stdout(count === 0 ? 'Mail queue is empty\n' : total(count, bytes));
    },
  };
}
