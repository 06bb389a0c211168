/**
 * Lines to the system's log: what maillog_file = (empty) means, as in Postfix.
 *
 * Tried in this order: journald's stream socket, a stream at /dev/log (syslog-ng), and, since Node
 * has no datagram sockets of this kind, logger(1) for a datagram at /dev/log (rsyslog, busybox).
 * Where there is none, standard error. What is written before the connection stands waits in it.
 *
 * @see sd-daemon(3), systemd-journald.service(8) for the stream; RFC 3164 4.1 for /dev/log
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { Level, Sink } from './maillog.ts';

export type SyslogOptions = {
  /** `postfix/smtpd`. */
  readonly tag: string;
  /** syslog_facility. */
  readonly facility: string;
  /** For tests. */
  readonly journal?: string;
  readonly device?: string;
};

const SEVERITY: Readonly<Record<Level, number>> = {
  panic: 2,
  fatal: 2,
  error: 3,
  warning: 4,
  info: 6,
};
const FACILITIES = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron'],
  ...['authpriv', 'ftp', '', '', '', ''],
  ...['local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'],
];
const RETRY_MS = 1_000;
const MAX_UNSENT_BYTES = 1024 * 1024;
const LAST_WORDS_MS = 2_000;

type Line = { readonly priority: number; readonly severity: number; readonly text: string };
/** A place that takes lines: what it writes first, and how it wants a line. */
type Target = {
  readonly kind: 'journal' | 'stream' | 'logger';
  readonly stream: Writable;
  readonly isConnected: () => boolean;
};

export function syslogSink(options: SyslogOptions): Sink {
  const journal = options.journal ?? '/run/systemd/journal/stdout';
  const device = options.device ?? '/dev/log';
  const facility = Math.max(0, FACILITIES.indexOf(options.facility || 'mail')) * 8;
  const tag = `${options.tag}[${process.pid}]`;
  /** Written to a connection that does not stand yet: said again if it never does. */
  let unsure: Line[] = [];
  let target: Target | undefined;
  let isDatagram = false;
  let notBeforeMs = 0;

  const lost = (): void => {
    target = undefined;
    notBeforeMs = Date.now() + RETRY_MS;
  };

  const overSocket = (kind: 'journal' | 'stream', path: string): Target => {
    const socket: Socket = connect(path);
    let isConnected = false;
    const made: Target = { kind, stream: socket, isConnected: () => isConnected };
    socket.unref();
    socket.on('connect', () => {
      isConnected = true;
      unsure = [];
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const again = unsure;
      unsure = [];
      lost();
      // Only datagrams are taken there.
      if (error.code === 'EPROTOTYPE') {
        isDatagram = true;
        notBeforeMs = 0;
      }
      for (const line of again) add(line);
    });
    socket.on('close', () => {
      if (target === made) lost();
    });
    if (kind === 'journal')
      socket.write(`${options.tag}\n\n${facility + SEVERITY.info}\n1\n0\n0\n0\n`);
    return made;
  };

  const overLogger = (): Target => {
    const argv = ['--socket', device, '--prio-prefix', '--tag', tag];
    const child: ChildProcess = spawn('logger', argv, {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    child.unref();
    const stream = child.stdin;
    if (!stream) throw new Error('logger has no standard input');
    const made: Target = { kind: 'logger', stream, isConnected: () => true };
    for (const source of [child, stream]) {
      source.on('error', lost);
      source.on('close', lost);
    }
    if ('unref' in stream && typeof stream.unref === 'function') stream.unref();
    return made;
  };

  const open = (): Target | undefined => {
    if (target || Date.now() < notBeforeMs) return target;
    if (isSocket(journal)) target = overSocket('journal', journal);
    else if (isSocket(device)) target = isDatagram ? overLogger() : overSocket('stream', device);
    return target;
  };

  const add = (line: Line): void => {
    const to = open();
    if (!to) return void process.stderr.write(`${tag}: ${line.text}\n`);
    if (to.stream.writableLength > MAX_UNSENT_BYTES) return;
    if (!to.isConnected()) unsure.push(line);
    to.stream.write(wireForm(to.kind, line, tag));
  };

  return {
    add: (level, text) =>
      add({ priority: facility + SEVERITY[level], severity: SEVERITY[level], text }),
    // A connection that stands has taken all; the rest goes by a program that we can wait for.
    flush: () => {
      const last = unsure;
      unsure = [];
      if (last.length === 0 || target?.isConnected()) return;
      target?.stream.destroy();
      const input = last.map(({ priority, text }) => `<${priority}>${text}\n`).join('');
      const argv = ['--prio-prefix', '--tag', tag, '--socket', device];
      const { status } = spawnSync('logger', argv, { input, timeout: LAST_WORDS_MS });
      if (status !== 0) for (const { text } of last) process.stderr.write(`${tag}: ${text}\n`);
    },
  };
}

/** How a line looks on its way; see the header for who wants which. */
function wireForm(kind: Target['kind'], { priority, severity, text }: Line, tag: string): string {
  if (kind === 'journal') return `<${severity}>${text}\n`;
  if (kind === 'logger') return `<${priority}>${text}\n`;
  return `<${priority}>${stampOf(new Date())} ${tag}: ${text}\n`;
}

/** RFC 3164: `Nov  5 10:01:02`. */
function stampOf(at: Date): string {
  const [, month = '', day = '', , time = ''] = at.toString().split(' ');
  return `${month} ${day.replace(/^0/, ' ')} ${time}`;
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}
