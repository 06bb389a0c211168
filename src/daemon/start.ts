/**
 * The skeleton of every worker process: configuration, log, privileges, signals, end.
 *
 *   master forks -> read main.cf and the row's -o -> open the log -> prepare (still with master's
 *   rights) -> drop to the row's owner -> serve -> "ready" to master
 *
 * A broken invariant (uncaught exception, unhandled rejection) is logged as panic and ends the
 * process with 70; master starts another. When master dies the cluster module ends the worker.
 */
import { flushCompileCache } from 'node:module';
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import type { FromMaster, ToMaster } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import { openLog } from '../log/maillog.ts';
import { groupsOf } from '../util/accounts.ts';
import { logOptions } from './log.ts';

/** What master tells a worker, in POSTERN_SERVICE. */
export type ServiceInfo = {
  /** master.cf service name: `submission`, `127.0.0.1:2525`, `relay`. */
  readonly name: string;
  readonly type: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly overrides: readonly (readonly [string, string])[];
  readonly maxproc: number;
  readonly configDirectory: string;
  /** Addresses to listen on, for inet rows. */
  readonly listen?: readonly { readonly host: string; readonly port: number }[];
  /** Account to become after `prepare`; absent: stay as started. */
  readonly account?: { readonly name: string; readonly uid: number; readonly gid: number };
};

export type ServiceContext = {
  readonly config: Config;
  readonly service: ServiceInfo;
  readonly logger: Logger;
  /** A log for another program name, such as `smtp` for lines that qmgr writes on its behalf. */
  readonly loggerFor: (program: string) => Logger;
  readonly sendMaster: (message: ToMaster) => void;
  /** Called for each message of master, `keys` included. */
  readonly onMaster: (listener: (message: FromMaster) => void) => void;
  /** Stop taking work, finish what is under way; the process exits when it resolves. */
  readonly onDrain: (drain: () => Promise<void>) => void;
  /** Flush the log and exit 0. */
  readonly exit: (code?: number) => never;
};

export type Service<Prepared> = {
  /** With master's rights: open tables and keys, import every module that may be needed. */
  readonly prepare: (context: ServiceContext) => Promise<Prepared>;
  /** With the owner's rights. Resolves when the process accepts work. */
  readonly serve: (context: ServiceContext, prepared: Prepared) => Promise<void>;
};

/** How long a stopping worker may take to finish before it exits regardless. */
const STOP_GRACE_MS = 1_200;

/** Run a service in this process. `program` is its name in the log. */
export async function startService<Prepared>(
  program: string,
  service: Service<Prepared>,
): Promise<void> {
  process.title = `postern ${program}`;
  const info = serviceInfo();
  const overrides = new Map(info.overrides);
  const loaded = loadConfig(info.configDirectory, overrides);
  if (!loaded.ok) {
    for (const fault of loaded.error) process.stderr.write(`fatal: ${fault.text}\n`);
    process.exit(78);
  }
  const config = loaded.value;
  // The log of this row alone would not be master's.
  const forward = overrides.has('maillog_file')
    ? {}
    : { forward: (text: string): void => void process.send?.({ kind: 'log', text }) };
  const loggers = new Map<string, Logger>();
  const loggerFor = (name: string): Logger => {
    const known = loggers.get(name);
    if (known) return known;
    const made = openLog({ ...logOptions(config, name), ...forward });
    loggers.set(name, made);
    return made;
  };
  const logger = loggerFor(program);
  const flush = (): void => {
    for (const each of loggers.values()) each.flush();
  };
  const exit = (code = 0): never => {
    flush();
    process.exit(code);
  };
  const panic = (error: unknown): void => {
    // master was killed: the channel to it breaks before `disconnect` is heard.
    if (isBrokenChannel(error)) exit(0);
    logger.panic(error instanceof Error ? (error.stack ?? error.message) : String(error));
    exit(70);
  };
  process.on('uncaughtException', panic);
  process.on('unhandledRejection', panic);
  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);

  let drain = async (): Promise<void> => undefined;
  const finish = (graceMs: number): void => {
    if (graceMs > 0) setTimeout(() => exit(0), graceMs).unref();
    drain().then(() => exit(0), panic);
  };
  process.on('SIGTERM', () => finish(STOP_GRACE_MS));

  const listeners: ((message: FromMaster) => void)[] = [];
  const early: FromMaster[] = [];
  process.on('message', (message: FromMaster) => {
    if (message.kind === 'drain') finish(0);
    else if (message.kind === 'stop') finish(STOP_GRACE_MS);
    else if (listeners.length === 0) early.push(message);
    for (const listener of listeners) listener(message);
  });
  process.on('disconnect', () => exit(0));

  const context: ServiceContext = {
    config,
    service: info,
    logger,
    loggerFor,
    sendMaster: (message) => void process.send?.(message),
    onMaster: (listener) => {
      listeners.push(listener);
      for (const message of early.splice(0)) listener(message);
    },
    onDrain: (callback) => {
      drain = callback;
    },
    exit,
  };
  const prepared = await service.prepare(context);
  // While it can still be written: the next process of this kind starts in half the time.
  flushCompileCache();
  if (info.account) becomeAccount(info.account);
  await service.serve(context, prepared);
  context.sendMaster({ kind: 'ready' });
}

const isBrokenChannel = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'ERR_IPC_CHANNEL_CLOSED' ||
    (error.code === 'EPIPE' && (error.stack ?? '').includes('child_process')));

/** Give up root for good: groups, group, user, in that order (setuid(2) last). */
function becomeAccount(account: NonNullable<ServiceInfo['account']>): void {
  if (process.getuid?.() !== 0) return;
  process.setgroups?.(groupsOf(account));
  process.setgid?.(account.gid);
  process.setuid?.(account.uid);
}

function serviceInfo(): ServiceInfo {
  const text = process.env['POSTERN_SERVICE'];
  if (text === undefined) {
    process.stderr.write('fatal: this program is started by the master process\n');
    process.exit(64);
  }
  const info: ServiceInfo = JSON.parse(text);
  return info;
}

/** The service cannot run as configured: say so to the log and to master, and end. */
export function failService(context: ServiceContext, text: string): never {
  context.logger.fatal(text);
  context.sendMaster({ kind: 'failed', text });
  return context.exit(78);
}
