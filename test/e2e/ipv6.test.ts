/** Listening on IPv6, by address and by inet_interfaces; how an IPv6 client is written. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { freePort, type PosternInstance, startPostern, until } from '../support/instance.ts';
import { openSession } from '../support/session.ts';

const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === '::1'),
);
const needsIpv6 = hasIpv6 ? {} : { skip: 'this machine has no ::1' };

const accepts = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

const start = (
  service: string,
  main: Readonly<Record<string, string>> = {},
): Promise<PosternInstance> =>
  startPostern({
    main: {
      mynetworks: '127.0.0.0/8 [::1]/128',
      default_transport: 'discard',
      smtpd_peername_lookup: 'no',
      ...main,
    },
    master: `${service} inet n - n - - smtpd\ndiscard unix - - n - - discard\n`,
  });

test(
  '[::1]:port: the client is unknown[::1] in the log and IPv6:::1 in Received:',
  needsIpv6,
  async () => {
    const port = await freePort();
    const instance = await start(`[::1]:${port}`);
    try {
      const session = await openSession(port, '::1');
      await session.expect(220);
      assert.match(await session.command('EHLO [IPv6:::1]', 250), /^250-mail\.example\.org/);
      await session.command('MAIL FROM:<a@example.net>', 250);
      await session.command('RCPT TO:<b@example.com>', 250);
      await session.command('DATA', 354);
      const answer = await session.command('Subject: v6\r\n\r\nx\r\n.', 250);
      const id = /queued as (\S+)/.exec(answer)?.[1] ?? '';
      await session.quit();
      await until('it is delivered', () => instance.log().includes(`${id}: removed`));
      assert.match(instance.log(), /smtpd\[\d+\]: connect from unknown\[::1\]\n/);
      assert.ok(instance.log().includes(`${id}: client=unknown[::1]`));
      assert.match(instance.log(), /disconnect from unknown\[::1\] ehlo=1 mail=1/);
      assert.equal(await accepts('127.0.0.1', port), false, 'and on no IPv4 address');
    } finally {
      await instance.stop();
    }
  },
);

test('the Received: field has the form of RFC 5321 for the address', needsIpv6, async () => {
  const port = await freePort();
  const instance = await start(`[::1]:${port}`, { default_transport: 'smtp', relayhost: '' });
  try {
    const session = await openSession(port, '::1');
    await session.expect(220);
    await session.command('HELO v6.example', 250);
    await session.command('MAIL FROM:<a@example.net>', 250);
    await session.command('RCPT TO:<b@[192.0.2.1]>', 250);
    await session.command('DATA', 354);
    const id = /queued as (\S+)/.exec(await session.command('\r\nx\r\n.', 250))?.[1] ?? '';
    const shown = await instance.command('postcat', ['-q', id]);
    assert.match(shown.stdout, /^Received: from v6\.example \(unknown \[IPv6:::1\]\)$/m);
    session.destroy();
  } finally {
    await instance.stop();
  }
});

const CASES: readonly [
  what: string,
  main: Readonly<Record<string, string>>,
  ipv4: boolean,
  ipv6: boolean,
][] = [
  ['inet_interfaces = all', { inet_interfaces: 'all' }, true, true],
  ['loopback-only', { inet_interfaces: 'loopback-only' }, true, true],
  ['both addresses by name', { inet_interfaces: '127.0.0.1, [::1]' }, true, true],
  ['inet_protocols = ipv4', { inet_interfaces: 'all', inet_protocols: 'ipv4' }, true, false],
  [
    'inet_protocols = ipv6',
    { inet_interfaces: 'loopback-only', inet_protocols: 'ipv6' },
    false,
    true,
  ],
];

for (const [what, main, ipv4, ipv6] of CASES) {
  test(`${what}: IPv4 ${ipv4 ? 'yes' : 'no'}, IPv6 ${ipv6 ? 'yes' : 'no'}`, needsIpv6, async () => {
    const port = await freePort();
    const instance = await start(String(port), main);
    try {
      assert.equal(await accepts('127.0.0.1', port), ipv4);
      assert.equal(await accepts('::1', port), ipv6);
    } finally {
      await instance.stop();
    }
  });
}
