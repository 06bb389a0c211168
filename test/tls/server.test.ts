import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { after, test } from 'node:test';
import {
  type ConnectionOptions,
  connect,
  createServer,
  type PeerCertificate,
  type TLSSocket,
} from 'node:tls';
import { identityFault, openClientTls, parseClientLevel } from '../../src/tls/client.ts';
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
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const stop = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, stop, port: (server.address() as AddressInfo).port };
}

type Outcome = {
  protocol: string | null;
  alpn: string | false | null;
  reused: boolean;
  session?: Buffer;
};

async function dial(
  port: number,
  options: ConnectionOptions = {},
  onSecure: (socket: TLSSocket) => void = () => undefined,
): Promise<Outcome | string> {
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
      onSecure(socket);
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
  const { stop, port } = await serve({ smtpd_tls_security_level: 'may' });
  const outcome = await dial(port);
  assert.ok(typeof outcome === 'object');
  assert.equal(outcome.protocol, 'TLSv1.3');
  stop();
});

test('TLS 1.1 is refused unless asked for', async () => {
  const old: ConnectionOptions = {
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  };
  const strict = await serve({ smtpd_tls_security_level: 'may' });
  assert.equal(typeof (await dial(strict.port, old)), 'string');
  strict.stop();
  const lenient = await serve({ smtpd_tls_security_level: 'may', smtpd_tls_protocols: '>=TLSv1' });
  const outcome = await dial(lenient.port, old);
  assert.ok(typeof outcome === 'object', String(outcome));
  assert.equal(outcome.protocol, 'TLSv1.1');
  lenient.stop();
});

test('HTTP over ALPN ends the handshake; other offers get their first choice', async () => {
  const { stop, port } = await serve({ smtpd_tls_security_level: 'may' });
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
  stop();
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
  for (const { stop } of [one, two, other]) stop();
});

test('renegotiation is off', async () => {
  const { server, stop, port } = await serve({ smtpd_tls_security_level: 'may' });
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
  stop();
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
  const { stop, port } = await serve({ smtpd_tls_security_level: 'may' });
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
  ] as const;
  for (const [level, target, smtp_tls_CAfile, isAccepted] of cases) {
    const client = openClientTls(testConfig({ smtp_tls_CAfile }), level);
    if (!client.ok) throw new Error(client.error);
    const options = { ca: undefined, servername: undefined, ...client.value.optionsFor(target) };
    let isEnough: boolean | undefined;
    await dial(port, options as ConnectionOptions, (socket) => {
      isEnough = client.value.judge(socket, target).isEnough;
    });
    assert.equal(isEnough, isAccepted, `${level} ${JSON.stringify(target)}`);
  }
  stop();
});

test('levels that are not there are refused by name: they must not become weaker ones', () => {
  for (const level of ['dane', 'dane-only', 'half-dane']) {
    const parsed = parseClientLevel('smtp_tls_security_level', level);
    assert.match(parsed.ok ? '' : parsed.error, /not implemented in this version/);
  }
  const parsed = parseClientLevel('smtp_tls_security_level', 'strong');
  assert.match(
    parsed.ok ? '' : parsed.error,
    /use none, may, encrypt, fingerprint, verify or secure/,
  );
});

test('fingerprint: only a listed certificate passes', () => {
  const certificate = { fingerprint256: 'AA:BB' } as PeerCertificate;
  const target = { nexthop: 'x', host: 'x' };
  const fault = (smtp_tls_fingerprint_cert_match: string) =>
    identityFault(
      testConfig({ smtp_tls_fingerprint_cert_match }),
      'fingerprint',
      target,
      certificate,
    );
  assert.equal(fault('cc:dd, aa:bb'), undefined);
  assert.ok(fault('cc:dd') instanceof Error);
  assert.ok(fault('') instanceof Error);
});
