/**
 * The end of local delivery: mailbox_command, home_mailbox, the mail spool, or a file of an alias.
 *
 * root's mail and files are written with default_privs: nothing is delivered as root.
 */
import { stat } from 'node:fs/promises';
import type { AgentBody } from '../agent/body.ts';
import { isSystemError } from '../agent/file-error.ts';
import { type Identity, isRoot, withIdentity } from '../agent/identity.ts';
import { deliverMaildir } from '../agent/maildir.ts';
import { deliverMbox } from '../agent/mbox.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { splitList } from '../util/text.ts';
import { deliverCommand } from './command.ts';
import type { Job, LocalName, LocalUser } from './job.ts';
import { unprivileged } from './rights.ts';

let serial = 0;

export async function deliverMailbox(job: Job, name: LocalName, account: LocalUser): Promise<Dsn> {
  const { config, mailboxCommands, logger } = job.parts;
  const user = unprivileged(job.parts, account);
  if (!user) return dsn('4.3.5', 'mail system configuration error');
  if (config.require_home_directory && !(await exists(user.home))) {
    return dsn('4.3.0', `cannot access home directory ${user.home}`);
  }
  const mapped = mailboxCommands.isEmpty
    ? ({ kind: 'absent' } as const)
    : await mailboxCommands.find(account.name);
  if (mapped.kind === 'retry' || mapped.kind === 'misconfigured') {
    logger.warning(`mailbox_command_maps lookup of ${account.name}: ${mapped.reason}`);
    return dsn('4.3.5', 'mail system configuration error');
  }
  const command = mapped.kind === 'found' ? mapped.value : config.mailbox_command;
  if (command !== '') return deliverCommand(job, name, command, user);
  if (config.home_mailbox !== '') {
    return writeTo(job, `${account.home}/${config.home_mailbox}`, user, {
      identity: user.identity,
      delivered: 'mailbox',
      mustOwn: true,
    });
  }
  const spool = config.mail_spool_directory;
  const path = `${spool.replace(/\/$/, '')}/${account.name}${spool.endsWith('/') ? '/' : ''}`;
  return writeTo(job, path, user, {
    identity: await spoolIdentity(spool, user.identity),
    delivered: 'mailbox',
    mustOwn: true,
  });
}

/** A file or maildir that an alias or .forward names. */
export async function deliverFile(job: Job, path: string, owner: LocalUser): Promise<Dsn> {
  const user = unprivileged(job.parts, owner);
  if (!user) return dsn('4.3.5', 'mail system configuration error');
  if (path.split('/').includes('..')) return dsn('5.7.1', `bad file name ${path}`);
  return writeTo(job, path, user, {
    identity: user.identity,
    delivered: `file: ${path}`,
    mustOwn: false,
  });
}

type Target = {
  readonly identity: Identity;
  readonly delivered: string;
  readonly mustOwn: boolean;
};

function writeTo(job: Job, path: string, user: LocalUser, target: Target): Promise<Dsn> {
  return withIdentity(target.identity, async () => {
    const body = await job.openBody();
    if (!body.ok) return dsn('4.3.0', `cannot read message: ${body.error}`);
    return write(job, path, user, target, body.value);
  });
}

function write(
  { request, recipient, parts, deliveredTo }: Job,
  path: string,
  user: LocalUser,
  { delivered, mustOwn }: Target,
  body: AgentBody,
): Promise<Dsn> {
  const { config, nowMs } = parts;
  // Mailboxes always get Delivered-To:; prepend_delivered_header is about the rest.
  const wantsHeader = mustOwn || splitList(config.prepend_delivered_header).includes('file');
  const common = {
    path,
    body,
    fields: {
      sender: request.sender,
      original: recipient.original,
      deliveredTo: wantsHeader ? deliveredTo : '',
    },
    sizeLimit: config.mailbox_size_limit,
    nowMs: nowMs(),
  };
  if (path.endsWith('/')) {
    serial += 1;
    return deliverMaildir({ ...common, myhostname: config.myhostname, serial });
  }
  return deliverMbox({
    ...common,
    owner: mustOwn && config.strict_mailbox_ownership ? user.uid : undefined,
    delivered,
    failed: mustOwn
      ? `cannot update mailbox ${path} for user ${user.name}. `
      : `cannot append message to file ${path}: `,
    lockMayFail: !mustOwn,
    lock: {
      attempts: config.deliver_lock_attempts,
      delayMs: config.deliver_lock_delay * 1000,
      staleMs: config.stale_lock_time * 1000,
    },
  });
}

/**
 * A spool directory that its group may write to (root:mail 2775) needs that group for the lock
 * file and for a new mailbox.
 */
async function spoolIdentity(spool: string, identity: Identity): Promise<Identity> {
  if (!isRoot()) return identity;
  try {
    const { mode, gid } = await stat(spool);
    const isOpen = (mode & 0o002) !== 0;
    if (isOpen || (mode & 0o020) === 0 || gid === 0) return identity;
    return { ...identity, gid, groups: [gid, ...identity.groups] };
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return identity;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false;
  }
}
