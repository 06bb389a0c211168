/**
 * `npm start`: from nothing to a running server, again with everything kept, and down on Ctrl-C; the
 * command that it prints is pasted into a shell and does what it says.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  isListening,
  makeDirectory,
  ROOT,
  removeDirectory,
  runProgram,
  until,
} from '../support/instance.ts';
import { needs, needsRoot } from '../support/programs.ts';
import { openSession } from '../support/session.ts';

const START_MS = 90_000;
const OFFSETS = { exchange: 525, submission: 587, submissions: 465 };

const directory = join(makeDirectory('postern-quickstart-'), 'live');
const started: ChildProcess[] = [];
after(() => {
  for (const child of started) if (child.exitCode === null) child.kill('SIGKILL');
  removeDirectory(join(directory, '..'));
});

/** A base whose three ports are free. */
async function freeBase(): Promise<number> {
  for (let base = 21_000; base < 60_000; base += 1_000 + Math.floor(Math.random() * 1_000)) {
    const busy = await Promise.all(Object.values(OFFSETS).map((port) => isListening(base + port)));
    if (!busy.includes(true)) return base;
  }
  throw new Error('no free ports');
}

type Run = {
  readonly child: ChildProcess;
  readonly text: () => string;
  /** SIGINT to the process group, as a terminal does; npm ends when the server has. */
  readonly interrupt: () => Promise<{ readonly ms: number }>;
};

function npmStart(base: number, dir = directory): Run {
  const child = spawn(
    'npm',
    ['start', '--silent', '--', '--dir', dir, '--port-base', String(base)],
    { cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  started.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (part: Buffer) => (text += part.toString()));
  }
  return {
    child,
    text: () => text,
    interrupt: async () => {
      const startMs = performance.now();
      const exit = once(child, 'exit');
      process.kill(-(child.pid ?? 0), 'SIGINT');
      await exit;
      return { ms: performance.now() - startMs };
    },
  };
}

const isUp = (run: Run): Promise<void> =>
  until(`npm start: ${run.text()}`, () => run.text().includes('Stop: Ctrl-C'), START_MS);

const passwords = (text: string): string[] =>
  ['staff', 'intern', 'device'].map(
    (user) => new RegExp(`  ${user}@example\\.test +(\\S+)`).exec(text)?.[1] ?? '',
  );

const base = await freeBase();
let first = '';

test(
  'the first start makes everything, and its command sends a message',
  needs('npm', 'curl'),
  async (t) => {
    const run = npmStart(base);
    await isUp(run);
    first = run.text();
    assert.match(first, /Making three users with random passwords/);
    for (const port of Object.values(OFFSETS)) {
      assert.ok(first.includes(`127.0.0.1:${base + port}`));
      assert.ok(await isListening(base + port), `${base + port}`);
    }
    const words = passwords(first);
    assert.equal(new Set(words).size, 3);
    for (const word of words) assert.match(word, /^[\w-]{16}$/);
    assert.match(readFileSync(join(directory, 'etc/main.cf'), 'utf8'), /^mynetworks =$/m);

    const command = /Send a first message:\n([\s\S]*?)\n\n/.exec(first)?.[1] ?? '';
    const box = /It arrives in (\S+)/.exec(first)?.[1] ?? '';
    const pasted = await runProgram('sh', ['-c', command]);
    assert.equal(pasted.code, 0, pasted.stderr);
    await until('it has arrived', () => existsSync(box) && readdirSync(box).length === 1);
    assert.match(readFileSync(join(box, readdirSync(box)[0] ?? ''), 'utf8'), /^Subject: first$/m);

    // Who is not logged in reaches local users only, although the client is on loopback.
    const stranger = await openSession(base + OFFSETS.exchange);
    await stranger.expect(220);
    await stranger.command('HELO client.example.net', 250);
    await stranger.command('MAIL FROM:<a@example.net>', 250);
    await stranger.command('RCPT TO:<victim@far.example>', 554);

    // Ctrl-C while that session is open.
    const { ms } = await run.interrupt();
    t.diagnostic(`stopped in ${Math.round(ms)} ms`);
    assert.ok(ms < 2_000 * slowness(), `${Math.round(ms)} ms`);
    assert.match(run.text(), /\nStopped\.\n\s*$/);
    assert.equal(await isListening(base + OFFSETS.exchange), false);
    stranger.destroy();
  },
);

/** On a machine that is busy with other tests two seconds are long: what `node -e 0` needs tells. */
function slowness(): number {
  return Math.max(1, startupMs / 100);
}
const before = performance.now();
await runProgram(process.execPath, ['-e', '0']);
const startupMs = performance.now() - before;

test('a second start uses all of it again', needs('npm', 'curl'), async () => {
  const kept = ['certs/ca.pem', 'certs/server.pem', 'certs/server.key'].map((name) =>
    readFileSync(join(ROOT, name), 'utf8'),
  );
  const passwd = readFileSync(join(directory, 'etc/passwd'), 'utf8');
  const run = npmStart(base);
  await isUp(run);
  assert.deepEqual(passwords(run.text()), passwords(first));
  assert.doesNotMatch(run.text(), /Making|\.\.\.$/m);
  assert.deepEqual(
    ['certs/ca.pem', 'certs/server.pem', 'certs/server.key'].map((name) =>
      readFileSync(join(ROOT, name), 'utf8'),
    ),
    kept,
  );
  assert.equal(readFileSync(join(directory, 'etc/passwd'), 'utf8'), passwd);

  // Meanwhile a third one finds its port taken.
  const third = npmStart(base, `${directory}-third`);
  const [code] = await once(third.child, 'exit');
  assert.equal(code, 1);
  assert.match(
    third.text(),
    new RegExp(`port ${base + 525} on 127\\.0\\.0\\.1 is in use: .*npm start -- --port-base \\d+`),
  );
  assert.equal(existsSync(`${directory}-third`), false);

  await run.interrupt();
  assert.match(run.text(), /\nStopped\.\n\s*$/);
});

test('other directories and ports are possible; what is not, is said', needs('npm'), async () => {
  const wrong = npmStart(7);
  assert.equal((await once(wrong.child, 'exit'))[0], 64);
  assert.match(wrong.text(), /--port-base 7: a number from 500 to 64900 is needed/);

  const server = createServer();
  const other = await freeBase();
  await new Promise<void>((resolve) =>
    server.listen(other + OFFSETS.submissions, '127.0.0.1', resolve),
  );
  const busy = npmStart(other, `${directory}-busy`);
  assert.equal((await once(busy.child, 'exit'))[0], 1);
  assert.ok(busy.text().includes(`port ${other + OFFSETS.submissions} on 127.0.0.1 is in use`));
  server.close();
});

test('as root one line says whose rights it has', { ...needsRoot(), ...needs('npm') }, () => {
  const lines = first.split('\n').filter((line) => /\broot\b/.test(line));
  const hasAccount = /^postern:/m.test(readFileSync('/etc/passwd', 'utf8'));
  if (hasAccount) assert.ok(lines.length <= 1);
  else
    assert.deepEqual(lines, ['Running as root on loopback: the account postern does not exist.']);
});
