/**
 * A whole server whose recipients, aliases and routes are in MariaDB, and the database goes away:
 * clients are told to come back, waiting mail waits, nothing bounces; then it comes back.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Client, play } from '../smtpd/harness.ts';
import { freePorts, type PosternInstance, startPostern, until } from '../support/instance.ts';
import { MARIADB, type MariaDb, startMariaDb } from '../support/mariadb.ts';
import { needs } from '../support/programs.ts';
import { type Sink, startSink } from '../support/smtp-sink.ts';

const options = needs(...MARIADB);
const [port = 0] = await freePorts(1);
let server: MariaDb;
let sink: Sink;
/** The next hop puts off what is for late@. */
let isBusy = true;
let instance: PosternInstance;

before(async () => {
  if (options.skip) return;
  [server, sink] = await Promise.all([
    startMariaDb(),
    startSink({
      answer: (stage, line) =>
        stage === 'rcpt' && isBusy && /late@/.test(line) ? '451 4.2.0 busy' : undefined,
    }),
  ]);
  await server.sql(`USE mail; CREATE TABLE maps (kind VARCHAR(10), k VARCHAR(200), v VARCHAR(200));
    INSERT INTO maps VALUES ('box', 'user@boxes.example', 'user/'), ('box', 'other@boxes.example', 'o/'),
      ('alias', 'info@boxes.example', 'user@boxes.example'),
      ('route', 'boxes.example', 'smtp:[127.0.0.1]:${sink.port}'),
      ('route', 'far.example', 'smtp:[127.0.0.1]:${sink.port}');`);
  const map = (kind: string): string => `hosts = 127.0.0.1:${server.port}
user = postfix
password = secret
dbname = mail
query = SELECT v FROM maps WHERE kind = '${kind}' AND k = '%s'
retry_interval = 1
timeout = 5
`;
  instance = await startPostern({
    main: {
      mynetworks: '127.0.0.0/8',
      mydestination: '',
      virtual_mailbox_domains: 'boxes.example',
      virtual_mailbox_maps: 'proxy:mysql:$config_directory/box.cf',
      virtual_alias_maps: 'mysql:$config_directory/alias.cf',
      transport_maps: 'mysql:$config_directory/route.cf',
      minimal_backoff_time: '2s',
      queue_run_delay: '2s',
    },
    master: `127.0.0.1:${port} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
retry unix - - n - - error
`,
    files: { 'box.cf': map('box'), 'alias.cf': map('alias'), 'route.cf': map('route') },
  });
});
after(async () => {
  await instance?.stop();
  await Promise.all([server?.stop(), sink?.close()]);
});

const rcpt = async (address: string): Promise<string> => {
  const client = new Client(connect({ port, host: '127.0.0.1' }));
  await client.reply();
  for (const line of ['EHLO c', 'MAIL FROM:<a@client.example>']) await client.say(line);
  const reply = await client.say(`RCPT TO:<${address}>`);
  client.socket.destroy();
  return reply;
};

async function send(address: string, subject: string): Promise<void> {
  const client = new Client(connect({ port, host: '127.0.0.1' }));
  await client.reply();
  await play(
    client,
    `C: EHLO c
     S: 250*
     C: MAIL FROM:<a@client.example>
     S: 250*
     C: RCPT TO:<${address}>
     S: 250*
     C: DATA
     S: 354*
     C: Subject: ${subject}
     C:
     C: x
     C: .
     S: 250 2.0.0*`,
  );
  client.socket.destroy();
}

test('recipients are what the database says', options, async () => {
  assert.match(await rcpt('user@boxes.example'), /^250 2\.1\.5/);
  assert.match(await rcpt('info@boxes.example'), /^250 2\.1\.5/);
  assert.match(await rcpt('nobody@boxes.example'), /^550 5\.1\.1/);
  assert.match(await rcpt("x' OR '1'='1@boxes.example"), /^5/);
  assert.match(await rcpt('"x\' OR 1=1 -- "@boxes.example'), /^550 5\.1\.1/);
  await send('info@boxes.example', 'first');
  await until('delivered', () => sink.messages.length === 1);
  assert.ok(sink.lines.some((line) => line.startsWith('RCPT TO:<user@boxes.example>')));
});

test(
  'the database is killed: try later, wait, bounce nothing; it comes back',
  options,
  async () => {
    const postmap = await instance.command('postmap', [
      '-q',
      'user@boxes.example',
      `mysql:${instance.configDirectory}/box.cf`,
    ]);
    assert.deepEqual([postmap.code, postmap.stdout], [0, 'user/\n'], postmap.stderr);
    await send('late@far.example', 'second');
    await until('put off', () => /to=<late@far\.example>.*status=deferred/.test(instance.log()));
    await server.kill();
    for (const address of ['user@boxes.example', 'nobody@boxes.example', 'info@boxes.example']) {
      assert.match(await rcpt(address), /^451 4\.3\.0 /, address);
    }
    const failed = await instance.command('postmap', [
      '-q',
      'x',
      `mysql:${instance.configDirectory}/box.cf`,
    ]);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /postmap: fatal: table mysql:.*box\.cf: query error/);
    await until('the log says why', () =>
      /warning: mysql:\S+\.cf: connect to mysql server 127\.0\.0\.1:\d+: .*ECONNREFUSED/.test(
        instance.log(),
      ),
    );
    const tries = (): number => instance.log().match(/to=<late@far.*status=deferred/g)?.length ?? 0;
    const before = tries();
    await until('its route is asked for, in vain', () => tries() > before);
    assert.equal(sink.messages.length, 1);
    isBusy = false;
    await server.start();
    await until('recipients are known again', async () =>
      /^250/.test(await rcpt('user@boxes.example')),
    );
    assert.match(await rcpt('nobody@boxes.example'), /^550 5\.1\.1/);
    await until('what waited is delivered', () => sink.messages.length === 2);
    assert.match(sink.messages[1] ?? '', /^Subject: second/m);
    assert.doesNotMatch(
      instance.log(),
      /status=bounced|sender non-delivery notification|panic|Unhandled/,
    );
  },
);
