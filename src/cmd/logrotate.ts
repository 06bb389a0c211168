/**
 * `postern logrotate`: name the log file after the time, and compress it.
 *
 * Every process looks at the name before it writes, once a second at most, and opens a new file; the
 * old one is compressed when the last of them has noticed.
 *
 * @see postfix(1) logrotate; postconf(5) maillog_file_rotate_suffix, maillog_file_compressor
 */
import { spawnSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../conf/params.ts';
import type { Io } from './main.ts';

/** Longer than the second that a process may not have looked, and the lines it still holds. */
const SETTLE_MS = 2_500;

export async function rotate(config: Config, io: Pick<Io, 'stderr'>): Promise<number> {
  const file = config.maillog_file;
  const fail = (text: string): number => {
    io.stderr(`postern: fatal: ${text}\n`);
    return 1;
  };
  if (file === '' || file.startsWith('/dev/'))
    return fail(`maillog_file = ${file}: nothing to rotate`);
  const old = `${file}.${suffix(config.maillog_file_rotate_suffix, new Date())}`;
  if (existsSync(old)) return fail(`${old} exists; try again in a second`);
  try {
    renameSync(file, old);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return fail(error.message);
  }
  if (config.maillog_file_compressor === '') return 0;
  await sleep(SETTLE_MS);
  const { status, error } = spawnSync(config.maillog_file_compressor, [old], { stdio: 'inherit' });
  if (status === 0) return 0;
  const why = error ? error.message : `exit status ${status}`;
  return fail(
    `maillog_file_compressor = ${config.maillog_file_compressor}: ${why}; ${old} is kept`,
  );
}

/** The conversions of strftime(3) that make up a date and a time. */
function suffix(form: string, at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const parts: Readonly<Record<string, string>> = {
    Y: String(at.getFullYear()),
    m: two(at.getMonth() + 1),
    d: two(at.getDate()),
    H: two(at.getHours()),
    M: two(at.getMinutes()),
    S: two(at.getSeconds()),
    s: String(Math.floor(at.getTime() / 1000)),
    '%': '%',
  };
  return form.replaceAll(/%([YmdHMSs%])/g, (_all, letter: string) => parts[letter] ?? '');
}
