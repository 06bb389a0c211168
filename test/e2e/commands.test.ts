/** The queue commands beside a running server, and beside one that is down, as several users. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  makeDirectory,
  type Output,
  type PosternInstance,
  ROOT,
  removeDirectory,
  runProgram,
  startPostern,
  until,
} from '../support/instance.ts';
import { needsRoot } from '../support/programs.ts';

const skip = needsRoot();
let instance: PosternInstance;
let boxes: string;

before(async () => {
  if (skip.skip) return;
  boxes = makeDirectory('postern-commands-');
  mkdirSync(join(boxes, 'in'));
  chmodSync(join(boxes, 'in'), 0o1777);
  instance = await startPostern({
    main: {
      mydestination: 'mail.example.org',
      local_recipient_maps: '',
      alias_maps: 'texthash:$config_directory/aliases',
      alias_database: '',
      transport_maps: 'inline:{{later.example = retry:4.1.2 busy}}',
      minimal_backoff_time: '300s',
      authorized_mailq_users: '!games, static:all',
      authorized_flush_users: '!games, static:all',
    },
    master: 'qmgr unix n - n 300 1 qmgr\nlocal unix - n n - - local\nretry unix - - n - - error\n',
    files: { aliases: `archive ${boxes}/in/archive\nboss ${boxes}/in/boss\n` },
  });
});
after(async () => {
  if (skip.skip) return;
  await instance.stop();
  removeDirectory(boxes);
});

/** A command of bin/ as an ordinary account. */
const as = (user: string, name: string, argv: readonly string[], input = ''): Promise<Output> =>
  runProgram(
    'setpriv',
    [
      ...[`--reuid=${user}`, '--regid=nogroup', '--clear-groups'],
      ...[join(ROOT, 'bin', name), '-c', instance.configDirectory, ...argv],
    ],
    { input },
  );
const box = (name: string): string =>
  existsSync(join(boxes, 'in', name)) ? readFileSync(join(boxes, 'in', name), 'utf8') : '';

test('an ordinary user submits, sees the queue, and asks for an attempt', skip, async () => {
  const argv = ['-f', 'boss@mail.example.org', '-F', 'The Boss'];
  for (const to of ['a@later.example', 'b@later.example', 'archive@mail.example.org']) {
    const run = await as('daemon', 'sendmail', [...argv, to], 'Subject: hello\n\nhi\n');
    assert.deepEqual([run.code, run.stderr], [0, '']);
  }
  await until('delivered', () => box('archive').includes('Subject: hello\n'));
  assert.match(box('archive'), /^From: The Boss <boss@mail\.example\.org>$/m);
  await until('deferred', () => instance.log().split('status=deferred (busy)').length === 3);
  const table = await as('daemon', 'mailq', []);
  assert.equal(table.code, 0, table.stderr);
  assert.match(
    table.stdout,
    /^-Queue ID- {8}--Size-- ---Arrival Time---- -Sender\/Recipient-------\n(?:[0-9A-Za-z]+ +\d+ \w{3} \w{3} [ \d]\d [\d:]{8} boss@mail\.example\.org\n +\(busy\)\n {47}[ab]@later\.example\n\n){2}-- \d Kbytes in 2 Requests\.\n$/,
  );
  const json = await as('daemon', 'postqueue', ['-j']);
  const listed = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    listed.map(({ queue_name, recipients }) => `${queue_name} ${recipients[0].address}`).sort(),
    ['deferred a@later.example', 'deferred b@later.example'],
  );
  const id = listed.find(({ recipients }) => recipients[0].address === 'a@later.example')?.queue_id;
  const attempts = () => instance.log().split(`${id}: to=<a@later.example>`).length - 1;
  assert.equal(attempts(), 1);
  assert.equal((await as('daemon', 'postqueue', ['-i', id])).code, 0);
  await until('tried again', () => attempts() === 2);
  assert.equal((await as('daemon', 'postqueue', ['-s', 'later.example'])).code, 0);
  await until('and again', () => attempts() === 3);
  assert.equal((await as('daemon', 'sendmail', ['-q'])).code, 0);
  await until('and again', () => attempts() === 4);
});

test('a user who may not look or flush is told so by name', skip, async () => {
  const list = await as('games', 'mailq', []);
  assert.equal(list.code, 77);
  assert.match(
    list.stderr,
    /^postqueue: fatal: User games\(\d+\) is not allowed to view the mail queue\n$/,
  );
  assert.equal(list.stdout, '');
  const flush = await as('games', 'postqueue', ['-f']);
  assert.equal(flush.code, 77);
  assert.match(flush.stderr, /User games\(\d+\) is not allowed to flush the mail queue/);
});

test('nobody but root and the mail owner reads or changes the queue itself', skip, async () => {
  for (const [name, ...argv] of [
    ['postsuper', '-d', 'ALL'],
    ['postcat', '-q', 'ABCDEF1'],
  ] as const) {
    const run = await as('daemon', name, argv);
    assert.equal(run.code, 1);
    assert.match(run.stderr, /reserved for the superuser/);
  }
});

test('postsuper -e returns a message at once, with the reason', skip, async () => {
  const json = await instance.command('postqueue', ['-j']);
  const [first] = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const expired = await instance.command('postsuper', ['-e', first.queue_id]);
  assert.match(expired.stderr, /Force-expired: 1 message\n$/);
  await until('returned', () => box('boss').includes('Undelivered Mail Returned to Sender'));
  assert.match(instance.log(), /status=force-expired, returned to sender/);
  assert.match(box('boss'), /message is administratively expired/);
});

test(
  'while the server is down root reads the disk, others hear that it is down',
  skip,
  async () => {
    await instance.postern('stop');
    const root = await instance.command('mailq', []);
    assert.match(
      root.stderr,
      /^postqueue: warning: Mail system is down -- accessing queue directly/,
    );
    assert.match(root.stdout, /in 1 Request\.\n$/);
    const other = await as('daemon', 'mailq', []);
    assert.equal(other.code, 69);
    assert.equal(
      other.stderr,
      'postqueue: fatal: Queue report unavailable - mail system is down\n',
    );
    const flush = await as('daemon', 'postqueue', ['-f']);
    assert.equal(flush.code, 69);
    assert.match(flush.stderr, /Cannot flush mail queue - mail system is down/);
    const sent = await as('daemon', 'sendmail', ['archive@mail.example.org'], 'Subject: late\n\n');
    assert.equal(sent.code, 0, sent.stderr);
    await instance.postern('start');
    await until('sent later', () => box('archive').includes('Subject: late\n'));
  },
);
