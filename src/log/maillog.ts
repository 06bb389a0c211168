/**
 * The mail log. One line per event, in the shape that Postfix's tools know:
 *
 *   Nov 25 10:01:02 host postfix/smtpd[123]: 4cGz...: client=...
 *
 * Lines are collected and written together, at most every 20 ms or 16 KiB; `flush` writes at once.
 * A process that is killed loses at most those. A log that cannot be written (disk full) loses
 * lines and never stops mail.
 */
import { closeSync, fstatSync, openSync, statSync, writeSync } from 'node:fs';

export type Level = 'info' | 'warning' | 'error' | 'fatal' | 'panic';

export interface Logger {
  /** Routine; no level word in the line. */
  info(text: string): void;
  /** `warning: text`: wants an administrator. */
  warning(text: string): void;
  error(text: string): void;
  /** `fatal: text`: the process is about to end. */
  fatal(text: string): void;
  panic(text: string): void;
  /** Write out what is buffered, synchronously. */
  flush(): void;
}

export type LogOptions = {
  /** maillog_file; '' and /dev/stderr: standard error; /dev/stdout. */
  readonly file: string;
  readonly syslogName: string;
  readonly program: string;
  readonly host: string;
};

const WRITE_AFTER_MS = 20;
const WRITE_AT_BYTES = 16 * 1024;
const MAX_LINE = 4096;

/** Foreign text made safe for one log line: controls and C1 become `?`. */
export function printable(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, '?');
}

/** A log of one program name; loggers of the same file share one descriptor. */
export function openLog(options: LogOptions): Logger {
  const sink = sinkOf(options.file);
  const tag = ` ${options.host.split('.')[0] ?? options.host} ${options.syslogName}/${options.program}[${process.pid}]: `;
  const put = (word: string, text: string): void =>
    sink.add(`${stamp(Date.now())}${tag}${word}${printable(text.slice(0, MAX_LINE))}\n`);
  return {
    info: (text) => put('', text),
    warning: (text) => put('warning: ', text),
    error: (text) => put('error: ', text),
    fatal: (text) => put('fatal: ', text),
    panic: (text) => put('panic: ', text),
    flush: () => sink.flush(),
  };
}

type Sink = { readonly add: (line: string) => void; readonly flush: () => void };

const sinks = new Map<string, Sink>();

function sinkOf(file: string): Sink {
  const known = sinks.get(file);
  if (known) return known;
  const made = makeSink(file);
  sinks.set(file, made);
  return made;
}

function makeSink(file: string): Sink {
  let pending = '';
  let timer: NodeJS.Timeout | undefined;
  let descriptor = openFile(file);
  let checkedMs = Date.now();

  /** A log that was renamed (postern logrotate) is opened anew, within a second. */
  const follow = (): void => {
    if (descriptor < 3 || Date.now() - checkedMs < 1_000) return;
    checkedMs = Date.now();
    const now = statSync(file, { throwIfNoEntry: false });
    if (now?.ino === fstatSync(descriptor).ino) return;
    const next = openFile(file);
    if (next === 2) return;
    closeSync(descriptor);
    descriptor = next;
  };
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (pending === '') return;
    const text = pending;
    pending = '';
    try {
      follow();
      writeSync(descriptor, text);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  };
  return {
    flush,
    add: (line) => {
      pending += line;
      if (pending.length >= WRITE_AT_BYTES) flush();
      else timer ??= setTimeout(flush, WRITE_AFTER_MS);
    },
  };
}

function openFile(file: string): number {
  if (file === '/dev/stdout') return 1;
  if (file === '' || file === '/dev/stderr') return 2;
  try {
    return openSync(file, 'a', 0o644);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    process.stderr.write(`postern: warning: maillog_file: ${error.message}\n`);
    return 2;
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
let stampSecond = 0;
let stampText = '';

/** `Nov  5 10:01:02`, local time; the same text for a whole second. */
function stamp(nowMs: number): string {
  const second = Math.floor(nowMs / 1000);
  if (second === stampSecond) return stampText;
  const at = new Date(nowMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  stampSecond = second;
  stampText = `${MONTHS[at.getMonth()]} ${String(at.getDate()).padStart(2)} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return stampText;
}
