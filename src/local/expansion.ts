/**
 * Aliases and what they name: lookup, owner- aliases, files, commands, :include: lists.
 *
 * Files and commands of an alias table get the rights of the table's owner; those of a table that
 * belongs to root, or whose owner cannot be told, get default_privs. Nothing runs as root.
 */
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { errorText, isSystemError } from '../agent/file-error.ts';
import { identityOf, isRoot, withIdentity } from '../agent/identity.ts';
import type { Table } from '../lookup/table.ts';
import { externalAddress } from '../mail/address.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { rewriteAddress } from '../rewrite/rewrite.ts';
import { accountOfUid } from '../util/accounts.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { type Destination, parseDestinationFile, parseDestinations } from './alias-list.ts';
import { deliverCommand } from './command.ts';
import type { Job, LocalName, LocalParts, LocalUser, Source } from './job.ts';
import { deliverFile } from './mailbox.ts';
import { defaultUser } from './rights.ts';

export type Found =
  | { readonly kind: 'absent' }
  | { readonly kind: 'fault'; readonly dsn: Dsn }
  | {
      readonly kind: 'found';
      readonly destinations: readonly Destination[];
      readonly source: Partial<Pick<Source, 'sender' | 'resubmits' | 'owner'>>;
    };

type Deliver = (job: Job, address: string, source: Source) => Promise<void>;

const CONFIGURATION = dsn('4.3.5', 'mail system configuration error');
const MAX_INCLUDE_BYTES = 16 * 1024 * 1024;

/** The alias of a name, and how what it names is to be treated. */
export async function findAlias(name: string, parts: LocalParts): Promise<Found> {
  const found = await lookup(name, parts);
  if (found.kind !== 'found') return found;
  const destinations = parseDestinations(found.value);
  if (!destinations) {
    parts.logger.warning(`alias ${name}: bad value: ${found.value}`);
    return { kind: 'fault', dsn: CONFIGURATION };
  }
  const owner = await ownerOf(found.table, parts);
  if (!owner.ok) return { kind: 'fault', dsn: owner.error };
  const isOwner = /^owner-/i.test(name);
  const list = isOwner ? ({ kind: 'absent' } as const) : await lookup(`owner-${name}`, parts);
  if (list.kind === 'fault') return list;
  if (list.kind === 'absent') {
    return { kind: 'found', destinations, source: { owner: owner.value } };
  }
  const first = parts.config.expand_owner_alias ? parseDestinations(list.value)?.[0] : undefined;
  const sender = first?.kind === 'address' ? first.address : `owner-${name}`;
  return {
    kind: 'found',
    destinations,
    source: { owner: owner.value, sender: rewriteAddress(sender, parts.config), resubmits: true },
  };
}

type Value =
  | { readonly kind: 'absent' }
  | { readonly kind: 'fault'; readonly dsn: Dsn }
  | { readonly kind: 'found'; readonly value: string; readonly table: Table };

async function lookup(name: string, { aliases, logger }: LocalParts): Promise<Value> {
  for (const table of aliases.tables) {
    const key = externalAddress(name);
    const found = await table.lookup(table.keys === 'fixed' ? key.toLowerCase() : key);
    if (found.kind === 'absent') continue;
    if (found.kind === 'found') return { kind: 'found', value: found.value, table };
    logger.warning(`alias_maps lookup of ${name}: ${found.reason}`);
    return { kind: 'fault', dsn: dsn('4.3.0', 'alias database unavailable') };
  }
  return { kind: 'absent' };
}

/** Undefined: default_privs. */
async function ownerOf(
  { type, name }: Table,
  { logger }: LocalParts,
): Promise<Result<LocalUser | undefined, Dsn>> {
  if (!isRoot() || !name.startsWith('/')) return ok(undefined);
  let uid: number;
  try {
    uid = (await stat(name)).uid;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return ok(undefined);
  }
  if (uid === 0) return ok(undefined);
  const account = accountOfUid(uid);
  if (account.ok && account.value) {
    return ok({ ...account.value, identity: identityOf(account.value) });
  }
  logger.warning(`cannot find the owner of ${type}:${name}, user id ${uid}`);
  return err(dsn('4.3.0', 'cannot find alias database owner'));
}

/** Deliver to each destination; `deliver` is for names of this host. */
export async function expandDestinations(
  job: Job,
  name: LocalName,
  destinations: readonly Destination[],
  source: Source,
  deliver: Deliver,
): Promise<void> {
  for (const destination of destinations) {
    switch (destination.kind) {
      case 'address':
        await deliverAddress(job, destination.address, source, deliver);
        break;
      case 'include':
        await deliverInclude(job, name, destination.path, source, deliver);
        break;
      case 'file':
      case 'command':
        await deliverSpecial(job, name, destination, source);
        break;
    }
  }
}

async function deliverAddress(
  job: Job,
  address: string,
  source: Source,
  deliver: Deliver,
): Promise<void> {
  const { parts, request } = job;
  // `\user` of a .forward file: the user's mailbox, which the chain leads to anyway.
  const complete = rewriteAddress(address.replace(/^\\/, ''), parts.config);
  const sender = source.sender ?? request.sender;
  const route = await parts.resolver.route(sender, complete);
  if (route.kind === 'retry') {
    parts.logger.warning(`resolving ${complete}: ${route.reason}`);
    return void job.results.push(dsn('4.3.0', 'address resolver failure'));
  }
  if (route.kind === 'invalid') return void job.results.push(dsn('5.1.3', 'bad address syntax'));
  if (route.transport === parts.service && !source.resubmits) {
    return deliver(job, route.recipient, source);
  }
  const addresses = job.forwards.get(sender) ?? new Set();
  job.forwards.set(sender, addresses.add(complete));
}

async function deliverInclude(
  job: Job,
  name: LocalName,
  path: string,
  source: Source,
  deliver: Deliver,
): Promise<void> {
  const { parts } = job;
  const key = `include:${path}`;
  if (source.chain.has(key)) return void job.results.push(dsn('5.4.6', 'possible include loop'));
  const owner = source.owner ?? defaultUser(parts);
  if (!owner) return void job.results.push(CONFIGURATION);
  const text = await withIdentity(owner.identity, () => readText(path));
  if (!text.ok) {
    parts.logger.warning(`cannot open include file ${path}: ${text.error}`);
    job.results.push(dsn('4.3.5', 'mail system configuration error'));
    return;
  }
  const destinations = parseDestinationFile(text.value);
  if (!destinations) {
    parts.logger.warning(`include file ${path}: bad syntax`);
    return void job.results.push(CONFIGURATION);
  }
  const chain = new Set(source.chain).add(key);
  const next: Source = {
    ...source,
    kind: 'include',
    depth: source.depth + 1,
    chain,
    resubmits: true,
  };
  await expandDestinations(job, name, destinations, next, deliver);
}

async function deliverSpecial(
  job: Job,
  name: LocalName,
  destination: Extract<Destination, { kind: 'file' | 'command' }>,
  source: Source,
): Promise<void> {
  const { parts } = job;
  const { config } = parts;
  const isFile = destination.kind === 'file';
  const allowed = splitList(isFile ? config.allow_mail_to_files : config.allow_mail_to_commands);
  const shown = isFile ? destination.path : `|${destination.command}`;
  if (!allowed.includes(source.kind)) {
    const what = isFile ? 'mail to file is restricted' : 'mail to command is restricted';
    parts.logger.warning(`${what}: ${shown}`);
    return void job.results.push(dsn('5.7.1', what));
  }
  const key = `${shown} ${source.owner?.name ?? ''}`;
  if (job.seen.has(key)) return;
  job.seen.add(key);
  const user = source.owner ?? defaultUser(parts);
  if (!user) return void job.results.push(CONFIGURATION);
  job.results.push(
    destination.kind === 'file'
      ? await deliverFile(job, destination.path, user)
      : await deliverCommand(job, name, destination.command, user),
  );
}

/** A regular file that not everybody may write to. */
async function readText(path: string): Promise<Result<string, string>> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { mode, size } = await file.stat();
      if ((mode & 0o170000) !== 0o100000) return err('not a regular file');
      if ((mode & 0o002) !== 0) return err('file is world writable');
      if (size > MAX_INCLUDE_BYTES) return err('file is too large');
      return ok(await file.readFile('utf8'));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return err(errorText(error));
  }
}
