/**
 * pickup: from maildrop/ into the queue, as cleanup makes it.
 *
 * A file counts when it is a regular file with one link, opened without following a symlink; its
 * owner is the sender's identity. It is removed after its message is on disk. One that is no drop is
 * moved to maildrop-corrupt/ and reported, so that it is not tried for ever; one that cannot be read
 * now (no file handles, no rights) stays, since nothing says that it is bad.
 *
 * @see pickup(8), DESIGN.md section 8
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Cleanup } from '../cleanup/cleanup.ts';
import type { Config } from '../conf/params.ts';
import { type Logger, printable } from '../log/maillog.ts';
import { pickupReceivedField } from '../mail/received.ts';
import type { Envelope, QueueEntry } from '../mail/stages.ts';
import type { QueueStore } from '../queue/store.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { UserCheck } from './caller.ts';
import { DROP_SUFFIX, type Drop, parseHead } from './maildrop.ts';

export type PickupParts = {
  readonly config: () => Config;
  /** Relative to the working directory. */
  readonly directory: string;
  readonly cleanup: () => Cleanup;
  /** authorized_submit_users; absent: anyone. `null`: this user may submit. */
  readonly refusedTo?: UserCheck;
  /** sendmail -bv; absent: such drops are set aside. */
  readonly verify?: (drop: Drop) => Promise<'done' | 'later'>;
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
type Fault = { readonly isBad: boolean; readonly reason: string };
/** `full`: the queue takes nothing now, so the other drops need not be tried. */
type Taken = 'done' | 'later' | 'full';

const MAX_HEAD = 1024 * 1024;

export function openPickup(parts: PickupParts): Pickup {
  let isRunning = false;
  let isWanted = false;
  /** In the queue, but not removed: never taken again by this process. */
  const kept = new Set<string>();
  const run = async (): Promise<void> => {
    isWanted = true;
    if (isRunning) return;
    isRunning = true;
    while (isWanted) {
      isWanted = false;
      for (const name of await namesIn(parts.directory)) {
        if (kept.has(name)) continue;
        const path = join(parts.directory, name);
        const taken = await takeSafely(path, parts);
        if (taken === 'full') break;
        if (taken === 'done' && !(await remove(path, parts.logger))) kept.add(name);
      }
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

async function take(path: string, parts: PickupParts): Promise<Taken> {
  const file = await readDrop(path, parts.config());
  if (!file.ok) {
    const { isBad, reason } = file.error;
    if (isBad) return setAside(path, reason, parts);
    parts.logger.warning(`${path}: ${reason}; left for later`);
    return 'later';
  }
  const refused = (await parts.refusedTo?.(file.value.uid)) ?? null;
  if (refused !== null) {
    return setAside(path, `user ${refused} is not allowed to submit mail`, parts);
  }
  const head = parseHead(file.value.bytes);
  if (!head.ok) return setAside(path, head.error, parts);
  if (head.value.drop.verify) {
    if (parts.verify) return parts.verify(head.value.drop);
    return setAside(path, 'addresses cannot be verified here', parts);
  }
  const message = crlf(file.value.bytes.subarray(head.value.bodyStart));
  const stored = await store(head.value.drop, message, file.value.uid, parts);
  if (stored === 'done' || stored === 'later' || stored === 'full') return stored;
  return setAside(path, stored.refused, parts);
}

/** An error that one drop causes must not keep the others: it is moved out of the way. */
async function takeSafely(path: string, parts: PickupParts): Promise<Taken> {
  try {
    return await take(path, parts);
  } catch (error) {
    const shown = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return setAside(path, `internal error: ${shown.replaceAll(/\s*\n\s*/g, ' | ')}`, parts);
  }
}

async function remove(path: string, logger: Logger): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    logger.error(`${path}: is in the queue and cannot be removed: ${error.message}`);
    return false;
  }
}

async function readDrop(path: string, config: Config): Promise<Result<File, Fault>> {
  const bad = (reason: string) => err({ isBad: true, reason });
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      if (!facts.isFile() || facts.nlink !== 1) return bad('not a regular file with one link');
      if (config.message_size_limit > 0 && facts.size > config.message_size_limit + MAX_HEAD)
        return bad('too large');
      return ok({ bytes: await file.readFile(), uid: facts.uid });
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    // A symbolic link; a socket.
    const isBad = error.code === 'ELOOP' || error.code === 'ENXIO';
    return err({ isBad, reason: error.message });
  }
}

/**
 * Into the queue, or why it never will be. `refusal`: rules refuse the message; it is queued for an
 * error that tells its sender so.
 */
async function store(
  drop: Drop,
  message: Buffer,
  uid: number,
  parts: PickupParts,
  refusal?: string,
): Promise<Taken | { readonly refused: string }> {
  const draft = parts.store.begin();
  const atMs = parts.nowMs();
  const config = parts.config();
  parts.logger.info(`${draft.id}: uid=${uid} from=<${printable(drop.sender)}>`);
  const cleaning = parts.cleanup().begin({
    draft,
    trace: pickupReceivedField({
      myhostname: config.myhostname,
      mail_name: config.mail_name,
      queueId: draft.id,
      uid,
      atMs,
    }),
    sender: drop.sender,
    isLocal: true,
    atMs,
    fullName: drop.fullName,
    from: { client: 'local', recipient: drop.recipients.at(-1) },
    // Once refused it goes back to its sender, unchecked.
    isInternal: refusal !== undefined,
  });
  const wrote = cleaning.write(message);
  if (wrote !== true) await wrote;
  const cleaned = await cleaning.finish(envelopeOf(drop));
  if (!cleaned.ok) {
    draft.abort();
    const { reply, reason, isLogged } = cleaned.error;
    if (!isLogged) parts.cleanupLogger.warning(`${draft.id}: ${reason}`);
    if (reply.code < 500) return 'later';
    if (refusal !== undefined) return { refused: reason };
    return store(drop, message, uid, parts, `${reply.status ?? '5.7.1'} ${reply.lines.join(' ')}`);
  }
  const { content, sender, recipients, messageId, redirect } = cleaned.value;
  if (cleaned.value.isDiscarded) {
    draft.abort();
    return 'done';
  }
  const filter = refusal === undefined ? cleaned.value.filter : `error:${refusal}`;
  const entry: QueueEntry = {
    id: draft.id,
    arrivedMs: atMs,
    sender,
    envid: drop.envid,
    ret: drop.ret,
    smtputf8: [sender, ...recipients.map(({ address }) => address)].some(isInternational),
    recipients: redirect === undefined ? recipients : redirectedTo(redirect),
    content,
    origin: {
      client: { name: 'localhost', address: '', port: 0 },
      helo: '',
      protocol: 'local',
      uid,
    },
    dueMs: atMs,
    onHold: cleaned.value.isHeld,
    attempts: 0,
    warned: false,
    ...(filter === undefined ? {} : { filter }),
  };
  const committed = await draft.commit(entry);
  if (!committed.ok) {
    parts.logger.warning(`${draft.id}: queue: ${committed.error.reason}`);
    return 'full';
  }
  parts.cleanupLogger.info(`${draft.id}: message-id=${printable(messageId)}`);
  parts.arrived(entry);
  return 'done';
}

const redirectedTo = (address: string): QueueEntry['recipients'] => [
  { address, original: address, orcpt: '', notify: [], state: 'pending' },
];

const envelopeOf = (drop: Drop): Envelope => ({
  sender: drop.sender,
  recipients: drop.recipients.map((address) => ({
    address,
    original: address,
    orcpt: '',
    notify: drop.notify,
  })),
  envid: drop.envid,
  ret: drop.ret,
  smtputf8: false,
  body: drop.body,
});

/** Programs pipe LF line ends; stored form has CRLF. A stray CR becomes a blank. */
function crlf(message: Buffer): Buffer {
  const text = message
    .latin1Slice()
    .replaceAll(/\r\n|\n/g, '\n')
    .replaceAll('\r', ' ');
  const whole = text.endsWith('\n') || text === '' ? text : `${text}\n`;
  return Buffer.from(whole.replaceAll('\n', '\r\n'), 'latin1');
}

const isInternational = (address: string): boolean => /[^\x00-\x7f]/.test(address);

/** Out of the way: into maildrop-corrupt/, or where that is not possible under another name. */
async function setAside(path: string, reason: string, parts: PickupParts): Promise<'later'> {
  const { directory, logger } = parts;
  const aside = `${directory}-corrupt`;
  logger.warning(`${path}: ${reason}; moved to ${aside}/`);
  try {
    await mkdir(aside, { recursive: true, mode: 0o700 });
    await rename(path, join(aside, basename(path)));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    logger.warning(`${path}: ${error.message}; renamed to ${basename(path)}.corrupt`);
    await rename(path, `${path}.corrupt`).catch((second: Error) => logger.error(second.message));
  }
  return 'later';
}
