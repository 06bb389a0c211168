/**
 * postern start, start-fg, status, flush, logrotate, stop on a directory that holds just main.cf and
 * master.cf, as an ordinary user and as root; and the systemd unit.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findAccount } from '../../src/util/accounts.ts';
import {
  freePort,
  isListening,
  makeDirectory,
  type Output,
  ROOT,
  removeDirectory,
  runProgram,
  until,
} from '../support/instance.ts';
import { findProgram, needs, needsRoot } from '../support/programs.ts';

const POSTERN = join(ROOT, 'bin/postern');
const isRoot = process.getuid?.() === 0;
const made: string[] = [];
after(() => made.forEach(removeDirectory));

type Site = { readonly directory: string; readonly port: number; readonly log: () => string };

async function makeSite(owner?: { readonly uid: number; readonly gid: number }): Promise<Site> {
  const directory = makeDirectory('postern-verbs-');
  made.push(directory);
  const port = await freePort();
  const file = join(directory, 'maillog');
  writeFileSync(
    join(directory, 'main.cf'),
    `compatibility_level = 3.11
queue_directory = ${directory}/spool
data_directory = ${directory}/data
maillog_file = ${file}
${isRoot ? 'mail_owner = nobody\n' : ''}mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:1
`,
  );
  writeFileSync(join(directory, 'master.cf'), `127.0.0.1:${port} inet n - n - - smtpd\n`);
  if (owner) chownSync(directory, owner.uid, owner.gid);
  return { directory, port, log: () => (existsSync(file) ? readFileSync(file, 'utf8') : '') };
}

async function lifeOf(site: Site, run: (verb: string) => Promise<Output>): Promise<void> {
  const expect = async (verb: string, code: number, words: RegExp): Promise<void> => {
    const { code: got, stdout, stderr } = await run(verb);
    assert.equal(got, code, `${verb}: ${stdout}${stderr}${site.log()}`);
    assert.match(stdout + stderr, words);
  };
  await expect('status', 1, /not running/);
  await expect('stop', 1, /not running/);
  await expect('start', 0, /starting/);
  try {
    assert.ok(await isListening(site.port), 'start returns when it listens');
    await expect('status', 0, /is running: PID: \d+/);
    await expect('start', 1, /already running/);
    await expect('flush', 0, /^$/);
    await expect('check', 0, /^(?!.*error)/s);

    await expect('logrotate', 0, /^$/);
    const old = readdirSync(site.directory).filter((name) =>
      /^maillog\.\d{8}-\d{6}\.gz$/.test(name),
    );
    assert.equal(old.length, 1);
    const before = await runProgram('gzip', ['-dc', join(site.directory, old[0] ?? '')]);
    assert.match(before.stdout, /daemon started/);
    await isListening(site.port);
    await until('smtpd writes to the new file', () =>
      /smtpd\[\d+\]: connect from \S+\[127\.0\.0\.1\]\n/.test(site.log()),
    );
    await expect('reload', 0, /refreshing/);
    await until('the reload', () => site.log().includes('reload -- version'));
  } finally {
    await expect('stop', 0, /stopping/);
  }
  assert.equal(await isListening(site.port), false);
  await expect('status', 1, /not running/);
  assert.ok((await run('flush')).code > 0);
  assert.doesNotMatch(site.log(), /panic|fatal/);
}

test('the verbs, as whoever runs the tests, with -c', needs('gzip'), async () => {
  const site = await makeSite();
  await lifeOf(site, (verb) => runProgram(POSTERN, ['-c', site.directory, verb]));
});

test('the verbs, without root, with MAIL_CONFIG', {
  ...needs('setpriv', 'gzip'),
  ...needsRoot(),
}, async (t) => {
  const nobody = findAccount('nobody');
  assert.ok(nobody);
  const site = await makeSite(nobody);
  const { uid, gid } = nobody;
  const drop = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  const env = { MAIL_CONFIG: site.directory };
  const readable = await runProgram('setpriv', [...drop, 'test', '-r', POSTERN]);
  if (readable.code !== 0) return t.skip('the account nobody cannot read this checkout');
  await lifeOf(site, (verb) => runProgram('setpriv', [...drop, POSTERN, verb], { env }));
});

test('start-fg stays, reloads on SIGHUP and ends on SIGTERM with 0', async () => {
  const site = await makeSite();
  const child = spawn(POSTERN, ['-c', site.directory, 'start-fg'], { stdio: 'ignore' });
  const exit = once(child, 'exit');
  await until('it listens', () => isListening(site.port), 60_000);
  child.kill('SIGHUP');
  await until('the reload', () => site.log().includes('reload -- version'));
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
  assert.equal(await isListening(site.port), false);
});

test('the systemd unit is valid', needs('systemd-analyze'), async () => {
  const directory = makeDirectory('postern-unit-');
  made.push(directory);
  const unit = readFileSync(join(ROOT, 'etc/postern.service'), 'utf8');
  assert.match(unit, /^Type=exec$/m);
  assert.match(unit, /^ExecStart=\/usr\/lib\/postern\/bin\/postern -c \/etc\/postern start-fg$/m);
  const file = join(directory, 'postern.service');
  writeFileSync(file, unit.replace('/usr/lib/postern/bin/postern', POSTERN));
  const run = await runProgram(findProgram('systemd-analyze') ?? '', ['verify', file]);
  const about = run.stderr.split('\n').filter((line) => line.includes('postern.service'));
  assert.deepEqual([run.code, about], [0, []]);
});
