/** Whose rights files and commands get: never root's. */
import { identityOf, isRoot } from '../agent/identity.ts';
import type { LocalParts, LocalUser } from './job.ts';

/** The account of default_privs; undefined (with a warning) when it is missing or root. */
export function defaultUser({ config, accounts, logger }: LocalParts): LocalUser | undefined {
  const account = accounts(config.default_privs);
  if (account.ok && account.value && account.value.uid !== 0) {
    return { ...account.value, identity: identityOf(account.value) };
  }
  logger.warning(`default_privs: no such account, or root: ${config.default_privs}`);
  return undefined;
}

/** The user, or default_privs for root. */
export const unprivileged = (parts: LocalParts, user: LocalUser): LocalUser | undefined =>
  user.uid === 0 && isRoot() ? defaultUser(parts) : user;
