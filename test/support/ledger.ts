/**
 * The ledger experiment: everything that was accepted is delivered, bounced or queued, whatever is
 * killed, full or cut off meanwhile; and what the disk held at any moment is enough to say so.
 */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, type Load, type Tally } from '../../bench/load/generator.ts';
import { openSink, type Sink } from '../../bench/load/sink.ts';
import { treeOf } from '../../bench/processes.ts';
import { type Disk, mountCopy } from './disk.ts';
import {
  freePort,
  isListening,
  makeDirectory,
  type PosternInstance,
  ROOT,
  removeDirectory,
  runProgram,
  startPostern,
  until,
} from './instance.ts';

export type Experiment = {
  readonly messages: number;
  readonly connections: number;
  readonly perConnection: number;
  readonly sizeOf: (n: number) => number;
  /** Every so many messages has a recipient that the sink refuses. */
  readonly refuseEvery: number;
  /** Roles to kill with -9 at random; empty: none. */
  readonly kill: readonly string[];
  readonly main?: Readonly<Record<string, string>>;
  /** Run `postern start` under this, such as `prlimit --nofile=64:64`. */
  readonly wrap?: readonly string[];
  /** The disk to live on; needed for what follows. Default: a temporary directory. */
  readonly disk?: Disk;
  /** Copies of the disk, made at moments when all processes are stopped. */
  readonly powerCuts?: number;
  /** Fill the disk, and free it again, all the time. */
  readonly fillDisk?: boolean;
  readonly seed: number;
};

export type Outcome = {
  readonly tally: Tally;
  readonly kills: Readonly<Record<string, number>>;
  readonly fills: number;
  /** Accepted, but neither delivered nor bounced nor in the queue. */
  readonly lost: readonly string[];
  /** Accepted and still in the queue at the end. */
  readonly queued: readonly string[];
  readonly bounced: readonly string[];
  readonly corrupt: readonly string[];
  /** Arrived though refused with 4xx or 5xx. */
  readonly ghosts: readonly string[];
  readonly duplicates: number;
  /** For each copy of the disk: what was acknowledged by then, and what of it is nowhere. */
  readonly cuts: readonly { readonly acknowledged: number; readonly lost: readonly string[] }[];
  readonly storeBytes: number;
  readonly log: string;
};

const MASTER_CF = (port: number): string => `127.0.0.1:${port} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
`;
const SETTLE_MS = 120_000;
/** Where on its disk the server lives. */
const PLACE = 'postern';

/** What the parts of one experiment share. */
type World = {
  readonly experiment: Experiment;
  readonly directory: string;
  readonly ledgerFile: string;
  readonly port: number;
  readonly sink: Sink;
  readonly start: () => Promise<PosternInstance>;
  readonly random: () => number;
  readonly kills: Record<string, number>;
  readonly snapshots: Snapshot[];
  fills: number;
  isOver: boolean;
  instance: PosternInstance;
};

export async function runLedger(experiment: Experiment): Promise<Outcome> {
  const ledgerDirectory = makeDirectory('postern-ledger-');
  const directory = experiment.disk
    ? makeIn(experiment.disk.mounted)
    : makeDirectory('postern-ledger-');
  const port = await freePort();
  const sink = await openSink({ refuses: (recipient) => recipient.startsWith('refused') });
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
        // Not on the disk that is filled.
        maillog_file: join(ledgerDirectory, 'maillog'),
        ...experiment.main,
      },
      master: MASTER_CF(port),
    });
  const world: World = {
    experiment,
    directory,
    ledgerFile: join(ledgerDirectory, 'accepted'),
    port,
    sink,
    start,
    random: lcg(experiment.seed),
    kills: {},
    snapshots: [],
    fills: 0,
    isOver: false,
    instance: await start(),
  };
  try {
    const tally = await sendAll(world);
    return await balance(world, tally);
  } finally {
    world.isOver = true;
    await world.instance.stop();
    await sink.close();
    removeDirectory(ledgerDirectory);
    if (!experiment.disk) removeDirectory(directory);
  }
}

async function sendAll(world: World): Promise<Tally> {
  const { experiment, ledgerFile, port } = world;
  const load: Load = {
    port,
    messages: experiment.messages,
    connections: experiment.connections,
    perConnection: experiment.perConnection,
    sizeOf: experiment.sizeOf,
    recipient: (n) => `${n % experiment.refuseEvery === 0 ? 'refused' : 'r'}${n}@dest.example`,
    ledgerFile,
  };
  const trouble = Promise.all([killer(world), filler(world), cutter(world)]);
  // A failure of one must end the other.
  const tally = await Promise.race([
    generate(load),
    trouble.then(() => new Promise<never>(() => undefined)),
  ]).finally(() => {
    world.isOver = true;
  });
  await trouble;
  return tally;
}

async function killer(world: World): Promise<void> {
  const { experiment, random, kills } = world;
  while (!world.isOver && experiment.kill.length > 0) {
    await sleep(200 + (random() % 600));
    if (world.isOver) return;
    const role = experiment.kill[random() % experiment.kill.length] ?? 'master';
    const pid = findRole(world.instance, role);
    if (pid === undefined) continue;
    process.kill(pid, 'SIGKILL');
    kills[role] = (kills[role] ?? 0) + 1;
    if (role === 'master') world.instance = await startAgain(world.start, world.port);
    if (random() % 3 === 0) cutPower(world);
  }
}

async function filler(world: World): Promise<void> {
  const { disk, fillDisk } = world.experiment;
  while (!world.isOver && fillDisk && disk) {
    await sleep(500 + (world.random() % 1_000));
    // In turn while mail flows and while the disk is full.
    if (world.snapshots.length % 2 === 0) cutPower(world);
    const free = disk.fill();
    world.fills += 1;
    await sleep(1_000 + (world.random() % 1_000));
    cutPower(world);
    free();
  }
}

async function cutter(world: World): Promise<void> {
  const { disk, kill, fillDisk, powerCuts = 0 } = world.experiment;
  while (!world.isOver && disk && kill.length === 0 && !fillDisk) {
    await sleep(500 + (world.random() % 500));
    cutPower(world);
    if (world.snapshots.length >= powerCuts) return;
  }
}

async function balance(world: World, tally: Tally): Promise<Outcome> {
  const { directory, sink, snapshots } = world;
  const isDone = (id: string): boolean => sink.arrived.has(id) || sink.bounced.has(id);
  const missing = (): string[] => tally.accepted.filter((id) => !isDone(id));
  await until('all accepted mail left', () => missing().length === 0, SETTLE_MS).catch(
    () => undefined,
  );
  const inQueue = await idsInQueue(world.instance.configDirectory);
  const cuts = [];
  for (const { copy, acknowledged, done } of snapshots) {
    const kept = await mountCopy(copy, idsOnCopy);
    const lost = acknowledged.filter((id) => !done.has(id) && !kept.has(id));
    cuts.push({ acknowledged: acknowledged.length, lost });
  }
  const store = join(directory, 'spool/postern/queue/data.mdb');
  return {
    tally,
    kills: world.kills,
    fills: world.fills,
    lost: missing().filter((id) => !inQueue.has(id)),
    queued: missing().filter((id) => inQueue.has(id)),
    bounced: [...sink.bounced.keys()],
    corrupt: sink.corrupt,
    ghosts: tally.refused.filter(isDone),
    duplicates: repeats(sink.arrived) + repeats(sink.bounced),
    cuts,
    storeBytes: statSync(store, { throwIfNoEntry: false })?.size ?? 0,
    log: world.instance.log(),
  };
}

const repeats = (seen: ReadonlyMap<string, number>): number =>
  [...seen.values()].reduce((sum, count) => sum + count - 1, 0);

function makeIn(mounted: string): string {
  const directory = join(mounted, PLACE);
  mkdirSync(directory, { mode: 0o755 });
  return directory;
}

type Snapshot = {
  readonly copy: string;
  readonly acknowledged: readonly string[];
  /** What had left by then. */
  readonly done: ReadonlySet<string>;
};

/** Stop everything, note what was promised, and copy what the disk holds. */
function cutPower(world: World): void {
  const { experiment, instance, ledgerFile, sink, snapshots } = world;
  const { disk, powerCuts = 0, messages } = experiment;
  if (!disk || snapshots.length >= powerCuts) return;
  const acknowledged = (): string[] => readFileSync(ledgerFile, 'utf8').split('\n').slice(0, -1);
  // Spread over the whole run.
  if (acknowledged().length < (messages * (snapshots.length + 0.1)) / powerCuts) return;
  const tree = treeOf(instance.masterPid());
  const signal = (name: 'SIGSTOP' | 'SIGCONT'): void => {
    for (const pid of tree) {
      try {
        process.kill(pid, name);
      } catch {
        // It has just been killed.
      }
    }
  };
  signal('SIGSTOP');
  const promised = acknowledged();
  const done = new Set([...sink.arrived.keys(), ...sink.bounced.keys()]);
  const copy = disk.copy();
  signal('SIGCONT');
  snapshots.push({ copy, acknowledged: promised, done });
}

/** The ledger ids of what lies in a queue, bounces counted for what they return. */
async function idsInQueue(configDirectory: string): Promise<ReadonlySet<string>> {
  const argv = ['-c', configDirectory, 'queue', 'dump', '-'];
  const dump = await runProgram(join(ROOT, 'bin/postern'), argv);
  if (dump.code !== 0) throw new Error(`queue dump: ${dump.stderr}`);
  return new Set([...dump.stdout.matchAll(/^X-Ledger: (\S+)/gm)].map((match) => match[1] ?? ''));
}

/** The same for a copy of the disk. A queue that cannot be opened holds nothing. */
async function idsOnCopy(mounted: string): Promise<ReadonlySet<string>> {
  const config = makeDirectory('postern-ledger-');
  try {
    const settings = [
      'compatibility_level = 3.11',
      `queue_directory = ${join(mounted, PLACE, 'spool')}`,
      'mail_owner = nobody',
    ];
    writeFileSync(join(config, 'main.cf'), `${settings.join('\n')}\n`);
    writeFileSync(join(config, 'master.cf'), '');
    return await idsInQueue(config).catch(() => new Set<string>());
  } finally {
    removeDirectory(config);
  }
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
