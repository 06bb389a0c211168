/** Traps of smtp-server that other tests do not hold shut. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { serverTlsOptions } from '../../src/tls/server.ts';
import { testCertificate } from '../support/certs.ts';
import { testConfig } from '../support/config.ts';
import { Client, play, startSmtpd } from './harness.ts';

const directory = mkdtempSync(join(tmpdir(), 'postern-traps-'));
after(() => rmSync(directory, { recursive: true }));

test('commands of the library that we do not have: WIZ, SHELL, KILL, XFORWARD, EXPN', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await client.reply();
    await client.say('EHLO c');
    for (const verb of ['WIZ', 'SHELL', 'KILL', 'XFORWARD NAME=a', 'EXPN a']) {
      assert.equal(await client.say(verb), '500 5.5.2 Error: command not recognized', verb);
    }
  } finally {
    await smtpd.close();
  }
});

test('two spellings of a recipient stay two; bytes that are no UTF-8 are refused', async () => {
  const smtpd = await startSmtpd();
  try {
    const client = await smtpd.client();
    await play(
      client,
      `S: 220 *
       C: EHLO c
       S: 250-*
       C: MAIL FROM:<a@b.example>
       S: 250 *
       C: RCPT TO:<user@example.org>
       S: 250 *
       C: RCPT TO:<USER@example.org>
       S: 250 *
       C: RCPT TO:<"a b"@example.org>
       S: 250 *`,
    );
    client.write('RCPT TO:<us\xe9r@example.org>\r\n');
    assert.equal(await client.reply(), '500 5.5.2 Error: bad UTF-8 syntax');
    assert.equal(
      await client.say('RCPT TO:<usér@example.org>'),
      '553 5.6.7 Must declare SMTPUTF8 to send unicode address',
    );
  } finally {
    await smtpd.close();
  }
});

test('a client cannot renegotiate TLS 1.2 in the middle of a session', async () => {
  const certificate = await testCertificate(['localhost'], { directory });
  const main = { smtpd_tls_wrappermode: 'yes', smtpd_tls_security_level: 'may' };
  const ticketKeys = Buffer.alloc(48).toString('base64');
  const tls = serverTlsOptions(testConfig(main), [certificate.keys], ticketKeys, 'smtps');
  assert.ok(tls.ok);
  const smtpd = await startSmtpd({ main, tls: tls.value, parts: { tlsLevel: 'may' } });
  try {
    const socket: TLSSocket = connect({
      port: smtpd.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
    });
    const client = new Client(socket);
    assert.match(await client.reply(), /^220/);
    const renegotiated = await new Promise((resolve) => {
      socket.once('error', () => resolve(false));
      socket.once('close', () => resolve(false));
      socket.renegotiate({ rejectUnauthorized: false }, (error) => resolve(error === null));
    });
    assert.equal(renegotiated, false);
    socket.destroy();
  } finally {
    await smtpd.close();
  }
});
