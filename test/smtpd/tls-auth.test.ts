/** STARTTLS, implicit TLS and AUTH, with the traps of both closed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { AuthClient } from '../../src/auth/client.ts';
import type { SmtpdParts } from '../../src/smtpd/parts.ts';
import { makeBootstrap } from '../../src/tls/bootstrap.ts';
import { readPairs } from '../../src/tls/keystore.ts';
import { type ServerTlsOptions, serverTlsOptions } from '../../src/tls/server.ts';
import { testConfig } from '../support/config.ts';
import { Client, type HarnessOptions, play, startSmtpd } from './harness.ts';

const directory = mkdtempSync(join(tmpdir(), 'postern-tls-'));
after(() => rmSync(directory, { recursive: true }));
const made = await makeBootstrap({
  directory,
  names: ['mail.example.org', 'localhost'],
  addresses: ['127.0.0.1'],
  nowMs: Date.now(),
});
if (!made.ok) throw new Error(made.error);
const pairs = readPairs([join(directory, 'server.key'), join(directory, 'server.pem')], Date.now());
if (!pairs.ok) throw new Error(pairs.error);

function tlsOf(main: Readonly<Record<string, string>>): ServerTlsOptions {
  const keys = pairs.ok ? pairs.value : [];
  const options = serverTlsOptions(
    testConfig(main),
    keys,
    Buffer.alloc(48).toString('base64'),
    'smtp',
  );
  if (!options.ok) throw new Error(options.error);
  return options.value;
}

const asked: string[] = [];
const auth: Pick<AuthClient, 'verify'> = {
  verify: async (username, secret) => {
    asked.push(`${username}:${secret}`);
    if (username === 'slow') return { kind: 'unavailable' };
    if (secret !== 'secret') return { kind: 'rejected' };
    return { kind: 'accepted', username: `${username}@example.org`, groups: ['staff'] };
  },
};

const plain = (user: string, password: string): string =>
  Buffer.from(`\0${user}\0${password}`).toString('base64');

function submission(
  main: Readonly<Record<string, string>> = {},
  parts: Partial<SmtpdParts> = {},
): HarnessOptions {
  const all = {
    smtpd_tls_security_level: 'may',
    smtpd_tls_auth_only: 'yes',
    smtpd_sasl_auth_enable: 'yes',
    smtpd_tls_loglevel: '1',
    ...main,
  };
  return { main: all, tls: tlsOf(all), parts: { auth, tlsLevel: 'may', ...parts } };
}

test('AUTH is offered and taken under TLS only', async () => {
  const smtpd = await startSmtpd(submission());
  try {
    const client = await smtpd.client();
    await client.reply();
    const clear = await client.say('EHLO c');
    assert.match(clear, /STARTTLS/);
    assert.doesNotMatch(clear, /AUTH/);
    assert.equal(
      await client.say(`AUTH PLAIN ${plain('u', 'secret')}`),
      '504 5.5.4 Encryption required for requested authentication mechanism',
    );
    assert.deepEqual(asked, []);
    assert.equal(await client.say('STARTTLS x'), '501 5.5.4 Syntax: STARTTLS');
    assert.equal(await client.say('STARTTLS'), '220 2.0.0 Ready to start TLS');
    await client.startTls();
    assert.equal(await client.say('MAIL FROM:<a@b.example>'), '250 2.1.0 Ok');
    assert.equal(await client.say('AUTH PLAIN'), '503 5.5.1 Error: MAIL transaction in progress');
    await client.say('RSET');
    const secure = await client.say('EHLO c');
    assert.match(secure, /AUTH PLAIN LOGIN/);
    assert.doesNotMatch(secure, /STARTTLS/);
    assert.equal(await client.say('STARTTLS'), '554 5.5.1 Error: TLS already active');
    await play(
      client,
      `C: AUTH PLAIN ${plain('u', 'wrong')}
       S: 535 5.7.8 Error: authentication failed
       C: AUTH PLAIN ${plain('slow', 'x')}
       S: 454 4.7.0 Temporary authentication failure
       C: AUTH LOGIN
       S: 334 VXNlcm5hbWU6
       C: ${Buffer.from('u').toString('base64')}
       S: 334 UGFzc3dvcmQ6
       C: *
       S: 501 5.7.0 Authentication aborted
       C: AUTH PLAIN
       S: 334
       C: ${plain('u', 'secret')}
       S: 235 2.7.0 Authentication successful
       C: AUTH PLAIN ${plain('u', 'secret')}
       S: 503 5.5.1 Error: already authenticated
       C: MAIL FROM:<a@b.example>
       S: 250 2.1.0 Ok
       C: RCPT TO:<x@remote.example>
       S: 250 2.1.5 Ok
       C: DATA
       S: 354 *
       C: Subject: x
       C:
       C: .
       S: 250 *`.replaceAll('334\n', '334 \n'),
    );
    assert.equal(smtpd.arrived[0]?.origin.protocol, 'ESMTPSA');
    assert.deepEqual(smtpd.arrived[0]?.origin.login, {
      username: 'u@example.org',
      method: 'PLAIN',
    });
    const log = smtpd.log.join('\n');
    assert.match(
      log,
      /client=unknown\[127\.0\.0\.1\], sasl_method=PLAIN, sasl_username=u@example\.org/,
    );
    assert.match(
      log,
      /warning: unknown\[127\.0\.0\.1\]: SASL PLAIN authentication failed: authentication failure, sasl_username=u/,
    );
    assert.match(
      log,
      /Anonymous TLS connection established from unknown\[127\.0\.0\.1\]: TLSv1\.3 with cipher /,
    );
    assert.doesNotMatch(log, /secret|wrong/);
  } finally {
    await smtpd.close();
  }
});

test('nothing from before STARTTLS is known after it', async () => {
  const smtpd = await startSmtpd(submission({ smtpd_helo_required: 'yes' }));
  try {
    const client = await smtpd.client();
    await play(
      client,
      `S: 220 *
       C: EHLO before
       S: 250-*
       C: MAIL FROM:<a@b.example>
       S: 250 *
       C: RCPT TO:<user@example.org>
       S: 250 *
       C: STARTTLS
       S: 220 *`,
    );
    await client.startTls();
    await play(
      client,
      `C: DATA
       S: 503 5.5.1 Error: need RCPT command
       C: MAIL FROM:<a@b.example>
       S: 503 5.5.1 Error: send HELO/EHLO first`,
    );
  } finally {
    await smtpd.close();
  }
});

test('plaintext behind STARTTLS ends the session and never runs', async () => {
  const smtpd = await startSmtpd(submission());
  try {
    const client = await smtpd.client();
    await client.reply();
    await client.say('EHLO c');
    client.write('STARTTLS\r\nMAIL FROM:<evil@x>\r\n');
    assert.match(await client.reply(), /^554 5\.5\.0/);
    assert.equal(await client.reply(), '');
  } finally {
    await smtpd.close();
  }
});

test('encrypt: no mail before STARTTLS', async () => {
  const smtpd = await startSmtpd(submission({}, { tlsLevel: 'encrypt' }));
  try {
    await play(
      await smtpd.client(),
      `S: 220 *
       C: EHLO c
       S: 250-*
       C: MAIL FROM:<a@b.example>
       S: 530 5.7.0 Must issue a STARTTLS command first
       C: NOOP
       S: 250 2.0.0 Ok`,
    );
  } finally {
    await smtpd.close();
  }
});

test('wrapper mode: TLS from the first byte; TLS 1.1 and HTTP are refused', async () => {
  const smtpd = await startSmtpd(submission({ smtpd_tls_wrappermode: 'yes' }));
  try {
    const socket = connectTls({
      port: smtpd.port,
      host: '127.0.0.1',
      ca: readFileSync(join(directory, 'ca.pem')),
      servername: 'mail.example.org',
    });
    const client = new Client(socket);
    await play(client, 'S: 220 *\nC: EHLO c\nS: 250-*\nC: QUIT\nS: 221 *');
    const failure = (options: object) =>
      new Promise<string>((resolve) => {
        const tried = connectTls({
          port: smtpd.port,
          host: '127.0.0.1',
          rejectUnauthorized: false,
          ...options,
        });
        tried.once('secureConnect', () => resolve('connected'));
        tried.once('error', ({ message }) => resolve(message));
      });
    assert.match(
      await failure({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }),
      /version|alert/i,
    );
    assert.notEqual(await failure({ ALPNProtocols: ['http/1.1'] }), 'connected');
  } finally {
    await smtpd.close();
  }
});

test('a broken handshake is logged and harms nobody', async () => {
  const smtpd = await startSmtpd(submission());
  try {
    const raw = new Client(connectTcp(smtpd.port, '127.0.0.1'));
    await play(raw, 'S: 220 *\nC: EHLO c\nS: 250-*\nC: STARTTLS\nS: 220 *');
    raw.write('this is no TLS at all\r\n');
    while (!smtpd.log.some((line) => line.startsWith('SSL_accept error')))
      await new Promise((r) => setTimeout(r, 5));
    const next = await smtpd.client();
    assert.match(await next.reply(), /^220/);
  } finally {
    await smtpd.close();
  }
});

test('new keys hold for the next handshake', async () => {
  const smtpd = await startSmtpd({ ...submission(), tls: tlsOf({}) });
  try {
    smtpd.server.useKeys(tlsOf({}));
    const client = await smtpd.client();
    await play(client, 'S: 220 *\nC: EHLO c\nS: 250-*\nC: STARTTLS\nS: 220 *');
    await client.startTls();
    assert.match(await client.say('EHLO c'), /^250-/);
  } finally {
    await smtpd.close();
  }
});
