/**
 * Lines to a file or to standard output, in whole lines whatever happens on the way.
 *
 * They are written together, at most every 20 ms or 16 KiB. What a short write, a full disk or a
 * slow reader of a pipe leaves over is kept and goes first at the next try; beyond a limit whole
 * lines are dropped, and counted in the log when it can be written again. A file that was renamed
 * (postern logrotate, logrotate(8)) is opened anew within a second.
 */
import { closeSync, fstatSync, openSync, statSync, writeSync } from 'node:fs';

export type FileSink = {
  /** Whole lines, each with its end. */
  readonly add: (lines: string) => void;
  readonly flush: () => void;
};

/** write(2): how many bytes were taken; throws as it does. */
export type Write = (descriptor: number, bytes: Buffer) => number;

const WRITE_AFTER_MS = 20;
const RETRY_AFTER_MS = 250;
const FOLLOW_MS = 1_000;
const WRITE_AT_BYTES = 16 * 1024;
const MAX_KEPT_BYTES = 1024 * 1024;
/** How often `flush` waits 5 ms for the reader of a pipe. */
const FLUSH_WAITS = 100;
const MODES: ReadonlyMap<string, number> = new Map([
  ['0600', 0o600],
  ['0640', 0o640],
  ['0644', 0o644],
]);

const sinks = new Map<string, FileSink>();

/** The sink of a file: one in a process. */
export function fileSink(
  file: string,
  permissions = '0600',
  forward?: (lines: string) => void,
): FileSink {
  const known = sinks.get(file);
  if (known) return known;
  const made = makeFileSink(file, MODES.get(permissions) ?? 0o600, forward);
  sinks.set(file, made);
  return made;
}

export function makeFileSink(
  file: string,
  mode: number,
  forward?: (lines: string) => void,
  write: Write = (descriptor, bytes) => writeSync(descriptor, bytes),
): FileSink {
  const opened = openFile(file, mode);
  if (typeof opened === 'string') process.stderr.write(`postern: warning: ${opened}\n`);
  let descriptor = typeof opened === 'string' ? 2 : opened;
  let isForwarding = false;
  let checkedMs = Date.now();
  let fresh = '';
  let kept: Buffer = Buffer.alloc(0);
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;

  const follow = (): void => {
    if (descriptor < 3 || Date.now() - checkedMs < FOLLOW_MS) return;
    checkedMs = Date.now();
    const now = statSync(file, { throwIfNoEntry: false });
    if (now?.ino === fstatSync(descriptor).ino) return;
    const next = openFile(file, mode);
    isForwarding = typeof next === 'string' && forward !== undefined;
    if (typeof next === 'string') return;
    closeSync(descriptor);
    descriptor = next;
  };

  const writeKept = (): void => {
    while (kept.length > 0) kept = kept.subarray(write(descriptor, kept));
  };

  /** Whether all is written. Never throws for reasons of the file. */
  const writeOut = (): boolean => {
    clearTimeout(timer);
    timer = undefined;
    try {
      follow();
      if (isForwarding && kept.length === 0) {
        if (fresh !== '') forward?.(fresh);
        fresh = '';
        return true;
      }
      kept = Buffer.concat([kept, Buffer.from(fresh)]);
      fresh = '';
      writeKept();
      if (dropped > 0) kept = Buffer.from(`postern: warning: ${dropped} log lines lost\n`);
      dropped = 0;
      writeKept();
      return true;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
      limit();
      timer ??= setTimeout(writeOut, RETRY_AFTER_MS).unref();
      return false;
    }
  };

  /** Drop the newest lines; the first one may be half written and stays. */
  const limit = (): void => {
    if (kept.length <= MAX_KEPT_BYTES) return;
    const end = kept.lastIndexOf('\n', MAX_KEPT_BYTES) + 1;
    for (let at = end; at < kept.length; at += 1) if (kept[at] === 0x0a) dropped += 1;
    kept = kept.subarray(0, end);
  };

  return {
    add: (lines) => {
      fresh += lines;
      if (fresh.length >= WRITE_AT_BYTES && kept.length === 0) writeOut();
      else timer ??= setTimeout(writeOut, WRITE_AFTER_MS);
    },
    flush: () => {
      for (let tries = 0; !writeOut() && tries < FLUSH_WAITS && descriptor < 3; tries += 1) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    },
  };
}

/** A descriptor, or why there is none. */
function openFile(file: string, mode: number): number | string {
  if (file === '/dev/stdout') return 1;
  if (file === '/dev/stderr') return 2;
  try {
    return openSync(file, 'a', mode);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return `maillog_file: ${error.message}`;
  }
}
