import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { passwd } from '../../src/cmd/passwd.ts';
import { testConfig } from '../support/config.ts';
import { needs, needsRoot } from '../support/programs.ts';

const directory = mkdtempSync(join(tmpdir(), 'postern-passwd-'));
after(() => rmSync(directory, { recursive: true }));
const file = join(directory, 'passwd');
const config = testConfig({ myorigin: 'example.org' }, directory);

async function run(words: string, input = ''): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let errors = '';
  const io = {
    stdin: Readable.from([Buffer.from(input)]),
    stdout: (text: string) => void (out += text),
    stderr: (text: string) => void (errors += text),
    configDirectory: directory,
  };
  const code = await passwd(words.split(' '), io, config);
  return { code, out, err: errors };
}

test('a user is added, verified, changed, listed and deleted', async () => {
  rmSync(file, { force: true });
  assert.equal((await run('add alice --groups staff,sales --password-stdin', 'one\n')).code, 0);
  assert.equal(statSync(file).mode & 0o777, 0o640);
  assert.match(
    readFileSync(file, 'utf8'),
    /^alice@example\.org:\{ARGON2ID\}\$argon2id.*:staff,sales\n$/,
  );
  assert.equal((await run('verify Alice@Example.org --password-stdin', 'one')).code, 0);
  assert.equal((await run('verify alice --password-stdin', 'two')).code, 1);
  assert.equal((await run('set alice --password-stdin', 'two\r\n')).code, 0);
  assert.equal((await run('verify alice --password-stdin', 'two')).code, 0);
  assert.equal((await run('list')).out, 'alice@example.org\tstaff,sales\n');
  assert.equal((await run('del alice')).code, 0);
  assert.equal(readFileSync(file, 'utf8'), '');
  assert.equal(existsSync(`${file}.lock`), false);
});

test('other lines, comments and the mode stay; duplicates of the user go', async () => {
  writeFileSync(file, '# ours\nbob:{PLAIN}x\n\nbroken\nbob@example.org:{PLAIN}y\ncarol:{PLAIN}z');
  chmodSync(file, 0o600);
  assert.equal((await run('set bob --password-stdin', 'n\n')).code, 0);
  const lines = readFileSync(file, 'utf8').split('\n');
  assert.deepEqual(
    [lines[0], lines[2], lines[3], lines[4]],
    ['# ours', '', 'broken', 'carol:{PLAIN}z'],
  );
  assert.match(lines[1]!, /^bob@example.org:\{ARGON2ID\}/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('refusals say what to do and change nothing', async () => {
  writeFileSync(file, 'bob:{PLAIN}x\n');
  const cases: readonly (readonly [words: string, input: string, code: number, text: RegExp])[] = [
    ['add bob --password-stdin', 'n', 1, /exists in .*; "postern passwd set"/],
    ['set eve --password-stdin', 'n', 1, /eve@example.org: no such user/],
    ['del eve', '', 1, /no such user/],
    ['add eve --password-stdin', '', 1, /the password is empty/],
    ['add eve --password-stdin', 'a\tb\n', 1, /control characters/],
    ['add eve --password-stdin', 'x'.repeat(2000), 1, /above 1024 bytes/],
    ['add eve', 'n', 1, /not a terminal; pass --password-stdin/],
    ['add e:ve --password-stdin', 'n', 64, /^usage/],
    ['frob', '', 64, /^usage/],
    ['add eve --groups a:b --password-stdin', 'n', 64, /^usage/],
  ];
  for (const [words, input, code, text] of cases) {
    const got = await run(words, input);
    assert.equal(got.code, code, words);
    assert.match(got.err, text, words);
  }
  assert.equal(readFileSync(file, 'utf8'), 'bob:{PLAIN}x\n');
});

test('another edit under way is an error that names the lock', async () => {
  writeFileSync(`${file}.lock`, '');
  const { code, err } = await run('add eve --password-stdin', 'n');
  assert.equal(code, 1);
  assert.match(err, /passwd\.lock exists/);
  rmSync(`${file}.lock`);
});

test('owner and group of the file are kept', needsRoot(), async () => {
  writeFileSync(file, 'bob:{PLAIN}x\n');
  chownSync(file, 12, 34);
  assert.equal((await run('del bob')).code, 0);
  const { uid, gid } = statSync(file);
  assert.deepEqual([uid, gid], [12, 34]);
});

test('an account without rights can neither read nor change passwords', {
  ...needs('setpriv'),
  ...needsRoot(),
}, () => {
  chmodSync(directory, 0o755);
  writeFileSync(file, 'bob:{PLAIN}x\n');
  chownSync(file, 0, 0);
  chmodSync(file, 0o640);
  const script = `
    import { openPasswdBackend } from ${JSON.stringify(join(import.meta.dirname, '../../src/auth/passwd.ts'))};
    const log = (text) => console.log(text);
    const logger = { info: log, warning: log, error: log, fatal: log, panic: log, flush() {} };
    console.log((await openPasswdBackend(${JSON.stringify(file)}, 'example.org', logger).find('bob@example.org')).kind);`;
  const as = (uid: string, gid: string) =>
    spawnSync(
      'setpriv',
      [
        `--reuid=${uid}`,
        `--regid=${gid}`,
        '--clear-groups',
        process.execPath,
        '--input-type=module',
        '-e',
        script,
      ],
      { encoding: 'utf8' },
    );
  const stranger = as('65534', '65534');
  assert.match(stranger.stdout, /permission denied for .*\nunavailable\n$/, stranger.stderr);
  const reader = as('65534', '0');
  assert.equal(reader.stdout, 'known\n', reader.stderr);
});
