import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readKeys } from '../../src/tls/keystore.ts';
import { parseProtocols, serverLevel } from '../../src/tls/level.ts';
import { testCertificate } from '../support/certs.ts';
import { testConfig } from '../support/config.ts';
import { needs } from '../support/programs.ts';

const made = await testCertificate();
const other = await testCertificate(['other.example']);
const directory = mkdtempSync(join(tmpdir(), 'postern-keys-'));
after(() => {
  for (const path of [made.directory, other.directory, directory])
    rmSync(path, { recursive: true });
});
const write = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text);
  return join(directory, name);
};
const [leaf = '', ca = ''] = made.keys.certPem.split(/(?<=-----END CERTIFICATE-----\n)/);
const both = write('both.pem', made.keys.keyPem + made.keys.certPem);
const bag = write(
  'bag.pem',
  made.keys.keyPem + made.keys.certPem + other.keys.keyPem + other.keys.certPem,
);
const wrongOrder = write(
  'order.pem',
  made.keys.keyPem + leaf + readFileSync(other.caFile, 'utf8') + ca,
);
const damaged = write(
  'damaged.pem',
  made.keys.certPem.replace(/[A-Za-z]{20}/, 'AAAAAAAAAAAAAAAAAAAA'),
);

const read = (settings: Record<string, string>, nowMs?: number) => {
  const keys = readKeys(testConfig(settings, directory), nowMs);
  return keys.ok ? keys.value.length : keys.error;
};
const chain = (...files: string[]) => ({ smtpd_tls_chain_files: files.join(', ') });

test('what can be read: nothing configured, one file, two files, several pairs, relative names', () => {
  assert.equal(read({}), 0);
  assert.equal(read(chain(both)), 1);
  assert.equal(read(chain('both.pem')), 1);
  assert.equal(read(chain(made.keyFile, made.certFile)), 1);
  assert.equal(read(chain(bag)), 2);
  assert.equal(read({ smtpd_tls_cert_file: both }), 1);
  assert.equal(read({ smtpd_tls_cert_file: made.certFile, smtpd_tls_key_file: made.keyFile }), 1);
});

test('faults name the parameter, the file and the remedy', () => {
  const year = 400 * 24 * 3600 * 1000;
  const cases: readonly (readonly [got: unknown, expected: RegExp])[] = [
    [read(chain('/nowhere/x')), /^smtpd_tls_chain_files: cannot read \/nowhere\/x: ENOENT/],
    [read({ smtpd_tls_cert_file: '/nowhere/x' }), /^smtpd_tls_cert_file: cannot read/],
    [read(chain(write('empty', ''))), /empty: no PEM key or certificate in it/],
    [read(chain(made.certFile)), /no private key in .*; name the key file first/],
    [read(chain(made.keyFile)), /no certificate in/],
    [
      read(chain(other.keyFile, made.certFile)),
      /the key in .* does not belong to the first certificate in/,
    ],
    [
      read(chain(wrongOrder)),
      /order.pem: certificate 2 of the chain did not issue the one before it; put/,
    ],
    [read(chain(made.keyFile, damaged)), /damaged certificate|does not belong|did not issue/],
    [read(chain(both), Date.now() + year), /both.pem: expired on 20\d\d-\d\d-\d\d; renew/],
    [read(chain(both), Date.now() - year), /not valid before .*; check the clock/],
  ];
  for (const [got, expected] of cases) assert.match(String(got), expected);
});

test('a key with a passphrase is refused with the remedy', needs('openssl'), () => {
  const locked = join(directory, 'locked.key');
  execFileSync('openssl', [
    'pkey',
    '-in',
    made.keyFile,
    '-aes256',
    '-passout',
    'pass:x',
    '-out',
    locked,
  ]);
  assert.match(String(read(chain(locked, made.certFile))), /has a passphrase; store it without/);
});

test('protocol lists', () => {
  const cases: readonly (readonly [text: string, expected: string])[] = [
    ['', 'TLSv1 TLSv1.3'],
    ['>=TLSv1.2', 'TLSv1.2 TLSv1.3'],
    ['>=TLSv1.1 <=TLSv1.2', 'TLSv1.1 TLSv1.2'],
    ['!SSLv2, !SSLv3, !TLSv1', 'TLSv1.1 TLSv1.3'],
    ['TLSv1.3', 'TLSv1.3 TLSv1.3'],
    ['TLSv1.2:TLSv1.3', 'TLSv1.2 TLSv1.3'],
    ['!TLSv1.2', 'TLSv1 TLSv1.3 hole'],
    ['>=TLSv9', 'x = >=TLSv9: unknown protocol TLSv9'],
    ['!TLSv1.3 TLSv1.3', 'x = !TLSv1.3 TLSv1.3: leaves no protocol'],
  ];
  for (const [text, expected] of cases) {
    const range = parseProtocols('x', text);
    const got = range.ok
      ? `${range.value.minVersion} ${range.value.maxVersion}${range.value.secureOptions ? ' hole' : ''}`
      : range.error;
    assert.equal(got, expected);
  }
});

test('server levels, the obsolete parameters included', () => {
  const level = (settings: Record<string, string>) => {
    const found = serverLevel(testConfig(settings));
    return found.ok ? found.value : found.error;
  };
  assert.equal(level({}), 'none');
  assert.equal(level({ smtpd_use_tls: 'yes' }), 'may');
  assert.equal(level({ smtpd_enforce_tls: 'yes' }), 'encrypt');
  assert.equal(level({ smtpd_tls_security_level: 'May', smtpd_enforce_tls: 'yes' }), 'may');
  assert.match(level({ smtpd_tls_security_level: 'secure' }), /use none, may or encrypt/);
});
