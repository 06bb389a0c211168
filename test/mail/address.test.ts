import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  externalAddress,
  foldDomain,
  internalAddress,
  isValidDomain,
  literalAddress,
  splitAddress,
  splitExtension,
} from '../../src/mail/address.ts';

const EXTERNAL: readonly [internal: string, external: string][] = [
  ['', ''],
  ['user@example.org', 'user@example.org'],
  ['a b@example.org', '"a b"@example.org'],
  ['a@b@example.org', '"a@b"@example.org'],
  ['a"b\\c@example.org', '"a\\"b\\\\c"@example.org'],
  ['.dot@example.org', '".dot"@example.org'],
  ['dot.@example.org', '"dot."@example.org'],
  ['d..ot@example.org', '"d..ot"@example.org'],
  ['@example.org', '""@example.org'],
  ['jürgen@example.org', 'jürgen@example.org'],
  ['a b', '"a b"'],
];

for (const [internal, external] of EXTERNAL) {
  test(`externalAddress() writes ${JSON.stringify(internal)} as ${external}`, () => {
    assert.equal(externalAddress(internal), external);
    assert.equal(internalAddress(external), internal);
  });
}

test('internalAddress() undoes externalAddress() for any local part', () => {
  fc.assert(
    fc.property(fc.string(), (local) => {
      const address = `${local}@example.org`;
      assert.equal(internalAddress(externalAddress(address)), address);
    }),
  );
});

test('splitAddress() splits at the last @', () => {
  assert.deepEqual(splitAddress('a@b@c'), { local: 'a@b', domain: 'c' });
  assert.deepEqual(splitAddress('a'), { local: 'a', domain: undefined });
  assert.equal(foldDomain('User@EXAMPLE.org'), 'User@example.org');
});

const SPLITS: readonly [local: string, delimiters: string, user: string, extension?: string][] = [
  ['user+ext', '+', 'user', 'ext'],
  ['user-a+b', '+-', 'user', 'a+b'],
  ['user+', '+', 'user', ''],
  ['+ext', '+', '+ext'],
  ['user+ext', '', 'user+ext'],
  ['postmaster', 'm', 'postmaster'],
  ['MAILER-DAEMON', '-', 'MAILER-DAEMON'],
  ['double-bounce', '-', 'double-bounce'],
  ['owner-list', '-', 'owner-list'],
  ['list-request', '-', 'list-request'],
  ['list-other', '-', 'list', 'other'],
  ['owner-list', '+', 'owner-list'],
];

for (const [local, delimiters, user, extension] of SPLITS) {
  test(`splitExtension() splits ${local} at one of "${delimiters}"`, () => {
    const parts = splitExtension(local, delimiters);
    assert.deepEqual([parts.user, parts.extension], [user, extension]);
  });
}

test('domains and literals are told apart', () => {
  const valid = ['example.org', 'a-b.c', 'under_score.x', 'localhost', 'bücher.example'];
  const invalid = ['', 'a..b', '-a.b', 'a-.b', '192.0.2.1', 'a b', 'a,b', `${'x'.repeat(64)}.de`];
  assert.deepEqual(
    valid.filter((domain) => !isValidDomain(domain)),
    [],
  );
  assert.deepEqual(invalid.filter(isValidDomain), []);
  assert.equal(literalAddress('[192.0.2.1]'), '192.0.2.1');
  assert.equal(literalAddress('[IPv6:2001:DB8::1]'), '2001:db8::1');
  assert.equal(literalAddress('[mail.example.org]'), undefined);
});
