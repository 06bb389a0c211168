/** The contract of a password database; counted in hash checks, not by the clock. */
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openBackends } from '../../src/auth/backends.ts';
import { openCache } from '../../src/auth/cache.ts';
import { DUMMY_HASH, type StoredHash } from '../../src/auth/hash.ts';
import { openLimiter } from '../../src/auth/limiter.ts';
import { type Backend, openPassdb, type Passdb } from '../../src/auth/passdb.ts';
import { openPasswdBackend } from '../../src/auth/passwd.ts';
import { parsePasswd } from '../../src/auth/passwd-file.ts';
import type { Logger } from '../../src/log/maillog.ts';
import { testConfig } from '../support/config.ts';

const hashOf = (secret: string) =>
  `$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$${Buffer.from(secret.padEnd(24, '.')).toString('base64url')}`;
const FILE = `alice@example.org:${hashOf('right')}:staff,sales\nbob:${hashOf('other')}\ncarol:{PLAIN}cheap\n`;

function fixed(source: string, name = 'fixed'): Backend {
  const { users } = parsePasswd(source, 'example.org');
  return {
    name,
    find: async (username) => {
      const record = users.get(username);
      return record ? { kind: 'known', record } : { kind: 'unknown' };
    },
  };
}
const DOWN: Backend = {
  name: 'down',
  find: async () => ({ kind: 'unavailable', reason: 'is down' }),
};

type Site = {
  readonly passdb: Passdb;
  readonly checked: string[];
  readonly slept: number[];
  tick: (ms: number) => void;
};

function site(
  backends: readonly Backend[],
  options: { hold?: Promise<void>; waiting?: number; cacheSize?: number } = {},
): Site {
  const checked: string[] = [];
  const slept: number[] = [];
  let now = 0;
  const passdb = openPassdb({
    backends,
    origin: 'example.org',
    verifyHash: async (hash: StoredHash, secret) => {
      checked.push(hash.value === DUMMY_HASH.value ? 'dummy' : 'real');
      await options.hold;
      return hash.scheme === 'plain' ? hash.value === secret : hash.value === hashOf(secret);
    },
    cache: openCache({ size: options.cacheSize ?? 100, ageMs: 1000 }, () => now),
    limiter: openLimiter(2, options.waiting ?? 32),
    failureDelayMs: 500,
    nowMs: () => now,
    sleep: async (ms) => void slept.push(ms),
  });
  return {
    passdb,
    checked,
    slept,
    tick: (ms) => {
      now += ms;
    },
  };
}

const ask = async (passdb: Passdb, user: string, secret: string) => {
  const verdict = await passdb.verify(user, secret, '192.0.2.1');
  return verdict.kind === 'accepted'
    ? `${verdict.username} ${verdict.groups.join('+')}`
    : verdict.kind;
};

const CASES: readonly (readonly [user: string, secret: string, expected: string])[] = [
  ['alice@example.org', 'right', 'alice@example.org staff+sales'],
  ['Alice@EXAMPLE.org', 'right', 'alice@example.org staff+sales'],
  ['alice', 'right', 'alice@example.org staff+sales'],
  ['bob', 'other', 'bob@example.org '],
  ['bob@example.org', 'other', 'bob@example.org '],
  ['carol', 'cheap', 'carol@example.org '],
  ['alice', 'wrong', 'rejected'],
  ['alice', '', 'rejected'],
  ['alice@other.example', 'right', 'rejected'],
  ['nobody', 'right', 'rejected'],
  ['\u212Aarol', 'cheap', 'rejected'],
  ['a:b', 'right', 'rejected'],
  ['alice', 'x'.repeat(2000), 'rejected'],
];
for (const [user, secret, expected] of CASES) {
  test(`${user} with ${JSON.stringify(secret.slice(0, 8))}: ${expected}`, async () => {
    assert.equal(await ask(site([fixed(FILE)]).passdb, user, secret), expected);
  });
}

test('an unknown user costs one check and one delay, as a known one with a wrong password', async () => {
  const unknown = site([fixed(FILE)]);
  await ask(unknown.passdb, 'nobody', 'wrong');
  const known = site([fixed(FILE)]);
  await ask(known.passdb, 'alice', 'wrong');
  assert.deepEqual([unknown.checked, known.checked], [['dummy'], ['real']]);
  assert.deepEqual([unknown.slept, known.slept], [[500], [500]]);
});

test('a success is not delayed', async () => {
  const { passdb, slept } = site([fixed(FILE)]);
  await ask(passdb, 'alice', 'right');
  assert.deepEqual(slept, []);
});

test('the first back end that knows the user decides', async () => {
  const first = fixed(`alice:${hashOf('one')}\n`);
  const second = fixed(`alice:${hashOf('two')}\nbob:${hashOf('two')}\n`);
  const { passdb } = site([first, second]);
  assert.equal(await ask(passdb, 'alice', 'one'), 'alice@example.org ');
  assert.equal(await ask(passdb, 'alice', 'two'), 'rejected');
  assert.equal(await ask(passdb, 'bob', 'two'), 'bob@example.org ');
});

test('a back end that is down never looks like a wrong password', async () => {
  const after = site([fixed(FILE), DOWN]);
  assert.equal(await ask(after.passdb, 'alice', 'right'), 'alice@example.org staff+sales');
  assert.equal(await ask(after.passdb, 'alice', 'wrong'), 'rejected');
  assert.equal(await ask(after.passdb, 'nobody', 'x'), 'unavailable');
  const before = site([DOWN, fixed(FILE)]);
  assert.equal(await ask(before.passdb, 'alice', 'right'), 'unavailable');
});

test('a repeated success costs no check until it is too old', async () => {
  const { passdb, checked, tick } = site([fixed(FILE)]);
  for (let i = 0; i < 3; i += 1) await ask(passdb, 'alice', 'right');
  assert.equal(checked.length, 1);
  tick(1001);
  await ask(passdb, 'alice', 'right');
  assert.equal(checked.length, 2);
});

test('failures are not remembered', async () => {
  const { passdb, checked } = site([fixed(FILE)]);
  for (let i = 0; i < 3; i += 1) await ask(passdb, 'alice', 'wrong');
  assert.equal(checked.length, 3);
});

test('the cache is bounded: the oldest success leaves', async () => {
  const { passdb, checked } = site([fixed(FILE)], { cacheSize: 1 });
  for (const [user, secret] of [
    ['alice', 'right'],
    ['bob', 'other'],
    ['alice', 'right'],
  ] as const) {
    await ask(passdb, user, secret);
  }
  assert.equal(checked.length, 3);
});

test('when the queue is full the answer is unavailable, known user or not', async () => {
  let release = (): void => undefined;
  const hold = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { passdb } = site([fixed(FILE)], { hold, waiting: 3 });
  const waiting = ['1', '2', '3', '4', '5'].map((n) => ask(passdb, `nobody${n}`, n));
  await new Promise(setImmediate);
  assert.equal(await ask(passdb, 'alice', 'right'), 'unavailable');
  assert.equal(await ask(passdb, 'nobody', 'x'), 'unavailable');
  release();
  assert.deepEqual(await Promise.all(waiting), Array(5).fill('rejected'));
  assert.equal(await ask(passdb, 'alice', 'right'), 'alice@example.org staff+sales');
});

test('equal attempts at the same time share one check', async () => {
  const { passdb, checked } = site([fixed(FILE)]);
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => ask(passdb, 'alice', 'right')),
  );
  assert.equal(new Set(answers).size, 1);
  assert.equal(checked.length, 1);
});

test('passwd: an edit counts at once, the cache notwithstanding', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'postern-auth-'));
  const file = join(directory, 'passwd');
  const warnings: string[] = [];
  const logger = collect(warnings);
  try {
    const { passdb, checked } = site([openPasswdBackend(file, 'example.org', logger)]);
    assert.equal(await ask(passdb, 'alice', 'right'), 'unavailable');
    assert.equal(await ask(passdb, 'alice', 'right'), 'unavailable');
    assert.equal(warnings.length, 1, 'said once');
    assert.match(warnings[0]!, /no such file; make it with/);
    writeFileSync(file, `# users\nalice:${hashOf('right')}\nalice:${hashOf('two')}\nbroken\n\n`);
    assert.equal(await ask(passdb, 'alice', 'right'), 'alice@example.org ');
    assert.equal(await ask(passdb, 'alice', 'right'), 'alice@example.org ');
    assert.equal(checked.length, 1);
    assert.deepEqual(warnings.slice(1), [
      `${file}:3: duplicate entry for alice@example.org, see line 2; line ignored`,
      `${file}:4: broken@example.org: not {SCHEME}hash and not a crypt hash; line ignored`,
    ]);
    writeFileSync(`${file}.new`, `alice:${hashOf('again')}\n`);
    renameSync(`${file}.new`, file);
    assert.equal(await ask(passdb, 'alice', 'right'), 'rejected');
    assert.equal(await ask(passdb, 'alice', 'again'), 'alice@example.org ');
    writeFileSync(file, '');
    assert.equal(await ask(passdb, 'alice', 'again'), 'rejected');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('smtpd_sasl_backends: only passwd: is possible, and relative files lie beside main.cf', () => {
  const open = (value: string) => {
    const opened = openBackends(testConfig({ smtpd_sasl_backends: value }), collect([]));
    return opened.ok ? opened.value.map(({ name }) => name) : opened.error;
  };
  assert.deepEqual(open('passwd:users, passwd:/x/y'), ['passwd:/etc/postern/users', 'passwd:/x/y']);
  assert.match(String(open('ldap:/etc/x')), /"ldap:\/etc\/x" is not supported; use passwd:/);
  assert.match(String(open('')), /is empty/);
});

test('groups: one further field lists them, a line of passwd(5) has none', () => {
  const { users } = parsePasswd(
    'a:{PLAIN}x:g1, g2\nb:{PLAIN}x:1000:1000::/home/b:/bin/sh\n',
    'example.org',
  );
  assert.deepEqual(users.get('a@example.org')?.groups, ['g1', 'g2']);
  assert.deepEqual(users.get('b@example.org')?.groups, []);
});

function collect(lines: string[]): Logger {
  const add = (text: string): void => void lines.push(text);
  return { info: add, warning: add, error: add, fatal: add, panic: add, flush: () => undefined };
}
