/** The pool by itself: which host, which connection, how often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  answered,
  type Connection,
  type Failure,
  lost,
  Pool,
  type PoolOptions,
  refused,
} from '../../../src/lookup/client/pool.ts';
import { err, ok, type Result } from '../../../src/util/result.ts';

type Fake = Connection & { readonly host: string; isOpen: boolean };

type World = {
  readonly down: Set<string>;
  readonly log: string[];
  readonly said: string[];
  nowMs: number;
  random: number;
  readonly open: Fake[];
  readonly ask: (work?: (c: Fake) => Promise<Result<string, Failure>>) => Promise<string>;
  readonly pool: Pool<string, Fake>;
};

function world(hosts: readonly string[], more: Partial<PoolOptions<string, Fake>> = {}): World {
  const made: Omit<World, 'ask' | 'pool'> = {
    down: new Set(),
    log: [],
    said: [],
    nowMs: 1_000,
    random: 0,
    open: [],
  };
  const pool = new Pool<string, Fake>({
    server: 'fake',
    hosts,
    nameOf: (host) => host,
    rankOf: (host) => (host.startsWith('unix') ? 0 : 1),
    connect: async (host) => {
      made.log.push(host);
      if (made.down.has(host)) return err('refused');
      const fake: Fake = {
        host,
        isOpen: true,
        close: () => {
          fake.isOpen = false;
        },
      };
      made.open.push(fake);
      return ok(fake);
    },
    limit: 2,
    idleMs: 60_000,
    retryMs: 60_000,
    waitMs: 1_000,
    now: () => made.nowMs,
    random: () => made.random,
    ...more,
  });
  const ask: World['ask'] = async (work = async ({ host }) => answered(host)) => {
    const answer = await pool.use(work, (text) => made.said.push(text));
    return answer.ok ? answer.value : `<${answer.error}>`;
  };
  return Object.assign(made, { pool, ask });
}

test('Unix sockets come first; equals are chosen at random; an idle connection is used again', async () => {
  const one = world(['a', 'unix:s', 'b']);
  assert.equal(await one.ask(), 'unix:s');
  assert.equal(await one.ask(), 'unix:s');
  assert.deepEqual(one.log, ['unix:s']);
  const two = world(['a', 'b']);
  two.random = 0.9;
  assert.equal(await two.ask(), 'b');
  two.pool.close();
  two.random = 0;
  assert.equal(await two.ask(), 'a');
});

test('a host that is down is left alone until retry_interval has passed', async () => {
  const it = world(['a', 'b']);
  it.down.add('a');
  assert.equal(await it.ask(), 'b');
  assert.deepEqual(it.said, ['connect to fake server a: refused']);
  it.pool.close();
  assert.equal(await it.ask(), 'b');
  assert.deepEqual(it.log, ['a', 'b', 'b']);
  it.down.clear();
  it.nowMs += 60_000;
  it.pool.close();
  assert.equal(await it.ask(), 'a');
});

test('all down: the lookup fails at once, with the reasons', async () => {
  const it = world(['a', 'b']);
  it.down.add('a').add('b');
  const text = '<no fake server answers: a: refused; b: refused>';
  assert.equal(await it.ask(), text);
  assert.equal(await it.ask(), text);
  assert.deepEqual(it.log, ['a', 'b']);
  it.nowMs += 59_999;
  assert.equal(await it.ask(), text);
  it.nowMs += 1;
  it.down.delete('a');
  assert.equal(await it.ask(), 'a');
});

test('a host that stands alone is tried twice before it is left alone', async () => {
  const it = world(['a']);
  it.down.add('a');
  await it.ask();
  await it.ask();
  assert.deepEqual(it.log, ['a', 'a']);
});

test('without retry_interval, or with nowhere else to go, each lookup tries again', async () => {
  for (const more of [{ retryMs: 0 }, { tryAllWhenDown: true }]) {
    const it = world(['a', 'b'], more);
    it.down.add('a').add('b');
    await it.ask();
    await it.ask();
    assert.deepEqual(it.log, ['a', 'b', 'a', 'b']);
  }
});

test('a connection that died while idle says nothing about its host', async () => {
  const it = world(['a', 'b']);
  assert.equal(await it.ask(), 'a');
  let asked = 0;
  const answer = await it.ask(async ({ host }) => {
    asked += 1;
    return asked === 1 ? lost('reset') : answered(host);
  });
  assert.equal(answer, 'a');
  assert.deepEqual(it.said, []);
  for (const fake of it.open) fake.isOpen = false;
  assert.equal(await it.ask(), 'a');
});

test('a connection lost in use moves the lookup to the next host; a hung one too', async () => {
  for (const timedOut of [false, true]) {
    const it = world(['a', 'b']);
    const answer = await it.ask(async ({ host }) =>
      host === 'a' ? lost('gone', timedOut) : answered(host),
    );
    assert.equal(answer, 'b');
    assert.deepEqual(it.said, ['query failed: fake server a: gone']);
    assert.equal(it.open[0]?.isOpen, false);
  }
  const alone = world(['a']);
  assert.equal(
    await alone.ask(async () => lost('hung', true)),
    '<no fake server answers: a: hung>',
  );
  assert.deepEqual(alone.log, ['a']);
});

test('what a server refuses is tried on the others and keeps none of them away', async () => {
  const it = world(['a', 'b']);
  const bad = await it.ask(async ({ host }) => refused(`no table on ${host}`));
  assert.equal(bad, '<no table on b>');
  assert.equal(it.said.length, 2);
  const half = await it.ask(async ({ host }) => (host === 'a' ? refused('x') : answered(host)));
  assert.equal(half, 'b');
  it.random = 0;
  assert.notEqual(await it.ask(), '');
  assert.ok(it.open.every(({ isOpen }) => isOpen));
});

test('never more connections than the limit, and a wait that ends', async () => {
  const it = world(['a'], { limit: 2, waitMs: 50 });
  const gates: (() => void)[] = [];
  const held = () =>
    it.ask(() => new Promise((resolve) => gates.push(() => resolve(answered('done')))));
  const first = [held(), held()];
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await it.ask(), '<no free connection within 0.05 s>');
  const waiting = it.ask();
  gates[0]?.();
  assert.equal(await waiting, 'a');
  gates[1]?.();
  assert.deepEqual(await Promise.all(first), ['done', 'done']);
  assert.equal(it.open.length, 2);
});

test('idle connections to other hosts make room', async () => {
  const it = world(['a', 'b', 'c'], { limit: 2 });
  const on = (name: string) =>
    it.ask(async ({ host }) => (host === name ? answered(host) : refused('other')));
  for (const name of ['a', 'b', 'c', 'a', 'c']) {
    assert.equal(await on(name), name);
    assert.ok(it.open.filter(({ isOpen }) => isOpen).length <= 2, name);
  }
});
