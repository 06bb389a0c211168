import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { type ConnectionOptions, connect, createServer, type TLSSocket } from 'node:tls';
import { openClientTls } from '../../src/tls/client.ts';
import { serverContext, serverTlsOptions } from '../../src/tls/server.ts';
import { testCertificate } from '../support/certs.ts';
import { testConfig } from '../support/config.ts';

const made = await testCertificate();
after(() => rmSync(made.directory, { recursive: true }));
const TICKETS = Buffer.alloc(48, 7).toString('base64');

function optionsOf(settings: Record<string, string>, service = 'smtp') {
  const options = serverTlsOptions(testConfig(settings), [made.keys], TICKETS, service);
  if (!options.ok) throw new Error(options.error);
  return options.value;
}

async function serve(settings: Record<string, string>, service = 'smtp') {
  const { ALPNCallback, ...rest } = optionsOf(settings, service);
  // node's types take a mutable list; the callback only reads it.
  const server = createServer({ ...rest, ALPNCallback }, (socket) => {
    socket.on('error', () => undefined);
    socket.end('hello');
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

type Outcome = {
  protocol: string | null;
  alpn: string | false | null;
  reused: boolean;
  session?: Buffer;
};

async function dial(port: number, options: ConnectionOptions = {}): Promise<Outcome | string> {
  return new Promise((resolve) => {
    let session: Buffer | undefined;
    const socket: TLSSocket = connect({
      port,
      host: '127.0.0.1',
      ca: made.caPem,
      servername: 'localhost',
      ...options,
    });
    socket.on('session', (data) => {
      session = data;
    });
    let outcome: Outcome | undefined;
    socket.on('secureConnect', () => {
      outcome = {
        protocol: socket.getProtocol(),
        alpn: socket.alpnProtocol,
        reused: socket.isSessionReused(),
      };
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('data', () => undefined);
    socket.on('close', () =>
      resolve(outcome ? { ...outcome, ...(session ? { session } : {}) } : 'closed'),
    );
  });
}

test('a client that knows the authority connects with TLS 1.3', async () => {
  const { server, port } = await serve({ smtpd_tls_security_level: 'may' });
  const outcome = await dial(port);
  assert.ok(typeof outcome === 'object');
  assert.equal(outcome.protocol, 'TLSv1.3');
  server.close();
});

test('TLS 1.1 is refused unless asked for', async () => {
  const old: ConnectionOptions = {
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  };
  const strict = await serve({ smtpd_tls_security_level: 'may' });
  assert.equal(typeof (await dial(strict.port, old)), 'string');
  strict.server.close();
  const lenient = await serve({ smtpd_tls_security_level: 'may', smtpd_tls_protocols: '>=TLSv1' });
  const outcome = await dial(lenient.port, old);
  assert.ok(typeof outcome === 'object', String(outcome));
  assert.equal(outcome.protocol, 'TLSv1.1');
  lenient.server.close();
});

test('HTTP over ALPN ends the handshake; other offers get their first choice', async () => {
  const { server, port } = await serve({ smtpd_tls_security_level: 'may' });
  assert.match(
    String(await dial(port, { ALPNProtocols: ['h2', 'http/1.1'] })),
    /ALPN|ALERT|ECONNRESET/,
  );
  assert.match(
    String(await dial(port, { ALPNProtocols: ['x', 'http/1.1'] })),
    /ALPN|ALERT|ECONNRESET/,
  );
  const outcome = await dial(port, { ALPNProtocols: ['smtp'] });
  assert.ok(typeof outcome === 'object');
  assert.equal(outcome.alpn, 'smtp');
  server.close();
});

test('a ticket resumes in another process of the service and in no other service', async () => {
  const [one, two, other] = await Promise.all([
    serve({}, 'smtp'),
    serve({}, 'smtp'),
    serve({}, 'smtps'),
  ]);
  const first = await dial(one.port);
  assert.ok(typeof first === 'object' && first.session);
  const same = await dial(two.port, { session: first.session });
  assert.equal(typeof same === 'object' && same.reused, true);
  const foreign = await dial(other.port, { session: first.session });
  assert.equal(typeof foreign === 'object' && foreign.reused, false);
  for (const { server } of [one, two, other]) server.close();
});

test('renegotiation is off', async () => {
  const { server, port } = await serve({ smtpd_tls_security_level: 'may' });
  server.removeAllListeners('secureConnection');
  server.on('secureConnection', (socket) => socket.on('error', () => undefined).resume());
  const refused = await new Promise<boolean>((resolve) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      ca: made.caPem,
      servername: 'localhost',
      maxVersion: 'TLSv1.2',
    });
    socket.on('error', () => resolve(true));
    socket.on('secureConnect', () => {
      socket.renegotiate({}, (error) => {
        resolve(error !== null);
        socket.destroy();
      });
    });
    socket.on('close', () => resolve(true));
  });
  assert.equal(refused, true);
  server.close();
});

test('mandatory TLS takes the mandatory settings; a broken context is an error as a value', () => {
  const may = optionsOf({ smtpd_tls_security_level: 'may' });
  const encrypt = optionsOf({ smtpd_tls_security_level: 'encrypt' });
  const wrapped = optionsOf({ smtpd_tls_wrappermode: 'yes' });
  assert.notEqual(may.ciphers, encrypt.ciphers);
  assert.equal(wrapped.ciphers, encrypt.ciphers);
  assert.equal(serverContext(encrypt).ok, true);
  assert.equal(serverContext({ ...encrypt, cert: ['nonsense'] }).ok, false);
});

test('the client: secure and verify check name and authority, encrypt and may neither', async () => {
  const { server, port } = await serve({ smtpd_tls_security_level: 'may' });
  const host = (nexthop: string, name = nexthop) => ({ nexthop, host: name });
  const cases = [
    ['secure', host('mail.example.org'), made.caFile, true],
    ['secure', host('[mail.example.org]:587'), made.caFile, true],
    ['secure', host('example.org'), made.caFile, true],
    ['secure', host('example.net', 'mail.example.org'), made.caFile, false],
    ['verify', host('example.net', 'mail.example.org'), made.caFile, true],
    ['verify', host('mail.example.org', 'evil.example'), made.caFile, false],
    ['verify', host('mail.example.org'), '', false],
    ['encrypt', host('evil.example'), '', true],
    ['may', host('evil.example'), '', true],
    ['fingerprint', host('evil.example'), '', true],
  ] as const;
  for (const [level, target, smtp_tls_CAfile, isAccepted] of cases) {
    const client = openClientTls(testConfig({ smtp_tls_CAfile }), level);
    if (!client.ok) throw new Error(client.error);
    const outcome = await dial(port, {
      ca: undefined,
      servername: undefined,
      ...client.value.optionsFor(target),
    } as ConnectionOptions);
    assert.equal(
      typeof outcome === 'object',
      isAccepted,
      `${level} ${JSON.stringify(target)}: ${JSON.stringify(outcome)}`,
    );
  }
  server.close();
});
