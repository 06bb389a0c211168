import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { after, test } from 'node:test';
import { makeBootstrap } from '../../src/tls/bootstrap.ts';
import { testCertificate } from '../support/certs.ts';
import { needs } from '../support/programs.ts';

const made = await testCertificate();
after(() => rmSync(made.directory, { recursive: true }));
const DAY_MS = 24 * 3600 * 1000;
const request = {
  directory: made.directory,
  names: ['localhost', 'mail.example.org'],
  addresses: ['127.0.0.1', '::1'],
  nowMs: Date.now(),
};

test(
  'openssl verifies the certificate, strictly, for each name and address',
  needs('openssl'),
  () => {
    for (const subject of [
      ['-verify_hostname', 'mail.example.org'],
      ['-verify_ip', '::1'],
      ['-verify_ip', '127.0.0.1'],
    ]) {
      const words = [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-CAfile',
        made.caFile,
        ...subject,
        made.certFile,
      ];
      assert.match(execFileSync('openssl', words, { encoding: 'utf8' }), /: OK/);
    }
  },
);

test('keys are readable by their owner only', () => {
  for (const name of ['server.key', 'ca.key']) {
    assert.equal(statSync(`${made.directory}/${name}`).mode & 0o777, 0o600);
  }
});

test('a second call uses everything again', async () => {
  const before = readFileSync(made.certFile, 'utf8');
  const again = await makeBootstrap(request);
  assert.equal(again.ok && again.value.isNew, false);
  assert.equal(readFileSync(made.certFile, 'utf8'), before);
});

test('another name, or the last month, makes a new server certificate of the same authority', async () => {
  const authority = readFileSync(made.caFile, 'utf8');
  const said: string[] = [];
  const onProgress = (text: string): void => void said.push(text);
  const later = await makeBootstrap({
    ...request,
    nowMs: request.nowMs + 380 * DAY_MS,
    onProgress,
  });
  assert.equal(later.ok && later.value.isNew, true);
  const named = await makeBootstrap({ ...request, names: ['new.example'], onProgress });
  assert.equal(named.ok && named.value.isNew, true);
  assert.deepEqual(said, [
    'making a server certificate for localhost',
    'making a server certificate for new.example',
  ]);
  assert.equal(readFileSync(made.caFile, 'utf8'), authority);
});
