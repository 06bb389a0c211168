/**
 * What sendmail(1) needs of main.cf, read without the rest of the configuration: it starts for
 * every message. A value with a `$` takes the long way through conf/config.ts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMainCf } from '../conf/main-cf.ts';
import { MAIN_PARAMS } from '../conf/params-main.ts';
import { err, ok, type Result } from '../util/result.ts';

export type SendmailSettings = { readonly root: string; readonly sizeLimit: number };

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
  const settingOf = (name: 'queue_directory' | 'message_size_limit'): string =>
    assignments.get(name)?.value ?? MAIN_PARAMS[name].default;
  const queueDirectory = settingOf('queue_directory');
  const limit = settingOf('message_size_limit');
  if (!queueDirectory.includes('$') && /^\d+$/.test(limit)) {
    return ok({ root: join(queueDirectory, 'postern'), sizeLimit: Number(limit) });
  }
  const { loadConfig } = await import('../conf/config.ts');
  const config = loadConfig(directory);
  if (!config.ok) return err(config.error.map(({ text }) => text).join('; '));
  const { queue_directory, message_size_limit } = config.value;
  return ok({ root: join(queue_directory, 'postern'), sizeLimit: message_size_limit });
}
