/**
 * accepted = delivered + bounced + queued: while processes are killed with -9, while the disk is
 * full, with few file handles; and after a power cut at any moment of it. Each has a control: with
 * syncing off (eatmydata(1)) the same experiment must find losses.
 *
 * LEDGER_MESSAGES=20000 runs the long form, SEED=N repeats one.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { makeDisk } from '../support/disk.ts';
import { type Experiment, type Outcome, runLedger } from '../support/ledger.ts';
import { needs, needsRoot } from '../support/programs.ts';

const MESSAGES = Number(process.env['LEDGER_MESSAGES'] ?? 600);
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
/** Deliveries that one kill may interrupt: smtp_destination_concurrency_limit. */
const IN_FLIGHT = 20;
const TIMEOUT = { timeout: 120_000 + MESSAGES * 60 };
const NO_SYNC = ['eatmydata'];

const common = {
  messages: MESSAGES,
  connections: 10,
  perConnection: 20,
  sizeOf: (n: number) => (n % 50 === 0 ? 300_000 : n % 7 === 0 ? 20_000 : 2_000),
  refuseEvery: 25,
  kill: [],
  seed: SEED,
  powerCuts: 3,
} satisfies Experiment;

const killed = { ...common, kill: ['smtpd', 'qmgr', 'smtp', 'master'] };
const full = { ...common, fillDisk: true };
const fewFiles = { ...common, connections: 80, wrap: ['prlimit', '--nofile=64:64'] };

function report(t: TestContext, outcome: Outcome): void {
  const { tally, kills, fills, cuts, storeBytes } = outcome;
  const count = (name: 'lost' | 'queued' | 'bounced' | 'ghosts' | 'corrupt'): string =>
    `${name} ${outcome[name].length}`;
  t.diagnostic(
    `seed ${SEED}: accepted ${tally.accepted.length} unknown ${tally.unknown.length} ` +
      `refused ${tally.refused.length} reconnects ${tally.reconnects} kills ${JSON.stringify(kills)} ` +
      `fills ${fills} ${count('lost')} ${count('queued')} ${count('bounced')} duplicates ${outcome.duplicates} ` +
      `${count('ghosts')} ${count('corrupt')} store ${Math.round(storeBytes / 1024)} KiB, power cuts: ` +
      cuts.map(({ acknowledged, lost }) => `${lost.length} of ${acknowledged} lost`).join(', '),
  );
}

/** What holds after every experiment. */
function balances(outcome: Outcome): void {
  assert.deepEqual(outcome.lost, []);
  assert.deepEqual(outcome.corrupt, []);
  assert.deepEqual(outcome.ghosts, []);
  const { accepted, unknown } = outcome.tally;
  assert.equal(accepted.length + unknown.length, MESSAGES);
  assert.ok(accepted.length > MESSAGES / 2, 'most messages were accepted');
  assert.ok(outcome.bounced.length > MESSAGES / 50, 'refused recipients were bounced');
  assert.ok(outcome.storeBytes < 256 * 1024 * 1024, 'the store is bounded');
  const kills = Object.values(outcome.kills).reduce((sum, count) => sum + count, 0);
  assert.ok(outcome.duplicates <= kills * IN_FLIGHT, `${outcome.duplicates} duplicates`);
  for (const cut of outcome.cuts) assert.deepEqual(cut.lost, []);
}

async function onDisk(
  t: TestContext,
  megabytes: number,
  experiment: Experiment,
): Promise<Outcome | undefined> {
  const disk = makeDisk(megabytes);
  if (!disk) {
    t.skip('mounting an image is not allowed');
    return undefined;
  }
  try {
    const outcome = await runLedger({ ...experiment, disk });
    report(t, outcome);
    return outcome;
  } finally {
    disk.remove();
  }
}

test('ledger: processes are killed', TIMEOUT, async (t) => {
  const { powerCuts: _, ...withoutDisk } = killed;
  const outcome =
    process.getuid?.() === 0 ? await onDisk(t, 512, killed) : await runLedger(withoutDisk);

  if (!outcome) return;
  balances(outcome);
  const kills = Object.values(outcome.kills).reduce((sum, count) => sum + count, 0);
  assert.ok(kills > 3, 'something was killed');
});

test('ledger: the disk is full', { ...TIMEOUT, ...needsRoot() }, async (t) => {
  const outcome = await onDisk(t, 64, full);
  if (!outcome) return;
  balances(outcome);
  assert.ok(outcome.fills > 1);
  assert.ok(
    outcome.tally.refused.length + outcome.tally.unknown.length > 0,
    'the full disk was met',
  );
});

test('ledger: 64 file handles', { ...TIMEOUT, ...needsRoot(), ...needs('prlimit') }, async (t) => {
  const outcome = await onDisk(t, 512, fewFiles);
  if (!outcome) return;
  balances(outcome);
  assert.ok(outcome.tally.reconnects > 0, 'the limit was met');
});

const controls: readonly [string, number, Experiment][] = [
  ['processes are killed', 512, { ...killed, wrap: NO_SYNC }],
  ['the disk is full', 64, { ...full, wrap: NO_SYNC }],
  ['64 file handles', 512, { ...fewFiles, wrap: [...NO_SYNC, ...fewFiles.wrap] }],
];
for (const [name, megabytes, experiment] of controls) {
  const options = { timeout: 240_000, ...needsRoot(), ...needs('eatmydata') };
  test(`ledger: control without sync: ${name}`, options, async (t) => {
    const outcome = await onDisk(t, megabytes, { ...experiment, messages: 400, powerCuts: 5 });
    if (!outcome) return;
    assert.ok(
      outcome.cuts.some(({ lost }) => lost.length > 0),
      'without sync a power cut loses what was acknowledged',
    );
  });
}
