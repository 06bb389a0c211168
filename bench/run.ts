/**
 * `npm run bench`: Postern beside Debian's Postfix on this machine, in the same run.
 *
 *   node bench/run.ts [--rounds N] [--scenario NAME ...] [--messages N]
 *
 * Each scenario starts the two in turn, several rounds, and prints medians and ratios. CPU is that
 * of all server processes, per message; generator and sink share the cores with the server.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort, isListening, until } from '../test/support/instance.ts';
import { findProgram } from '../test/support/programs.ts';
import { measureIdle } from './idle.ts';
import { cpuSeconds } from './processes.ts';
import {
  PASSWORD,
  type Server,
  type Setup,
  startPosternServer,
  startPostfixServer,
  USER,
} from './servers.ts';

type Scenario = {
  readonly name: string;
  readonly what: string;
  readonly load: readonly string[];
  readonly messages: number;
  readonly port: 'relay' | 'submission';
  readonly setup: Omit<Setup, 'sinkPort'>;
  readonly target: string;
};

const PLAIN = { auth: 'cheap', dovecotCache: false, certificate: 'rsa' } as const;
const ARGON2 = { ...PLAIN, auth: 'argon2id' } as const;
/** Messages before the clock starts: a server runs for weeks, so it is not measured cold. */
const WARM_UP = { Postfix: 200, Postern: 1000 } as const;
const LOGIN = ['-t', 'starttls', '-u', USER, '-p', PASSWORD];

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'each',
    what: 'relay 4 KiB, a connection per message',
    load: ['-c', '20', '-k', '1', '-l', '4096'],
    messages: 4000,
    port: 'relay',
    setup: PLAIN,
    target: '2x rate, 0.5x CPU',
  },
  {
    name: 'kept',
    what: 'relay 4 KiB, kept connections',
    load: ['-c', '20', '-k', '100', '-l', '4096'],
    messages: 8000,
    port: 'relay',
    setup: PLAIN,
    target: '3.5x rate, 0.33x CPU',
  },
  {
    name: 'large',
    what: 'relay 100 KiB, a connection per message',
    load: ['-c', '20', '-k', '1', '-l', '102400'],
    messages: 1500,
    port: 'relay',
    setup: PLAIN,
    target: '',
  },
  {
    name: 'auth',
    what: 'STARTTLS + AUTH, cheap hash',
    load: ['-c', '20', '-k', '1', '-l', '4096', ...LOGIN],
    messages: 2000,
    port: 'submission',
    setup: PLAIN,
    target: '1.5x rate',
  },
  {
    name: 'auth-ecdsa',
    what: 'the same, ECDSA certificate',
    load: ['-c', '20', '-k', '1', '-l', '4096', ...LOGIN],
    messages: 2000,
    port: 'submission',
    setup: { ...PLAIN, certificate: 'ecdsa' },
    target: '1.5x rate',
  },
  {
    name: 'auth-resumed',
    what: 'the same, TLS sessions resumed',
    load: ['-c', '20', '-k', '1', '-l', '4096', '-r', ...LOGIN],
    messages: 2000,
    port: 'submission',
    setup: PLAIN,
    target: '',
  },
  {
    name: 'argon2',
    what: 'STARTTLS + AUTH, argon2id',
    load: ['-c', '20', '-k', '1', '-l', '4096', ...LOGIN],
    messages: 1000,
    port: 'submission',
    setup: ARGON2,
    target: '5x rate',
  },
  {
    name: 'argon2-cache',
    what: 'STARTTLS + AUTH, argon2id, Dovecot with its cache',
    load: ['-c', '20', '-k', '1', '-l', '4096', ...LOGIN],
    messages: 1000,
    port: 'submission',
    setup: { ...ARGON2, dovecotCache: true },
    target: '',
  },
];

type Figure = { readonly rate: number; readonly cpuMs: number };

async function measure(
  start: (setup: Setup) => Promise<Server>,
  scenario: Scenario,
  loader: string,
  messages: number,
): Promise<Figure> {
  const sinkPort = await freePort();
  const server = await start({ ...scenario.setup, sinkPort });
  const warmUp = WARM_UP[server.name];
  const sink = spawn(
    findProgram('smtp-sink') ?? 'smtp-sink',
    ['-u', 'nobody', '-M', String(messages + warmUp), '-m', '500', `127.0.0.1:${sinkPort}`, '500'],
    { stdio: 'ignore' },
  );
  try {
    await until('the sink listens', () => isListening(sinkPort));
    const port = scenario.port === 'relay' ? server.relayPort : server.submissionPort;
    const run = (count: number): Promise<number> =>
      new Promise((resolve) => {
        const child = spawn(
          loader,
          [
            ...scenario.load,
            '-f',
            USER,
            '-m',
            String(count),
            '-R',
            'b%d@dest.example',
            '127.0.0.1',
            String(port),
          ],
          { stdio: ['ignore', 'ignore', 'inherit'] },
        );
        child.once('close', (code) => resolve(code ?? 1));
      });
    if ((await run(warmUp)) !== 0) throw new Error(`${server.name} refused the warm-up`);
    const ended = new Promise((resolve) => sink.once('close', resolve));
    const cpuBefore = cpuSeconds(server.roots);
    const startMs = performance.now();
    if ((await run(messages)) !== 0) throw new Error(`${server.name} refused messages`);
    const limit = new Promise((_resolve, reject) =>
      setTimeout(() => reject(new Error(`${server.name}: not all arrived`)), 120_000).unref(),
    );
    await Promise.race([ended, limit]);
    const seconds = (performance.now() - startMs) / 1000;
    return {
      rate: messages / seconds,
      cpuMs: ((cpuSeconds(server.roots) - cpuBefore) / messages) * 1000,
    };
  } finally {
    sink.kill('SIGKILL');
    await server.stop();
  }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function compare(
  scenario: Scenario,
  rounds: number,
  loader: string,
  messages: number,
): Promise<void> {
  const postfix: Figure[] = [];
  const postern: Figure[] = [];
  for (let round = 0; round < rounds; round += 1) {
    postfix.push(await measure(startPostfixServer, scenario, loader, messages));
    postern.push(await measure(startPosternServer, scenario, loader, messages));
  }
  const [fixRate, ernRate] = [postfix, postern].map((all) => median(all.map(({ rate }) => rate)));
  const [fixCpu, ernCpu] = [postfix, postern].map((all) => median(all.map(({ cpuMs }) => cpuMs)));
  const cells = [
    scenario.what,
    fixRate?.toFixed(0),
    ernRate?.toFixed(0),
    `${((ernRate ?? 0) / (fixRate ?? 1)).toFixed(2)}x`,
    fixCpu?.toFixed(2),
    ernCpu?.toFixed(2),
    `${((ernCpu ?? 0) / (fixCpu ?? 1)).toFixed(2)}x`,
    scenario.target,
  ];
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      scenario: { type: 'string', multiple: true },
      messages: { type: 'string' },
    },
  });
  const missing = ['postfix', 'smtp-sink', 'dovecot', 'cc', 'openssl'].filter(
    (name) => !findProgram(name),
  );
  if (missing.length > 0)
    throw new Error(
      `not installed: ${missing.join(' ')} (postfix dovecot-core gcc libssl-dev openssl)`,
    );
  const loader = join(mkdtempSync(join(tmpdir(), 'postern-load-')), 'smtp-load');
  execFileSync('cc', [
    '-O2',
    '-pthread',
    '-o',
    loader,
    join(import.meta.dirname, 'load/smtp-load.c'),
    '-lssl',
    '-lcrypto',
  ]);
  const chosen = SCENARIOS.filter(({ name }) => values.scenario?.includes(name) ?? true);
  process.stdout.write(
    `Both servers sync every message before 250; medians of ${values.rounds} rounds, run in turn.\n\n| scenario | Postfix msg/s | Postern msg/s | ratio | Postfix CPU ms/msg | Postern CPU ms/msg | ratio | target |\n|---|---|---|---|---|---|---|---|\n`,
  );
  for (const scenario of chosen) {
    await compare(
      scenario,
      Number(values.rounds),
      loader,
      Number(values.messages ?? scenario.messages),
    );
  }
  if (!values.scenario || values.scenario.includes('idle')) await measureIdle();
}

await main();
