/**
 * One server per queue: pid/master.pid, and respect for a Postfix that owns the same queue.
 *
 * Node has no file locks; a pid file counts while its process lives. Two starts at the same moment
 * are kept apart by creating the file exclusively.
 */
import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok, type Result } from '../util/result.ts';

/** The pid in a file, when that process is alive. */
export function livePid(file: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
  const pid = Number(text.trim());
  return Number.isSafeInteger(pid) && pid > 0 && isAlive(pid) ? pid : undefined;
}

/** Take the queue for this process. */
export function claimQueue(queueDirectory: string): Result<string, string> {
  const postfix = livePid(join(queueDirectory, 'pid/master.pid'));
  if (postfix !== undefined) {
    return err(`Postfix (pid ${postfix}) runs on ${queueDirectory}: stop it first (postfix stop)`);
  }
  const file = join(queueDirectory, 'postern/pid/master.pid');
  const running = livePid(file);
  if (running !== undefined) return err(`the mail system is already running (pid ${running})`);
  try {
    unlinkSync(file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  try {
    const handle = openSync(file, 'wx', 0o644);
    writeSync(handle, `${String(process.pid).padStart(6)}\n`);
    closeSync(handle);
  } catch (error) {
    if (error instanceof Error && 'code' in error) return err(`${file}: ${error.message}`);
    throw error;
  }
  return ok(file);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return isRunning(pid);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** A process that has ended but was not waited for still takes signals. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch (error) {
    if (error instanceof Error && 'code' in error) return true;
    throw error;
  }
}
