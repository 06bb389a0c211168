import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { scheduler } from '../../src/qmgr/schedule.ts';

const LIMITS = { concurrency: 20, initialConcurrency: 5, failedCohorts: 1, deadMs: 300_000 };

test('destinations take turns, however much one of them has', () => {
  const queue = scheduler<string>(LIMITS);
  for (let i = 0; i < 100; i += 1) queue.add('large', `large${i}`, 0);
  queue.add('small', 'small0', 0);
  assert.deepEqual([queue.next()?.job, queue.next()?.job], ['large0', 'small0']);
});

test('a destination starts with its initial window and grows with each success', () => {
  const queue = scheduler<number>(LIMITS);
  for (let i = 0; i < 50; i += 1) queue.add('d', i, 0);
  const startAll = (): number => {
    let started = 0;
    while (queue.next()) started += 1;
    return started;
  };
  assert.equal(startAll(), 5);
  queue.ended('d', false, 0);
  assert.equal(startAll(), 2);
});

test('the window never exceeds the limit', () => {
  const queue = scheduler<number>({ ...LIMITS, concurrency: 7 });
  for (let i = 0; i < 500; i += 1) queue.add('d', i, 0);
  let running = 0;
  for (let round = 0; round < 100; round += 1) {
    while (queue.next()) running += 1;
    assert.ok(running <= 7);
    queue.ended('d', false, 0);
    running -= 1;
  }
});

test('a dead destination hands its jobs back, refuses new ones, and is alive again later', () => {
  const queue = scheduler<number>(LIMITS);
  for (let i = 0; i < 20; i += 1) queue.add('d', i, 0);
  while (queue.next());
  let back: readonly number[] = [];
  for (let i = 0; i < 5 && back.length === 0; i += 1) back = queue.ended('d', true, 1000);
  assert.equal(back.length, 15);
  assert.equal(queue.add('d', 99, 2000), false);
  assert.equal(queue.add('d', 99, 1000 + LIMITS.deadMs), true);
  assert.equal(queue.next()?.job, 99);
});

test('no job is lost or started twice, whatever happens', () => {
  const event = fc.record({
    what: fc.constantFrom('add', 'next', 'ok', 'fail', 'crash'),
    to: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 300 }), (events) => {
      const queue = scheduler<number>(LIMITS);
      const running: { destination: string; job: number }[] = [];
      const seen = { added: 0, refused: 0, ended: 0, back: 0 };
      let now = 0;
      for (const { what, to } of events) {
        now += 1000;
        if (what === 'add') {
          seen.added += 1;
          if (!queue.add(`d${to}`, seen.added, now)) seen.refused += 1;
        } else if (what === 'next') {
          const next = queue.next();
          if (next) {
            assert.ok(!running.some(({ job }) => job === next.job));
            running.push(next);
          }
        } else {
          const one = running.shift();
          if (!one) continue;
          if (what === 'crash') queue.putBack(one.destination, one.job);
          else {
            seen.ended += 1;
            seen.back += queue.ended(one.destination, what === 'fail', now).length;
          }
        }
      }
      const accounted = seen.refused + seen.ended + seen.back + running.length + queue.waiting();
      assert.equal(accounted, seen.added);
    }),
  );
});

test('what is dead no more is forgotten, and of too many dead the oldest', () => {
  const queue = scheduler<number>({ ...LIMITS, initialConcurrency: 1, deadMs: 1_000 });
  const kill = (name: string, nowMs: number) => {
    queue.add(name, 1, nowMs);
    for (let next = queue.next(); next; next = queue.next()) queue.ended(name, true, nowMs);
  };
  kill('first', 0);
  assert.deepEqual(queue.forget(500), []);
  assert.deepEqual(queue.forget(1_000), ['first']);
  for (let i = 0; i < 10_003; i += 1) kill(`d${i}`, 2_000);
  assert.deepEqual(queue.forget(2_000), ['d0', 'd1', 'd2']);
  assert.deepEqual(queue.forget(2_000), []);
});
