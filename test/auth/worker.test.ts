/** The auth process itself, asked over its socket. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openAuthClient } from '../../src/auth/client.ts';
import { makeHash } from '../../src/auth/hash.ts';

const WORKER = join(import.meta.dirname, '../../src/auth/worker.ts');

test('the process starts, answers, keeps secrets out of the log, and ends when told', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'postern-auth-'));
  const log = join(directory, 'maillog');
  mkdirSync(join(directory, 'private'));
  writeFileSync(
    join(directory, 'main.cf'),
    `myhostname = mail.example.org\nmyorigin = example.org\nmaillog_file = ${log}\n`,
  );
  writeFileSync(join(directory, 'passwd'), `alice:${await makeHash('s3cret')}:staff\nbroken\n`);
  const service = {
    name: 'auth',
    type: 'unix',
    command: 'auth',
    args: [],
    overrides: [['smtpd_sasl_failure_delay', '0']],
    maxproc: 1,
    configDirectory: directory,
  };
  const env = { ...process.env, POSTERN_SERVICE: JSON.stringify(service) };
  const child = fork(WORKER, { cwd: directory, env, silent: true });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', () => reject(new Error('the process ended')));
    });
    const auth = openAuthClient({
      path: join(directory, 'private/auth'),
      service: 'smtp',
      deadlineMs: 10_000,
    });
    assert.deepEqual(await auth.verify('alice', 's3cret', '192.0.2.1'), {
      kind: 'accepted',
      username: 'alice@example.org',
      groups: ['staff'],
    });
    assert.deepEqual(await auth.verify('alice', 'wr0ng', '192.0.2.1'), { kind: 'rejected' });
    assert.deepEqual(await auth.verify('bob', 's3cret', '192.0.2.1'), { kind: 'rejected' });
    auth.close();
    child.send({ kind: 'stop' });
    assert.equal(await ended, 0);
    const lines = readFileSync(log, 'utf8');
    assert.match(lines, /auth\[\d+\]: warning: .*passwd:2: .*line ignored/);
    assert.doesNotMatch(lines, /s3cret|wr0ng/);
  } finally {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  }
});
