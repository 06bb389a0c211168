/**
 * master: binds the sockets, starts the other processes, keeps them running, ends them.
 *
 *   SIGHUP reload   SIGTERM, SIGINT stop
 *
 * It runs as root where it was started so, reads configuration and key files, and never a byte
 * from the network. Started by `postern start` it reports over IPC: ready, or why not.
 */
import cluster from 'node:cluster';
import { chmodSync, chownSync, lstatSync, readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { resolve } from 'node:path';
import { loadConfig } from '../conf/config.ts';
import { loadMasterCf } from '../conf/master-cf.ts';
import type { Config } from '../conf/params.ts';
import { makeDirectories, queueRoot } from '../daemon/directories.ts';
import { logOptions } from '../daemon/log.ts';
import { claimQueue } from '../daemon/pid-file.ts';
import { fileSink } from '../log/log-file.ts';
import { type Logger, openLog } from '../log/maillog.ts';
import type { Account } from '../util/accounts.ts';
import { openServices, type Services } from './supervisor.ts';

function fail(lines: readonly string[]): never {
  for (const line of lines) {
    process.stderr.write(`postern: fatal: ${line}\n`);
    process.send?.({ kind: 'failed', text: line });
  }
  process.exit(1);
}

function readConfiguration(directory: string) {
  const config = loadConfig(directory);
  if (!config.ok) return fail(config.error.map(({ text }) => text));
  const rows = loadMasterCf(directory, config.value.default_process_limit);
  if (!rows.ok) return fail(rows.error.map(({ text }) => text));
  return { config: config.value, rows: rows.value };
}

type Master = {
  readonly configDirectory: string;
  readonly pidFile: string;
  readonly logger: Logger;
  readonly services: Services;
  /** As of the last reload. */
  config: Config;
  isStopping: boolean;
};

function main(): void {
  const configDirectory = resolve(process.argv[2] ?? '/etc/postern');
  const { config, rows } = readConfiguration(configDirectory);
  const owner = makeDirectories(config);
  if (!owner.ok) fail([owner.error]);
  const pidFile = claimQueue(config.queue_directory);
  if (!pidFile.ok) fail([pidFile.error]);
  process.chdir(queueRoot(config));
  process.title = 'postern master';
  const logger = openLog(logOptions(config, 'master'));
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  own(owner.value);

  const services = openServices({
    configDirectory,
    logger,
    appendToLog: (lines) => {
      if (config.maillog_file !== '') fileSink(config.maillog_file).add(lines);
    },
    onStarted: () => {
      logger.info(
        `daemon started -- version ${config.mail_version}, configuration ${configDirectory}`,
      );
      flushCompileCache();
      process.send?.({ kind: 'ready' });
      if (process.connected) process.disconnect();
    },
    onFatal: (text) => {
      logger.fatal(text);
      process.stderr.write(`postern: fatal: ${text}\n`);
      process.send?.({ kind: 'failed', text });
      stop(master, 1);
    },
  });
  const master: Master = {
    ...{ configDirectory, pidFile: pidFile.value, logger, services, config },
    isStopping: false,
  };
  services.start(rows);
  handleSignals(master);
}

function handleSignals(master: Master): void {
  const { logger } = master;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      logger.info(`terminating on signal ${signal === 'SIGTERM' ? 15 : 2}`);
      stop(master, 0);
    });
  }
  process.on('SIGHUP', () => reload(master));
}

function reload(master: Master): void {
  const { configDirectory, logger } = master;
  const next = loadConfig(configDirectory);
  const limit = next.ok ? next.value.default_process_limit : undefined;
  const rows = loadMasterCf(configDirectory, limit);
  if (!next.ok || !rows.ok) {
    const faults = [...(next.ok ? [] : next.error), ...(rows.ok ? [] : rows.error)];
    for (const { text } of faults) logger.error(`reload refused: ${text}`);
    return;
  }
  master.config = next.value;
  logger.info(`reload -- version ${next.value.mail_version}, configuration ${configDirectory}`);
  master.services.reload(rows.value);
}

function stop(master: Master, code: number): void {
  if (master.isStopping) return;
  master.isStopping = true;
  const { pidFile } = master;
  master.services.stop(master.config.stop_time_limit * 1000, () => {
    if (readFileSync(pidFile, 'utf8').trim() === String(process.pid)) unlinkSync(pidFile);
    master.logger.flush();
    process.exit(code);
  });
}

/**
 * Sockets that a worker listens on are made by this process: give them to mail_owner. Node does not
 * say which one was made, so all are looked at. The directories are root's, so that nobody can put a
 * link there meanwhile.
 */
function own(owner: Account | undefined): void {
  cluster.on('listening', (_worker, address) => {
    if (address.addressType !== -1) return;
    for (const directory of ['private', 'public']) {
      for (const name of readdirSync(directory)) {
        const path = `${directory}/${name}`;
        if (!lstatSync(path).isSocket()) continue;
        chmodSync(path, directory === 'public' ? 0o666 : 0o600);
        if (owner) chownSync(path, owner.uid, owner.gid);
      }
    }
  });
}

main();
