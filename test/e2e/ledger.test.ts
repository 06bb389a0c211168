/**
 * accepted = delivered + queued while processes are killed with -9. LEDGER_MESSAGES=20000 runs the
 * long form.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Outcome, runLedger } from '../support/ledger.ts';

const MESSAGES = Number(process.env['LEDGER_MESSAGES'] ?? 1_000);
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
/** Deliveries that one kill may interrupt: smtp_destination_concurrency_limit. */
const IN_FLIGHT = 20;
const MIXED = (n: number): number => (n % 50 === 0 ? 300_000 : n % 7 === 0 ? 20_000 : 2_000);

function report(t: { diagnostic: (text: string) => void }, outcome: Outcome): void {
  const { tally, kills, lost, duplicates, ghosts, corrupt, storeBytes } = outcome;
  t.diagnostic(
    `seed ${SEED}: accepted ${tally.accepted.length} unknown ${tally.unknown.length} refused ${tally.refused.length} ` +
      `reconnects ${tally.reconnects} kills ${JSON.stringify(kills)} lost ${lost.length} duplicates ${duplicates} ` +
      `ghosts ${ghosts.length} corrupt ${corrupt.length} store ${Math.round(storeBytes / 1024)} KiB`,
  );
}

test('nothing accepted is lost while processes are killed', { timeout: 900_000 }, async (t) => {
  const outcome = await runLedger({
    messages: MESSAGES,
    connections: 10,
    perConnection: 20,
    sizeOf: MIXED,
    kill: ['smtpd', 'qmgr', 'smtp', 'master'],
    seed: SEED,
  });
  report(t, outcome);
  assert.deepEqual(outcome.lost, []);
  assert.deepEqual(outcome.corrupt, []);
  assert.deepEqual(outcome.ghosts, []);
  assert.equal(outcome.tally.accepted.length + outcome.tally.unknown.length, MESSAGES);
  assert.ok(outcome.tally.accepted.length > MESSAGES / 2, 'most messages were accepted');
  const kills = Object.values(outcome.kills).reduce((sum, count) => sum + count, 0);
  assert.ok(kills > 3, 'something was killed');
  assert.ok(
    outcome.duplicates <= kills * IN_FLIGHT,
    `${outcome.duplicates} duplicates, ${kills} kills`,
  );
  assert.ok(outcome.storeBytes < 256 * 1024 * 1024, 'the store is bounded');
});
