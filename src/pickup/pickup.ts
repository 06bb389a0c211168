/**
 * pickup: from maildrop/ into the queue, as cleanup makes it.
 *
 * A file counts when it is a regular file with one link, opened without following a symlink; its
 * owner is the sender's identity. It is removed after its message is on disk. One that cannot be
 * read as a drop is moved to maildrop-corrupt/ and reported, so that it is not tried for ever.
 *
 * @see pickup(8), DESIGN.md section 8
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cleanup } from '../cleanup/cleanup.ts';
import type { Config } from '../conf/params.ts';
import { type Logger, printable } from '../log/maillog.ts';
import { pickupReceivedField } from '../mail/received.ts';
import type { Envelope, QueueEntry } from '../mail/stages.ts';
import type { QueueStore } from '../queue/store.ts';
import { err, ok, type Result } from '../util/result.ts';
import { DROP_SUFFIX, type Drop, parseHead } from './maildrop.ts';

export type PickupParts = {
  readonly config: () => Config;
  /** Relative to the working directory. */
  readonly directory: string;
  readonly cleanup: () => Cleanup;
  readonly store: Pick<QueueStore, 'begin'>;
  readonly arrived: (entry: QueueEntry) => void;
  readonly logger: Logger;
  readonly cleanupLogger: Logger;
  readonly nowMs: () => number;
};

export type Pickup = {
  /** Take what is there; a call while one is under way makes it look once more. */
  readonly run: () => Promise<void>;
};

type File = { readonly bytes: Buffer; readonly uid: number };

const MAX_HEAD = 1024 * 1024;

export function openPickup(parts: PickupParts): Pickup {
  let isRunning = false;
  let isWanted = false;
  const run = async (): Promise<void> => {
    isWanted = true;
    if (isRunning) return;
    isRunning = true;
    while (isWanted) {
      isWanted = false;
      for (const name of await namesIn(parts.directory)) await take(join(parts.directory, name), parts);
    }
    isRunning = false;
  };
  return { run };
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => name.endsWith(DROP_SUFFIX)).sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return [];
    throw error;
  }
}

async function take(path: string, parts: PickupParts): Promise<void> {
  const file = await readDrop(path, parts.config());
  if (!file.ok) return setAside(path, file.error, parts);
  const head = parseHead(file.value.bytes);
  if (!head.ok) return setAside(path, head.error, parts);
  const message = crlf(file.value.bytes.subarray(head.value.bodyStart));
  const stored = await store(head.value.drop, message, file.value.uid, parts);
  if (stored === 'later') return;
  if (stored !== 'done') return setAside(path, stored, parts);
  await unlink(path);
}

async function readDrop(path: string, config: Config): Promise<Result<File, string>> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      if (!facts.isFile() || facts.nlink !== 1) return err('not a regular file with one link');
      if (config.message_size_limit > 0 && facts.size > config.message_size_limit + MAX_HEAD) return err('too large');
      return ok({ bytes: await file.readFile(), uid: facts.uid });
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error) return err(error.message);
    throw error;
  }
}

/** Into the queue; `later` when that is not possible now, a reason when it never will be. */
async function store(drop: Drop, message: Buffer, uid: number, parts: PickupParts): Promise<'done' | 'later' | string> {
  const draft = parts.store.begin();
  const atMs = parts.nowMs();
  const config = parts.config();
  parts.logger.info(`${draft.id}: uid=${uid} from=<${printable(drop.sender)}>`);
  const cleaning = parts.cleanup().begin({
    draft,
    trace: pickupReceivedField({ myhostname: config.myhostname, mail_name: config.mail_name, queueId: draft.id, uid, atMs }),
    sender: drop.sender,
    isLocal: true,
    atMs,
  });
  const wrote = cleaning.write(message);
  if (wrote !== true) await wrote;
  const cleaned = await cleaning.finish(envelopeOf(drop));
  if (!cleaned.ok) {
    draft.abort();
    parts.logger.warning(`${draft.id}: ${cleaned.error.reason}`);
    return cleaned.error.reply.code < 500 ? 'later' : cleaned.error.reason;
  }
  const { content, sender, recipients, messageId } = cleaned.value;
  const entry: QueueEntry = {
    id: draft.id,
    arrivedMs: atMs,
    sender,
    envid: drop.envid,
    ret: drop.ret,
    smtputf8: false,
    recipients,
    content,
    origin: { client: { name: 'localhost', address: '', port: 0 }, helo: '', protocol: 'local', uid },
    dueMs: atMs,
    onHold: false,
    attempts: 0,
    warned: false,
  };
  const committed = await draft.commit(entry);
  if (!committed.ok) {
    parts.logger.warning(`${draft.id}: queue: ${committed.error.reason}`);
    return 'later';
  }
  parts.cleanupLogger.info(`${draft.id}: message-id=${printable(messageId)}`);
  parts.arrived(entry);
  return 'done';
}

const envelopeOf = (drop: Drop): Envelope => ({
  sender: drop.sender,
  recipients: drop.recipients.map((address) => ({ address, original: address, orcpt: '', notify: drop.notify })),
  envid: drop.envid,
  ret: drop.ret,
  smtputf8: false,
  body: drop.body,
});

/** Programs pipe LF line ends; stored form has CRLF. A stray CR becomes a blank. */
function crlf(message: Buffer): Buffer {
  const text = message.latin1Slice().replaceAll(/\r\n|\n/g, '\n').replaceAll('\r', ' ');
  const whole = text.endsWith('\n') || text === '' ? text : `${text}\n`;
  return Buffer.from(whole.replaceAll('\n', '\r\n'), 'latin1');
}

async function setAside(path: string, reason: string, { logger }: PickupParts): Promise<void> {
  logger.warning(`${path}: ${reason}; moved to maildrop-corrupt/`);
  try {
    await mkdir('maildrop-corrupt', { recursive: true, mode: 0o700 });
    await rename(path, join('maildrop-corrupt', path.slice(path.lastIndexOf('/') + 1)));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    logger.warning(`${path}: ${error.message}`);
  }
}
