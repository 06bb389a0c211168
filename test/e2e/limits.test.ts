/**
 * Limits of one client that hold over several worker processes, since qmgr counts: connections,
 * messages and AUTH. And the lists that decide about a client, from main.cf.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Client, play } from '../smtpd/harness.ts';
import { freePorts, type PosternInstance, startPostern, until } from '../support/instance.ts';

const [rated = 0, counted = 0, excepted = 0] = await freePorts(3);
let instance: PosternInstance;
before(async () => {
  instance = await startPostern({
    main: {
      mynetworks: '',
      mydestination: 'example.org',
      local_recipient_maps: '',
      default_worker_limit: '2',
      smtpd_sasl_type: 'postern',
      smtpd_sasl_failure_delay: '0s',
      smtpd_client_event_limit_exceptions: '',
    },
    master: `127.0.0.1:${rated} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_connection_rate_limit=0
  -o smtpd_client_message_rate_limit=4
  -o smtpd_client_auth_rate_limit=4
127.0.0.1:${counted} inet n - n - - smtpd
  -o smtpd_client_connection_count_limit=4
127.0.0.1:${excepted} inet n - n - - smtpd
  -o smtpd_client_connection_count_limit=1
  -o smtpd_client_event_limit_exceptions=127.0.0.0/8
  -o smtpd_authorized_xclient_hosts=127.0.0.1
qmgr unix n - n 300 1 qmgr
`,
    files: { passwd: 'user@example.org:{PLAIN}secret\n' },
  });
});
after(() => instance.stop());

const open = (port: number): Client => new Client(connect({ port, host: '127.0.0.1' }));
const workers = (): Set<string> =>
  new Set([...instance.log().matchAll(/smtpd\[(\d+)\]: connect from/g)].map(([, pid = '']) => pid));

/** Sessions at the same time, so that both workers have some. */
async function eight(port: number): Promise<{ clients: Client[]; greetings: string[] }> {
  const clients = Array.from({ length: 8 }, () => open(port));
  const greetings = await Promise.all(clients.map((client) => client.reply()));
  return { clients, greetings };
}

const count = (texts: readonly string[], start: RegExp): number =>
  texts.filter((text) => start.test(text)).length;

test('messages and AUTH: four a minute, whichever worker has the session', async () => {
  const { clients } = await eight(rated);
  await Promise.all(clients.map((client) => client.say('EHLO c')));
  const auths = await Promise.all(clients.map((c) => c.say('AUTH PLAIN AHVzZXIAd3Jvbmc=')));
  assert.equal(count(auths, /^535 5\.7\.8/), 4);
  assert.equal(count(auths, /^450 4\.7\.1 Error: too many AUTH commands from 127\.0\.0\.1$/), 4);
  const mails = await Promise.all(clients.map((client) => client.say('MAIL FROM:<a@b.example>')));
  assert.equal(count(mails, /^250/), 4);
  assert.equal(count(mails, /^450 4\.7\.1 Error: too much mail from 127\.0\.0\.1$/), 4);
  for (const client of clients) client.socket.destroy();
  await until('the warnings are logged', () => /too much|Message delivery/.test(instance.log()));
  assert.match(
    instance.log(),
    /warning: AUTH command rate limit exceeded: \d from \S+\[127\.0\.0\.1\] for service/,
  );
  assert.match(
    instance.log(),
    /warning: Message delivery request rate limit exceeded: 8 from \S+\[127\.0\.0\.1\]/,
  );
});

test('connections: four at once, and a place that becomes free can be had', async () => {
  const { clients, greetings } = await eight(counted);
  assert.equal(count(greetings, /^220/), 4);
  assert.equal(count(greetings, /^421 4\.7\.0 mail\.example\.org Error: too many connections/), 4);
  for (const client of clients) client.socket.destroy();
  await until('there is room again', async () => {
    const client = open(counted);
    const greeting = await client.reply();
    client.socket.destroy();
    return greeting.startsWith('220');
  });
  await until('both workers had sessions', () => workers().size > 1);
});

test('a client in smtpd_client_event_limit_exceptions has no such limits', async () => {
  const { clients, greetings } = await eight(excepted);
  assert.equal(count(greetings, /^220/), 8);
  for (const client of clients) client.socket.destroy();
});

test('smtpd_authorized_xclient_hosts of main.cf: here and not there', async () => {
  await play(open(excepted), 'S: 220 *\nC: XCLIENT ADDR=192.0.2.1 NAME=n.example\nS: 220 *');
  await play(
    open(rated),
    'S: 220 *\nC: XCLIENT ADDR=192.0.2.1\nS: 550 5.7.0 Error: insufficient authorization',
  );
});
