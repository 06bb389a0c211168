/**
 * The mail log. One line per event, in the shape that Postfix's tools know:
 *
 *   Nov 25 10:01:02 host postfix/smtpd[123]: 4cGz...: client=...
 *
 * `maillog_file` names a file (log-file.ts); without it lines go to the system's log (syslog.ts).
 * Lines are collected for a moment and written together; a process that is killed loses at most
 * those. A log that cannot be written loses lines and never stops mail.
 */
import { fileSink } from './log-file.ts';
import { syslogSink } from './syslog.ts';

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
  /** maillog_file; '': the system's log. /dev/stdout and /dev/stderr are the descriptors. */
  readonly file: string;
  readonly syslogName: string;
  readonly program: string;
  readonly host: string;
  /** syslog_facility; default mail. */
  readonly facility?: string;
  /** maillog_file_permissions, for a file that is made; default 0600. */
  readonly permissions?: string;
  /** Takes whole lines where this process may not open the file, after a rotation. */
  readonly forward?: (lines: string) => void;
};

/** Where lines end up. `add` takes one whole line without its end. */
export type Sink = {
  readonly add: (level: Level, text: string) => void;
  readonly flush: () => void;
};

const MAX_LINE = 4096;

/** Foreign text made safe for one log line: controls and C1 become `?`. */
export function printable(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, '?');
}

/** A log of one program name; loggers of the same file share one descriptor. */
export function openLog(options: LogOptions): Logger {
  const sink = sinkOf(options);
  const put = (level: Level, word: string, text: string): void =>
    sink.add(level, word + printable(text.slice(0, MAX_LINE)));
  return {
    info: (text) => put('info', '', text),
    warning: (text) => put('warning', 'warning: ', text),
    error: (text) => put('error', 'error: ', text),
    fatal: (text) => put('fatal', 'fatal: ', text),
    panic: (text) => put('panic', 'panic: ', text),
    flush: () => sink.flush(),
  };
}

function sinkOf(options: LogOptions): Sink {
  const { file, syslogName, program, host } = options;
  const tag = `${syslogName}/${program}`;
  if (file === '') return syslogSink({ tag, facility: options.facility ?? 'mail' });
  const out = fileSink(file, options.permissions ?? '0600', options.forward);
  const head = ` ${host.split('.')[0] ?? host} ${tag}[${process.pid}]: `;
  return {
    flush: out.flush,
    add: (_level, text) => out.add(`${stamp(Date.now())}${head}${text}\n`),
  };
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
