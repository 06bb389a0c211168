/**
 * postsuper(1): remove, hold, release and requeue messages.
 *
 *   postsuper [-d|-h|-H|-r queue_id]... [-s] [-p] [-v] [deferred|hold|incoming|active]...
 *
 * `ALL` names every message, `-` reads ids from standard input. A queue name narrows what the ids
 * mean. The change is written to the queue and qmgr is told. Unlike Postfix: `-s` and `-p` have
 * nothing to do (the queue has no structure that could be out of order); qmgr checks it at start.
 */
import { createInterface } from 'node:readline';
import { loadConfig } from '../conf/config.ts';
import type { ToQmgr } from '../ipc/protocol.ts';
import { type Logger, openLog } from '../log/maillog.ts';
import { isQueueId } from '../mail/queue-id.ts';
import type { QueueEntry } from '../mail/stages.ts';
import type { EntryChange, QueueStore, StoreFault } from '../queue/store.ts';
import { ok, type Result } from '../util/result.ts';
import type { Io } from './main.ts';
import { type OpenedQueue, openQueue } from './queue-access.ts';

const USAGE =
  'usage: postsuper [-c config_dir] [-d queue_id] [-h queue_id] [-H queue_id] [-r queue_id] [queue_name...]';
const QUEUES: readonly string[] = ['active', 'bounce', 'corrupt', 'deferred', 'hold', 'incoming'];
const DEFAULT_QUEUES: readonly string[] = ['hold', 'incoming', 'active', 'deferred'];
/** Changes in one transaction. */
const BATCH = 200;

type Action = 'd' | 'h' | 'H' | 'r';
type Plan = {
  readonly actions: readonly { readonly action: Action; readonly target: string }[];
  readonly queues: readonly string[];
};

const WORDS: Readonly<
  Record<
    Action,
    { one: string; total: string; change: 'removed' | 'held' | 'released' | 'requeued' }
  >
> = {
  d: { one: 'removed', total: 'Deleted', change: 'removed' },
  h: { one: 'placed on hold', total: 'Placed on hold', change: 'held' },
  H: { one: 'released from hold', total: 'Released from hold', change: 'released' },
  r: { one: 'requeued', total: 'Requeued', change: 'requeued' },
};

/** The exit status. */
export async function postsuper(
  argv: readonly string[],
  io: Io,
  loaded = loadConfig(io.configDirectory),
): Promise<number> {
  const fatal = (text: string): number => {
    io.stderr(`postsuper: fatal: ${text}\n`);
    return 1;
  };
  const plan = parse(argv);
  if (typeof plan === 'string') return fatal(plan);
  if (!loaded.ok) return fatal(loaded.error.map(({ text }) => text).join('; '));
  if (plan.actions.length === 0) return 0;
  const config = loaded.value;
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
      if (done.value > 0)
        say(
          `${WORDS[action].total}: ${done.value} message${done.value > 1 ? 's' : ''}`,
          io,
          logger,
        );
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

function parse(argv: readonly string[]): Plan | string {
  const actions: { action: Action; target: string }[] = [];
  const queues: string[] = [];
  const words = [...argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const flag = /^-([dhHr])(.*)$/s.exec(word);
    if (flag) {
      const target = flag[2] || words.shift();
      if (target === undefined) return USAGE;
      const action = flag[1];
      if (action !== 'd' && action !== 'h' && action !== 'H' && action !== 'r') return USAGE;
      if (target !== '-' && target !== 'ALL' && !isQueueId(target)) {
        return `invalid queue id: ${target}`;
      }
      actions.push({ action, target });
    } else if (/^-[spvS]+$/.test(word)) continue;
    else if (word.startsWith('-')) return USAGE;
    else if (QUEUES.includes(word)) queues.push(word);
    else return `unknown queue name: ${word}`;
  }
  const isAll = actions.some(({ target }) => target === 'ALL');
  if (isAll && actions.some(({ target }) => target !== 'ALL')) {
    return 'ALL cannot be used together with a queue id';
  }
  return { actions, queues: queues.length > 0 ? queues : DEFAULT_QUEUES };
}

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
      io.stderr(`postsuper: warning: invalid queue id: ${id.slice(0, 100)}\n`);
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
