/**
 * postsuper(1): remove, expire, hold, release and requeue messages.
 *
 *   postsuper [-d|-e|-f|-h|-H|-r queue_id]... [-p] [-s] [-v] [deferred|hold|incoming|active]...
 *
 * `ALL` names every message, `-` reads ids from standard input. A queue name narrows what the ids
 * mean. The change is written to the queue and qmgr is told; -p removes what sendmail(1) left
 * unfinished in maildrop/ a week ago.
 *
 * Unlike Postfix: -s has nothing to do (qmgr checks the queue at start), and -r keeps the recipients
 * that virtual aliases gave; where they go is decided anew at every attempt.
 */
import { createInterface } from 'node:readline';
import type { Config } from '../conf/params.ts';
import { queueRoot } from '../daemon/directories.ts';
import type { ToQmgr } from '../ipc/protocol.ts';
import { type Logger, openLog, printable } from '../log/maillog.ts';
import { isQueueId } from '../mail/queue-id.ts';
import type { QueueEntry } from '../mail/stages.ts';
import { removeLeftovers } from '../pickup/leftovers.ts';
import type { EntryChange, QueueStore, StoreFault } from '../queue/store.ts';
import { ok, type Result } from '../util/result.ts';
import { commandConfig } from './command-config.ts';
import type { Io } from './main.ts';
import { type OpenedQueue, openQueue } from './queue-access.ts';

const USAGE =
  'usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] ' +
  '[-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] ' +
  '[-p (purge temporary files)] [-r queue_id (requeue)] [-s (structure fix)] ' +
  '[-S (redundant structure fix)][-v (verbose)] [queue...]';
const QUEUES: ReadonlySet<string> = new Set(
  'active bounce corrupt defer deferred flush hold incoming maildrop saved trace'.split(' '),
);
/** Age of what -p removes. */
const LEFTOVER_MS = 7 * 86_400_000;
const DEFAULT_QUEUES: readonly string[] = ['hold', 'incoming', 'active', 'deferred'];
/** Changes in one transaction. */
const BATCH = 200;

type Action = 'd' | 'e' | 'f' | 'h' | 'H' | 'r';
type Plan = {
  readonly actions: readonly { readonly action: Action; readonly target: string }[];
  readonly queues: readonly string[];
  readonly purges: boolean;
};

type Words = {
  readonly one: string;
  readonly total: string;
  readonly change: 'removed' | 'held' | 'released' | 'requeued' | 'expired';
};
const WORDS: Readonly<Record<Action, Words>> = {
  d: { one: 'removed', total: 'Deleted', change: 'removed' },
  e: { one: 'expired', total: 'Force-expired', change: 'expired' },
  f: { one: 'expired', total: 'Force-expired', change: 'expired' },
  h: { one: 'placed on hold', total: 'Placed on hold', change: 'held' },
  H: { one: 'released from hold', total: 'Released from hold', change: 'released' },
  r: { one: 'requeued', total: 'Requeued', change: 'requeued' },
};

/** The exit status. */
export async function postsuper(argv: readonly string[], io: Io, loaded?: Config): Promise<number> {
  const fatal = (text: string): number => {
    io.stderr(`postsuper: fatal: ${text}\n`);
    return 1;
  };
  const plan = parse(argv, io);
  if (typeof plan === 'string') return fatal(plan);
  const config = loaded ?? commandConfig('postsuper', io);
  if (!config) return 1;
  if (plan.actions.length === 0 && !plan.purges) return 0;
  // Opened before root is given up: the log may be writable by root only.
  const logger =
    config.maillog_file === ''
      ? undefined
      : openLog({
          file: config.maillog_file,
          syslogName: config.syslog_name,
          program: 'postsuper',
          host: config.myhostname,
        });
  const opened = await openQueue(config, io, 'write');
  if (!opened.ok) return fatal(opened.error);
  try {
    for (const action of [...new Set(plan.actions.map((step) => step.action))]) {
      const targets = plan.actions.filter((step) => step.action === action);
      const done = await applyAll(opened.value, action, targets, plan.queues, io, logger);
      if (!done.ok) return fatal(done.error.reason);
      const count = `${done.value} message${done.value === 1 ? '' : 's'}`;
      say(`${WORDS[action].total}: ${count}`, io, logger);
    }
    if (plan.purges) {
      await removeLeftovers(`${queueRoot(config)}/maildrop`, Date.now() - LEFTOVER_MS);
    }
    return 0;
  } finally {
    await opened.value.store.close();
    logger?.flush();
  }
}

function say(text: string, io: Io, logger: Logger | undefined): void {
  io.stderr(`postsuper: ${text}\n`);
  logger?.info(text);
}

function parse(argv: readonly string[], io: Io): Plan | string {
  const actions: { action: Action; target: string }[] = [];
  const queues: string[] = [];
  let purges = false;
  const words = [...argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (!word.startsWith('-')) {
      if (!QUEUES.has(word)) return `invalid directory name: ${word}`;
      queues.push(word);
      continue;
    }
    for (let at = 1; at < word.length; at += 1) {
      const flag = word[at] ?? '';
      if (flag === 'p') purges = true;
      if ('pSsv'.includes(flag)) continue;
      if (!isAction(flag)) {
        io.stderr(`postsuper: invalid option -- '${flag}'\n`);
        return USAGE;
      }
      const target = word.slice(at + 1) || words.shift();
      if (target === undefined) {
        io.stderr(`postsuper: option requires an argument -- '${flag}'\n`);
        return USAGE;
      }
      actions.push(...stepsOf(flag, target));
      break;
    }
  }
  return { actions, queues: queues.length > 0 ? queues : DEFAULT_QUEUES, purges };
}

const isAction = (flag: string): flag is Action => flag !== '' && 'defhHr'.includes(flag);

/** -f is -e, and -H for what is on hold. */
const stepsOf = (action: Action, target: string): Plan['actions'] =>
  action === 'f'
    ? [
        { action: 'e', target },
        { action: 'H', target },
      ]
    : [{ action, target }];

async function applyAll(
  queue: OpenedQueue,
  action: Action,
  targets: readonly { readonly target: string }[],
  queues: readonly string[],
  io: Io,
  logger: Logger | undefined,
): Promise<Result<number, StoreFault>> {
  let count = 0;
  let changes: EntryChange[] = [];
  const flush = async (): Promise<Result<void, StoreFault>> => {
    if (changes.length === 0) return ok(undefined);
    const batch = changes;
    changes = [];
    const settled = await queue.store.settle(batch);
    if (!settled.ok) return settled;
    const { one, change } = WORDS[action];
    const notices: ToQmgr[] = [];
    for (const item of batch) {
      const id = item.kind === 'remove' ? item.id : item.entry.id;
      notices.push({ kind: 'changed', id, change });
      say(`${id}: ${one}`, io, logger);
      count += 1;
    }
    await queue.notify(notices);
    return ok(undefined);
  };
  for (const { target } of targets) {
    for await (const entry of entriesOf(queue.store, target, io)) {
      const change = changeOf(action, entry, queues);
      if (change) changes.push(change);
      if (changes.length < BATCH) continue;
      const flushed = await flush();
      if (!flushed.ok) return flushed;
    }
  }
  const flushed = await flush();
  return flushed.ok ? ok(count) : flushed;
}

async function* entriesOf(
  store: QueueStore,
  target: string,
  io: Io,
): AsyncGenerator<QueueEntry, void, void> {
  if (target === 'ALL') {
    for await (const entry of store.list()) if (entry.ok) yield entry.value;
    return;
  }
  for await (const line of target === '-' ? createInterface({ input: io.stdin }) : [target]) {
    const id = line.trim();
    if (id === '') continue;
    if (!isQueueId(id)) {
      io.stderr(`postsuper: warning: invalid mail queue id: ${printable(id.slice(0, 100))}\n`);
      continue;
    }
    const entry = await store.read(id);
    if (entry.ok) yield entry.value;
    else if (entry.error.kind === 'corrupt')
      io.stderr(`postsuper: warning: ${entry.error.reason}\n`);
  }
}

/** Undefined where there is nothing to change. */
function changeOf(
  action: Action,
  entry: QueueEntry,
  queues: readonly string[],
): EntryChange | undefined {
  const isIn = (...names: string[]) => names.some((name) => queues.includes(name));
  const inQueue = entry.onHold
    ? isIn('hold')
    : entry.attempts > 0
      ? isIn('deferred', 'active')
      : isIn('incoming', 'active');
  if (!inQueue) return undefined;
  switch (action) {
    case 'd':
      return { kind: 'remove', id: entry.id };
    case 'e':
    case 'f':
      if (entry.isExpired) return undefined;
      return {
        kind: 'replace',
        entry: { ...entry, isExpired: true, dueMs: Date.now() },
        byOperator: true,
      };
    case 'h':
      if (entry.onHold) return undefined;
      return { kind: 'replace', entry: { ...entry, onHold: true }, byOperator: true };
    case 'H':
      if (!entry.onHold) return undefined;
      return { kind: 'replace', entry: released(entry), byOperator: true };
    case 'r':
      return { kind: 'replace', entry: { ...released(entry), attempts: 0 }, byOperator: true };
  }
}

const released = (entry: QueueEntry): QueueEntry => ({
  ...entry,
  onHold: false,
  dueMs: Date.now(),
});
