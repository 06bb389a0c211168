/**
 * The ledger experiment: everything that was accepted is delivered, bounced or queued, whatever is
 * killed meanwhile. Used by tests with small numbers and by `bench/ledger.ts` with large ones.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, type Load, type Tally } from '../../bench/load/generator.ts';
import { openSink, type Sink } from '../../bench/load/sink.ts';
import { treeOf } from '../../bench/processes.ts';
import {
  freePort,
  isListening,
  makeDirectory,
  type PosternInstance,
  removeDirectory,
  startPostern,
  until,
} from './instance.ts';

export type Experiment = {
  readonly messages: number;
  readonly connections: number;
  readonly perConnection: number;
  readonly sizeOf: (n: number) => number;
  /** Roles to kill with -9 at random; empty: none. */
  readonly kill: readonly string[];
  readonly main?: Readonly<Record<string, string>>;
  /** Run `postern start` under this, such as `prlimit --nofile=64:64`. */
  readonly wrap?: readonly string[];
  /** Directory to live in (a small tmpfs); default: a temporary one. */
  readonly directory?: string;
  /** Something to do while mail flows; ends when `isOver()`. */
  readonly meanwhile?: (world: World) => Promise<void>;
  readonly seed: number;
};

export type World = {
  readonly instance: () => PosternInstance;
  readonly sink: Sink;
  readonly isOver: () => boolean;
};

export type Outcome = {
  readonly tally: Tally;
  readonly kills: Readonly<Record<string, number>>;
  readonly lost: readonly string[];
  readonly corrupt: readonly string[];
  /** Arrived though refused with 4xx or 5xx. */
  readonly ghosts: readonly string[];
  readonly duplicates: number;
  readonly storeBytes: number;
  readonly log: string;
};

const MASTER_CF = (port: number): string => `127.0.0.1:${port} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
`;

export async function runLedger(experiment: Experiment): Promise<Outcome> {
  const directory = experiment.directory ?? makeDirectory('postern-ledger-');
  const ledgerDirectory = makeDirectory('postern-ledger-');
  const port = await freePort();
  const sink = await openSink();
  const start = (): Promise<PosternInstance> =>
    startPostern({
      directory,
      ...(experiment.wrap ? { wrap: experiment.wrap } : {}),
      main: {
        mynetworks: '127.0.0.0/8',
        mydestination: '',
        relayhost: `[127.0.0.1]:${sink.port}`,
        smtp_tls_security_level: '',
        minimal_backoff_time: '1s',
        maximal_backoff_time: '2s',
        queue_run_delay: '1s',
        smtpd_client_connection_count_limit: '0',
        ...experiment.main,
      },
      master: MASTER_CF(port),
    });
  let instance = await start();
  let isOver = false;
  const kills: Record<string, number> = {};
  const random = lcg(experiment.seed);

  const killer = async (): Promise<void> => {
    while (!isOver && experiment.kill.length > 0) {
      await sleep(200 + (random() % 600));
      if (isOver) return;
      const role = experiment.kill[random() % experiment.kill.length] ?? 'master';
      const pid = findRole(instance, role);
      if (pid === undefined) continue;
      process.kill(pid, 'SIGKILL');
      kills[role] = (kills[role] ?? 0) + 1;
      if (role === 'master') instance = await startAgain(start, port);
    }
  };
  const world: World = { instance: () => instance, sink, isOver: () => isOver };
  const load: Load = {
    port,
    messages: experiment.messages,
    connections: experiment.connections,
    perConnection: experiment.perConnection,
    sizeOf: experiment.sizeOf,
    recipient: (n) => `r${n}@dest.example`,
    ledgerFile: join(ledgerDirectory, 'accepted'),
  };
  const side = Promise.all([killer(), experiment.meanwhile?.(world)]);
  const tally = await generate(load);
  isOver = true;
  await side;

  const missing = (): string[] => tally.accepted.filter((id) => !sink.arrived.has(id));
  const settle = until('all accepted mail arrived', () => missing().length === 0, 60_000);
  await settle.catch(() => undefined);
  const outcome: Outcome = {
    tally,
    kills,
    lost: missing(),
    corrupt: sink.corrupt,
    ghosts: tally.refused.filter((id) => sink.arrived.has(id)),
    duplicates: [...sink.arrived.values()].reduce((sum, times) => sum + times - 1, 0),
    storeBytes:
      statSync(join(directory, 'spool/postern/queue/data.mdb'), { throwIfNoEntry: false })?.size ??
      0,
    log: instance.log(),
  };
  await instance.stop();
  await sink.close();
  removeDirectory(ledgerDirectory);
  if (!experiment.directory) removeDirectory(directory);
  return outcome;
}

/** The processes of a killed master end by themselves; until then its ports are taken. */
async function startAgain(
  start: () => Promise<PosternInstance>,
  port: number,
): Promise<PosternInstance> {
  await until('the old processes are gone', async () => !(await isListening(port)));
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await start();
    } catch (error) {
      if (attempt >= 10) throw error;
      await sleep(200);
    }
  }
}

/** The pid of a process of the instance, by its role. */
function findRole(instance: PosternInstance, role: string): number | undefined {
  const master = instance.masterPid();
  if (role === 'master') return master;
  return treeOf(master).find((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(`postern ${role}`);
    } catch {
      return false;
    }
  });
}

function lcg(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}
