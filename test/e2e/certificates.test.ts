/**
 * A renewed certificate is served without a restart: handshakes that begin after the files changed
 * get it, sessions that were open go on, and a broken pair changes nothing but the log.
 */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { testCertificate } from '../support/certs.ts';
import { makeDirectory, removeDirectory, until } from '../support/instance.ts';
import { processesOf } from '../support/processes.ts';
import { openSession, type Session } from '../support/session.ts';
import { PASSWORD, type Site, startSite } from '../support/site.ts';

/** Files are looked at every four seconds. */
const HANDED_ON_MS = 15_000;

let site: Site;
const scratch = makeDirectory('postern-renewed-');
before(async () => {
  site = await startSite();
});
after(async () => {
  await site.stop();
  removeDirectory(scratch);
});

const printOf = (socket: TLSSocket): string => socket.getPeerCertificate().fingerprint256;

/** The certificate that a new client of the port sees. */
async function served(port: 'submission' | 'submissions'): Promise<string> {
  if (port === 'submission') {
    const session = await openSession(site.ports.submission);
    await session.expect(220);
    await session.command('EHLO client.example.net', 250);
    await session.command('STARTTLS', 220);
    const print = printOf(await session.upgrade({ rejectUnauthorized: false }));
    await session.quit();
    return print;
  }
  const socket = connectTls({
    port: site.ports.submissions,
    host: '127.0.0.1',
    rejectUnauthorized: false,
  });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const print = printOf(socket);
  socket.destroy();
  return print;
}

async function loggedIn(): Promise<Session> {
  const session = await openSession(site.ports.submission);
  await session.expect(220);
  await session.command('EHLO client.example.net', 250);
  await session.command('STARTTLS', 220);
  await session.upgrade({ rejectUnauthorized: false });
  await session.command('EHLO client.example.net', 250);
  const secret = Buffer.from(`\0staff@example.org\0${PASSWORD}`).toString('base64');
  await session.command(`AUTH PLAIN ${secret}`, 235);
  return session;
}

const smtpds = (): number[] => processesOf(site.instance.masterPid(), 'postern smtpd').sort();

test('a new pair is served within seconds; open sessions live; a broken pair is reported', async () => {
  const own = (name: string): string => join(site.directory, 'certs', name);
  const pids = smtpds();
  assert.ok(pids.length >= 3);
  const before = await served('submissions');
  assert.equal(await served('submission'), before);
  const open = await loggedIn();

  const renewed = await testCertificate(['localhost'], { directory: join(scratch, 'renewed') });
  copyFileSync(renewed.keyFile, own('server.key'));
  copyFileSync(renewed.certFile, own('server.pem'));
  const startMs = Date.now();
  await until(
    'a new certificate on 465',
    async () => (await served('submissions')) !== before,
    HANDED_ON_MS,
  );
  const now = await served('submissions');
  await until('on 587 too', async () => (await served('submission')) === now, HANDED_ON_MS);
  assert.ok(Date.now() - startMs < HANDED_ON_MS);
  assert.deepEqual(smtpds(), pids, 'no process was replaced');
  const answer = await open.send('staff@example.org', 'intern@example.org', 'Subject: x\n\nx\n');
  assert.match(answer, /queued as/);

  const other = await testCertificate(['localhost'], { directory: join(scratch, 'other') });
  copyFileSync(other.certFile, own('server.pem'));
  const complaint = `the key in ${own('server.key')} does not belong to the first certificate in ${own('server.pem')}`;
  await until('a warning', () => site.instance.log().includes(complaint), HANDED_ON_MS);
  assert.ok(site.instance.log().includes('the keys read before stay in use'));
  assert.equal(await served('submissions'), now);
  assert.equal(await served('submission'), now);

  // A reload while the pair is broken takes nothing away either.
  assert.equal((await site.instance.postern('reload')).code, 0);
  await until('new processes', () => smtpds().some((pid) => !pids.includes(pid)));
  await until('the old ones have drained', async () => {
    open.destroy();
    return !smtpds().some((pid) => pids.includes(pid));
  });
  assert.equal(await served('submissions'), now);

  writeFileSync(own('server.key'), 'no key at all');
  await until(
    'the next warning',
    () => site.instance.log().includes(`${own('server.key')}: no PEM key or certificate in it`),
    HANDED_ON_MS,
  );
  copyFileSync(other.keyFile, own('server.key'));
  await until('the mended pair', async () => (await served('submissions')) !== now, HANDED_ON_MS);
  assert.doesNotMatch(site.instance.log(), /panic|fatal/);
});
