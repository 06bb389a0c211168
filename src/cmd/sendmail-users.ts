/** authorized_submit_users: may this user submit? Loaded only where not anyone may. */
import { loadConfig } from '../conf/config.ts';
import { lookupContext } from '../lookup/open.ts';
import { openUserCheck } from '../pickup/caller.ts';
import type { Io } from './main.ts';

/** `null`: yes, else the name to refuse. A list that cannot be read lets nobody in. */
export async function mayNotSubmit(uid: number, io: Io): Promise<string | null> {
  const say = (text: string): void => io.stderr(`sendmail: warning: ${text}\n`);
  const refused = `uid ${uid}`;
  const config = loadConfig(io.configDirectory);
  if (!config.ok) return refused;
  const logger = {
    info: () => undefined,
    warning: say,
    error: say,
    fatal: say,
    panic: say,
    flush: () => undefined,
  };
  const context = lookupContext(config.value, logger);
  const check = openUserCheck(
    'authorized_submit_users',
    config.value.authorized_submit_users,
    context,
  );
  if (check.ok) return check.value(uid);
  for (const { reason } of check.error) say(reason);
  return refused;
}
