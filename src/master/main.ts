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
import { resolve } from 'node:path';
import { loadConfig } from '../conf/config.ts';
import { loadMasterCf } from '../conf/master-cf.ts';
import type { Config } from '../conf/params.ts';
import { makeDirectories, queueRoot } from '../daemon/directories.ts';
import { claimQueue } from '../daemon/pid-file.ts';
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
  const rows = loadMasterCf(directory);
  if (!rows.ok) return fail(rows.error.map(({ text }) => text));
  return { config: config.value, rows: rows.value };
}

function main(): void {
  const configDirectory = resolve(process.argv[2] ?? '/etc/postern');
  const { config, rows } = readConfiguration(configDirectory);
  const owner = makeDirectories(config);
  if (!owner.ok) fail([owner.error]);
  const pidFile = claimQueue(config.queue_directory);
  if (!pidFile.ok) fail([pidFile.error]);
  process.chdir(queueRoot(config));
  process.title = 'postern master';
  const logger = openLog({
    file: config.maillog_file,
    syslogName: config.syslog_name,
    program: 'master',
    host: config.myhostname,
  });
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  own(owner.value);

  const services = openServices({
    configDirectory,
    logger,
    onStarted: () => {
      logger.info(
        `daemon started -- version ${config.mail_version}, configuration ${configDirectory}`,
      );
      process.send?.({ kind: 'ready' });
      if (process.connected) process.disconnect();
    },
    onFatal: (text) => {
      logger.fatal(text);
      process.stderr.write(`postern: fatal: ${text}\n`);
      process.send?.({ kind: 'failed', text });
      stop(services, config, logger, pidFile.value, 1);
    },
  });
  services.start(rows);
  handleSignals(services, config, logger, configDirectory, pidFile.value);
}

function handleSignals(
  services: Services,
  config: Config,
  logger: Logger,
  configDirectory: string,
  pidFile: string,
): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      logger.info(`terminating on signal ${signal === 'SIGTERM' ? 15 : 2}`);
      stop(services, config, logger, pidFile, 0);
    });
  }
  process.on('SIGHUP', () => {
    const next = loadConfig(configDirectory);
    const rows = loadMasterCf(configDirectory);
    if (!next.ok || !rows.ok) {
      const faults = [...(next.ok ? [] : next.error), ...(rows.ok ? [] : rows.error)];
      for (const { text } of faults) logger.error(`reload refused: ${text}`);
      return;
    }
    logger.info(`reload -- version ${next.value.mail_version}, configuration ${configDirectory}`);
    services.reload(rows.value);
  });
}

let isStopping = false;
function stop(
  services: Services,
  config: Config,
  logger: Logger,
  pidFile: string,
  code: number,
): void {
  if (isStopping) return;
  isStopping = true;
  services.stop(config.stop_time_limit * 1000, () => {
    if (readFileSync(pidFile, 'utf8').trim() === String(process.pid)) unlinkSync(pidFile);
    logger.flush();
    process.exit(code);
  });
}

/**
 * Sockets that a worker listens on are made by this process: give them to mail_owner. Node does not
 * say which one was made, so all are looked at.
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
