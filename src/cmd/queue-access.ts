/**
 * How a command reaches the queue of a configuration: as its owner, never as root.
 *
 * Root drops to the owner of the queue directory before the database is opened; whoever is neither
 * root nor that owner is refused. The drop is final for the process.
 */
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Config } from '../conf/params.ts';
import { queueRoot } from '../daemon/directories.ts';
import { openChannel } from '../ipc/channel.ts';
import type { ToQmgr } from '../ipc/protocol.ts';
import { openLmdbStore } from '../queue/lmdb/store.ts';
import type { QueueKeeper } from '../queue/store.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Io } from './main.ts';

/** Longest path of a unix socket that Linux takes, with a margin. */
const MAX_SOCKET_PATH = 100;
const NOTICE_LIMIT_MS = 2000;

export type OpenedQueue = {
  readonly store: QueueKeeper;
  /** Tell qmgr, if it runs, what was changed. Never fails: qmgr also looks by itself. */
  readonly notify: (messages: readonly ToQmgr[]) => Promise<void>;
};

/** Open the queue; the error is the text after `fatal: `. */
export async function openQueue(
  config: Config,
  io: Pick<Io, 'stderr'>,
  mode: 'read' | 'write',
): Promise<Result<OpenedQueue, string>> {
  const root = queueRoot(config);
  const directory = join(root, 'queue');
  const owner = becomeOwner(directory);
  if (!owner.ok) return owner;
  const say = (text: string): void => io.stderr(`postern: warning: ${text}\n`);
  const opened = await openLmdbStore({
    directory,
    minFreeBytes: config.queue_minfree,
    idForm: config.enable_long_queue_ids ? 'long' : 'short',
    logger: { info: () => undefined, warning: say, error: say },
    readOnly: mode === 'read',
  });
  if (!opened.ok) return err(`open queue ${directory}: ${opened.error.reason}`);
  return ok({ store: opened.value, notify: (messages) => notifyQmgr(root, messages) });
}

function becomeOwner(directory: string): Result<void, string> {
  const found = statSync(directory, { throwIfNoEntry: false });
  if (!found) return err(`open queue ${directory}: no such directory`);
  const uid = process.getuid?.();
  if (uid === undefined || uid === found.uid) return ok(undefined);
  if (uid !== 0) return err('use of this command is reserved for the superuser and mail_owner');
  process.setgroups?.([found.gid]);
  process.setgid?.(found.gid);
  process.setuid?.(found.uid);
  return ok(undefined);
}

function notifyQmgr(root: string, messages: readonly ToQmgr[]): Promise<void> {
  if (messages.length === 0) return Promise.resolve();
  let path = join(root, 'public/qmgr');
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    process.chdir(root);
    path = 'public/qmgr';
  }
  return new Promise((resolve) => {
    const socket = connect({ path });
    // No qmgr: it reads everything when it starts.
    const channel = openChannel<ToQmgr>(socket, {
      onMessage: () => undefined,
      onClose: () => resolve(),
    });
    socket.setTimeout(NOTICE_LIMIT_MS, () => socket.destroy());
    socket.once('connect', () => {
      for (const message of messages) channel.send(message);
      channel.end();
    });
  });
}
