/**
 * The .forward file of a user, read with the user's rights.
 *
 * It counts when it is a regular file that belongs to the user or root and not everybody may write
 * to; otherwise a warning says why and mail goes on to the mailbox. An empty one forwards nothing.
 *
 * @see local(8) "forward_path"
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { errorText, isSystemError } from '../agent/file-error.ts';
import { withIdentity } from '../agent/identity.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { expand } from '../util/expand.ts';
import { splitList } from '../util/text.ts';
import { type Destination, parseDestinationFile } from './alias-list.ts';
import type { LocalName, LocalParts, LocalUser } from './job.ts';

export type ForwardFile =
  | { readonly kind: 'none' }
  | { readonly kind: 'fault'; readonly dsn: Dsn }
  | { readonly kind: 'found'; readonly destinations: readonly Destination[] };

const MAX_BYTES = 1024 * 1024;
const NONE: ForwardFile = { kind: 'none' };

export async function readForward(
  user: LocalUser,
  name: LocalName,
  parts: LocalParts,
): Promise<ForwardFile> {
  const { config } = parts;
  if (config.forward_path === '' || user.home === '') return NONE;
  const paths = splitList(config.forward_path).flatMap((pattern) => {
    // A path with $extension is for addresses that have one.
    if (name.extension === '' && /\$[{(]?extension/.test(pattern)) return [];
    return [
      expand(
        pattern,
        (key) => settingOf(key, user, name, parts),
        () => true,
      ).text,
    ];
  });
  for (const path of new Set(paths)) {
    if (!path.startsWith('/')) continue;
    const found = await withIdentity(user.identity, () => readOne(path, user, parts));
    if (found.kind !== 'missing') return found;
  }
  return NONE;
}

/** User-supplied values are filtered: they become part of a path. */
function settingOf(
  key: string,
  user: LocalUser,
  name: LocalName,
  { config }: LocalParts,
): string | undefined {
  switch (key) {
    case 'home':
      return user.home;
    case 'shell':
      return user.shell;
    case 'user':
      return user.name;
    case 'extension':
      return name.extension.replaceAll(/[^\w!@%=+:,.-]/g, '_');
    case 'recipient_delimiter':
      return name.extension === '' ? '' : name.local.charAt(name.user.length);
    case 'domain':
      return name.domain;
    default:
      return config.lookup(key);
  }
}

async function readOne(
  path: string,
  user: LocalUser,
  { logger }: LocalParts,
): Promise<ForwardFile | { readonly kind: 'missing' }> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { mode, uid, size } = await file.stat();
      const fault =
        (mode & 0o170000) !== 0o100000
          ? 'not a regular file'
          : uid !== 0 && uid !== user.uid
            ? `file has bad owner user id ${uid}`
            : (mode & 0o002) !== 0
              ? 'file is world writable'
              : size > MAX_BYTES
                ? 'file is too large'
                : undefined;
      if (fault !== undefined) {
        logger.warning(`not using forward file ${path}: ${fault}`);
        return NONE;
      }
      const destinations = parseDestinationFile(await file.readFile('utf8'));
      if (!destinations) logger.warning(`not using forward file ${path}: bad syntax`);
      return destinations && destinations.length > 0 ? { kind: 'found', destinations } : NONE;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return { kind: 'missing' };
    if (error.code === 'EACCES') {
      logger.warning(`not using forward file ${path}: ${errorText(error)}`);
      return NONE;
    }
    // A home directory that is not there now must not turn forwarding off.
    logger.warning(`forward file ${path}: ${errorText(error)}`);
    return { kind: 'fault', dsn: dsn('4.3.0', `cannot read ${path}: ${errorText(error)}`) };
  }
}
