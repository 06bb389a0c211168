/**
 * What sendmail(1) needs of main.cf, read without the rest of the configuration: it starts for
 * every message. A value with a `$` takes the long way through conf/config.ts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMainCf } from '../conf/main-cf.ts';
import { MAIN_PARAMS } from '../conf/params-main.ts';
import { err, ok, type Result } from '../util/result.ts';

export type SendmailSettings = {
  readonly root: string;
  readonly sizeLimit: number;
  /** authorized_submit_users */
  readonly users: string;
};

export async function sendmailSettings(
  directory: string,
): Promise<Result<SendmailSettings, string>> {
  const file = join(directory, 'main.cf');
  let source: string;
  try {
    source = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return err(`${file}: ${error.message}`);
    throw error;
  }
  const { assignments } = parseMainCf(file, source);
  const settingOf = (
    name: 'queue_directory' | 'message_size_limit' | 'authorized_submit_users',
  ): string => assignments.get(name)?.value ?? MAIN_PARAMS[name].default;
  const queueDirectory = settingOf('queue_directory');
  const limit = settingOf('message_size_limit');
  const users = settingOf('authorized_submit_users');
  if (![queueDirectory, users].some((value) => value.includes('$')) && /^\d+$/.test(limit)) {
    return ok({ root: join(queueDirectory, 'postern'), sizeLimit: Number(limit), users });
  }
  const { loadConfig } = await import('../conf/config.ts');
  const config = loadConfig(directory);
  if (!config.ok) return err(config.error.map(({ text }) => text).join('; '));
  const { queue_directory, message_size_limit, authorized_submit_users } = config.value;
  return ok({
    root: join(queue_directory, 'postern'),
    sizeLimit: message_size_limit,
    users: authorized_submit_users,
  });
}
