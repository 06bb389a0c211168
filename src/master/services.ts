/**
 * From master.cf rows to what master must run: which processes, how many, where they listen.
 *
 * Rows of `inner` commands need no process. Two services are started though no row names them,
 * because Postfix's master.cf has no such row: qmgr where it is missing, and `auth` as soon as an
 * smtpd row offers AUTH with our own back ends.
 */
import { availableParallelism } from 'node:os';
import { loadConfig } from '../conf/config.ts';
import type { MasterRow } from '../conf/master-cf.ts';
import { inetAddresses } from '../conf/master-words.ts';
import type { Config } from '../conf/params.ts';
import { type Role, roleOf } from '../daemon/roles.ts';
import type { ServiceInfo } from '../daemon/start.ts';
import { findAccount } from '../util/accounts.ts';

export type Process = Exclude<Role, { kind: 'inner' }>;

export type PlannedService = {
  /** `smtpd 127.0.0.1:2525`: stays the same over reloads. */
  readonly key: string;
  readonly role: Process;
  readonly info: ServiceInfo;
  /** main.cf with this row's -o settings. */
  readonly config: Config;
  /** How many processes at most (agents), or exactly (others). */
  readonly workers: number;
};

export type Plan = {
  readonly services: readonly PlannedService[];
  readonly faults: readonly string[];
};

/** What to run for these rows. Faults name the row's line; their rows are left out. */
export function planServices(configDirectory: string, rows: readonly MasterRow[]): Plan {
  const services: PlannedService[] = [];
  const faults: string[] = [];
  const add = (row: Omit<MasterRow, 'line'>, role: Process, where: string): void => {
    const loaded = loadConfig(configDirectory, row.overrides);
    if (!loaded.ok) {
      for (const fault of loaded.error) faults.push(`${where}: ${fault.text}`);
      return;
    }
    const own = loaded.value;
    const listen = role.kind === 'listener' ? inetAddresses(row.service, own) : undefined;
    if (listen && !listen.ok) {
      faults.push(`${where}: ${listen.error}`);
      return;
    }
    const account = accountOf(role, own);
    services.push({
      key: `${row.command} ${row.service}`,
      role,
      config: own,
      workers: role.kind === 'single' ? 1 : workerCount(row, own),
      info: {
        name: row.service,
        type: row.type,
        command: row.command,
        args: row.args,
        overrides: [...row.overrides],
        maxproc: row.maxproc,
        configDirectory,
        ...(listen ? { listen: listen.value } : {}),
        ...(account ? { account } : {}),
      },
    });
  };

  for (const row of rows) {
    const role = roleOf(row.command);
    const where = `${configDirectory}/master.cf line ${row.line}`;
    if (!role) faults.push(`${where}: command ${row.command} is not implemented; row not started`);
    else if (role.kind === 'listener' && row.type !== 'inet') {
      faults.push(
        `${where}: ${row.command} on a ${row.type} socket is not implemented; use type inet`,
      );
    } else if (role.kind !== 'inner') add(row, role, where);
  }
  for (const command of ['qmgr', 'auth']) {
    const role = roleOf(command);
    const isThere = services.some(
      (service) => service.role.entry === (role?.kind === 'single' ? role.entry : ''),
    );
    const isWanted = command === 'qmgr' || services.some(offersAuth);
    if (role?.kind === 'single' && isWanted && !isThere) add(implicitRow(command), role, command);
  }
  const auth = services.find(({ role }) => role.owner === 'auth_owner');
  if (auth && process.getuid?.() === 0 && !findAccount(auth.config.auth_owner)) {
    const { auth_owner, mail_owner } = auth.config;
    faults.push(
      `auth_owner = ${auth_owner}: no such account; passwords are checked with the rights of mail_owner = ${mail_owner}`,
    );
  }
  return { services, faults };
}

const offersAuth = ({ role, config }: PlannedService): boolean =>
  role.kind === 'listener' && config.smtpd_sasl_auth_enable && config.smtpd_sasl_type === 'postern';

const implicitRow = (command: string): Omit<MasterRow, 'line'> => ({
  service: command,
  type: 'unix',
  private: true,
  unprivileged: true,
  chroot: false,
  wakeup: 0,
  maxproc: 1,
  command,
  args: [],
  overrides: new Map(),
});

function workerCount(row: Omit<MasterRow, 'line'>, config: Config): number {
  const own = Number(config.lookup(`${row.service}_worker_limit`) ?? 0);
  const wanted = own > 0 ? own : config.default_worker_limit;
  const count = wanted > 0 ? wanted : Math.max(1, Math.floor(availableParallelism() / 2));
  return row.maxproc > 0 ? Math.min(count, row.maxproc) : count;
}

/** Whose rights the process takes: only where master is root. */
function accountOf(role: Process, config: Config): ServiceInfo['account'] {
  if (process.getuid?.() !== 0 || role.owner === 'root') return undefined;
  const account =
    (role.owner === 'auth_owner' ? findAccount(config.auth_owner) : undefined) ??
    findAccount(config.mail_owner);
  return account && { name: account.name, uid: account.uid, gid: account.gid };
}
