/** sendmail as a program: what it costs, what it leaves in maildrop/, its words and exit codes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { makeDirectory, ROOT } from '../support/instance.ts';

const top = makeDirectory('postern-sendmail-');
after(() => rmSync(top, { recursive: true, force: true }));
let count = 0;

function site(lines = ''): { directory: string; drops: () => string[] } {
  const directory = join(top, `s${(count += 1)}`);
  mkdirSync(join(directory, 'spool/postern/maildrop'), { recursive: true });
  mkdirSync(join(directory, 'spool/postern/public'));
  writeFileSync(join(directory, 'main.cf'), `queue_directory = ${directory}/spool\n${lines}`);
  const maildrop = join(directory, 'spool/postern/maildrop');
  return {
    directory,
    drops: () => readdirSync(maildrop).map((name) => readFileSync(join(maildrop, name), 'utf8')),
  };
}

function sendmail(directory: string, argv: readonly string[], input = 'Subject: x\n\nhi\n') {
  const run = spawnSync(join(ROOT, 'bin/sendmail'), ['-c', directory, ...argv], {
    input,
    encoding: 'utf8',
    env: { ...process.env, NAME: '' },
  });
  return { status: run.status, err: run.stderr, out: run.stdout };
}

const headOf = (drop: string | undefined): Record<string, unknown> =>
  JSON.parse(drop?.split('\n')[0] ?? '{}');

test('sendmail loads fewer than 15 modules of ours, and reports its CPU time', () => {
  const { directory, drops } = site();
  const counter = join(directory, 'count.mjs');
  writeFileSync(
    counter,
    `import { registerHooks } from 'node:module';
import { writeFileSync } from 'node:fs';
const loaded = new Set();
registerHooks({ load(url, context, next) { loaded.add(url); return next(url, context); } });
process.on('exit', () => {
  const { user, system } = process.cpuUsage();
  const own = [...loaded].filter((url) => url.startsWith('file:'));
  const built = [...loaded].filter((url) => url.startsWith('node:'));
  writeFileSync(${JSON.stringify(join(directory, 'report'))}, JSON.stringify({ own, built, ms: (user + system) / 1000 }));
});
`,
  );
  const run = spawnSync(join(ROOT, 'bin/sendmail'), ['-c', directory, '-t'], {
    input: 'To: a@b.example\n\nhi\n',
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: `--import ${pathToFileURL(counter)}` },
  });
  assert.equal(run.status, 0, run.stderr);
  assert.equal(drops().length, 1);
  const { own, built, ms } = JSON.parse(readFileSync(join(directory, 'report'), 'utf8'));
  assert.ok(own.length < 15, `${own.length}: ${own.join(' ')}`);
  assert.ok(own.length > 5, 'the counter works');
  assert.ok(!built.includes('node:crypto'), 'node:crypto is not needed');
  process.stdout.write(`sendmail: ${own.length} modules, ${Math.round(ms)} ms of CPU\n`);
});

test('a drop holds what the options say', () => {
  const { directory, drops } = site();
  const { status, err } = sendmail(directory, [
    ...['-f', '<a@b.example>', '-F', 'A B', '-N', 'success,delay', '-R', 'hdrs'],
    ...['-V', 'id 1', '-B8BITMIME', '-oi', '<c@d.example>', 'e'],
  ]);
  assert.deepEqual([status, err], [0, '']);
  const [drop] = drops();
  assert.deepEqual(headOf(drop), {
    version: 1,
    sender: 'a@b.example',
    recipients: ['c@d.example', 'e'],
    fullName: 'A B',
    body: '8BITMIME',
    envid: 'id 1',
    ret: 'HDRS',
    notify: ['SUCCESS', 'DELAY'],
  });
  assert.match(drop ?? '', /\nSubject: x\n\nhi\n$/);
});

test('a line with one dot ends the message, unless -i is given', () => {
  const { directory, drops } = site();
  const text = 'Subject: x\n\none\n.\ntwo\n';
  sendmail(directory, ['-f', 'a', 'b'], text);
  assert.match(drops()[0] ?? '', /\none\n$/);
  const other = site();
  sendmail(other.directory, ['-i', '-f', 'a', 'b'], text);
  assert.match(other.drops()[0] ?? '', /\none\n\.\ntwo\n$/);
});

test('a large message comes whole through a pipe', () => {
  const { directory, drops } = site();
  const body = 'x'.repeat(70).concat('\n').repeat(20_000);
  assert.equal(sendmail(directory, ['-f', 'a', 'b'], `Subject: x\n\n${body}`).status, 0);
  assert.ok(drops()[0]?.endsWith(body));
});

const REFUSED: readonly [
  what: string,
  lines: string,
  argv: readonly string[],
  status: number,
  text: RegExp,
][] = [
  [
    'no recipient',
    '',
    [],
    64,
    /^sendmail: fatal: \S+\(\d+\): Recipient addresses must be specified on the command line or via the -t option\n$/,
  ],
  [
    '-t without recipients',
    '',
    ['-t'],
    64,
    /^sendmail: fatal: \S+\(\d+\): No recipient addresses found in message header\n$/,
  ],
  [
    'an unknown option',
    '',
    ['-Z'],
    64,
    /^sendmail: invalid option -- 'Z'\nsendmail: fatal: usage: sendmail \[options\]\n$/,
  ],
  [
    'too large',
    'message_size_limit = 5\n',
    ['b'],
    69,
    /^sendmail: fatal: .*message file too big\n$/,
  ],
  ['no maildrop', 'queue_directory = /nonexistent\n', ['b'], 75, /^sendmail: fatal: ENOENT/],
  ['no configuration', '', ['-c', '/nonexistent', 'b'], 78, /^sendmail: fatal: .*main\.cf/],
];
for (const [what, lines, argv, status, text] of REFUSED) {
  test(`${what}: exit ${status}`, () => {
    const { directory, drops } = site(lines);
    const [first, other = ''] = argv;
    const isElsewhere = first === '-c';
    const result = isElsewhere ? sendmail(other, argv.slice(2)) : sendmail(directory, argv);
    assert.equal(result.status, status, result.err);
    assert.match(result.err, text);
    assert.deepEqual(drops(), []);
  });
}

test('a user who is not in authorized_submit_users is refused', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, () => {
  const { directory, drops } = site('authorized_submit_users = !nobody, static:all\n');
  const run = spawnSync(
    'setpriv',
    [
      ...['--reuid=nobody', '--regid=nogroup', '--clear-groups'],
      ...[join(ROOT, 'bin/sendmail'), '-c', directory, 'b@example.org'],
    ],
    { input: 'x\n', encoding: 'utf8' },
  );
  assert.equal(run.status, 77, run.stderr);
  assert.match(run.stderr, /^sendmail: fatal: User nobody\(\d+\) is not allowed to submit mail\n$/);
  assert.deepEqual(drops(), []);
});
