import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldValue, scanHeader } from '../../src/mail/header.ts';
import { mailDate, pickupReceivedField, receivedField } from '../../src/mail/received.ts';

const PEER = {
  address: '192.0.2.7',
  port: 1,
  name: 'client.example.com',
  reverseName: 'client.example.com',
  localAddress: '192.0.2.1',
  localPort: 25,
};
const AT_MS = Date.UTC(2026, 10, 25, 11, 14, 3);
const DATE = mailDate(AT_MS);
const FACTS = {
  session: { peer: PEER, helo: 'helo.example.com', protocol: 'ESMTP' },
  myhostname: 'mail.example.org',
  mail_name: 'Postern',
  queueId: '4ABC',
  recipient: 'a b@example.org',
  smtputf8: false,
  atMs: AT_MS,
  showsTls: true,
  showsLogin: true,
  hidesClient: false,
} as const;

test('mailDate() writes RFC 5322 dates in local time', () => {
  assert.match(DATE, /^[A-Z][a-z]{2}, 25 Nov 2026 \d\d:14:03 [+-]\d{4}( \([A-Z]+\))?$/);
});

test('receivedField() names the recipient when there is one', () => {
  assert.equal(
    receivedField(FACTS),
    'Received: from helo.example.com (client.example.com [192.0.2.7])\r\n' +
      '\tby mail.example.org (Postern) with ESMTP id 4ABC\r\n' +
      `\tfor <"a b"@example.org>; ${DATE}\r\n`,
  );
});

test('receivedField() names nobody when there are several', () => {
  assert.equal(
    receivedField({ ...FACTS, recipient: undefined }),
    'Received: from helo.example.com (client.example.com [192.0.2.7])\r\n' +
      '\tby mail.example.org (Postern) with ESMTP id 4ABC;\r\n' +
      `\t${DATE}\r\n`,
  );
});

test('receivedField() tells of TLS and login', () => {
  const tls = { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', cipherBits: 256 };
  const login = { username: 'joe\r\nX: y', method: 'PLAIN' };
  const peer = { ...PEER, address: '2001:db8::1', name: 'unknown' };
  assert.equal(
    receivedField({ ...FACTS, smtputf8: true, session: { ...FACTS.session, peer, tls, login } }),
    'Received: from helo.example.com (unknown [IPv6:2001:db8::1])\r\n' +
      '\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n' +
      '\t(No client certificate requested)\r\n' +
      '\t(Authenticated sender: joe??X: y)\r\n' +
      '\tby mail.example.org (Postern) with UTF8SMTPSA id 4ABC\r\n' +
      `\tfor <"a b"@example.org>; ${DATE}\r\n`,
  );
});

test('pickupReceivedField() names the user id', () => {
  const { myhostname, mail_name, queueId } = FACTS;
  assert.equal(
    pickupReceivedField({ myhostname, mail_name, queueId, uid: 1000, atMs: AT_MS }),
    `Received: by mail.example.org (Postern, from userid 1000)\r\n\tid 4ABC; ${DATE}\r\n`,
  );
});

const HEADERS: readonly [what: string, text: string, names: string, isBlankMissing: boolean][] = [
  ['fields', 'A: 1\r\nB : 2\r\n\r\nbody', 'a b', false],
  ['continuations', 'A: 1\r\n 2\r\n\t3\r\nB:4\r\n\r\n', 'a b', false],
  ['an empty header', '\r\nbody\r\n', '', false],
  ['a body without a header', 'hello there\r\n', '', true],
  ['a header cut short by text', 'A: 1\r\nno field\r\n', 'a', true],
  ['a leading blank', ' x\r\nA: 1\r\n', '', true],
  ['a header without an end', 'A: 1\r\nB: 2\r\n', 'a b', false],
];

for (const [what, text, names, isBlankMissing] of HEADERS) {
  test(`scanHeader() reads ${what}`, () => {
    const block = scanHeader(text);
    assert.equal(block.fields.map(({ name }) => name).join(' '), names);
    assert.equal(block.isBlankMissing, isBlankMissing);
  });
}

test('fieldValue() unfolds and decodes', () => {
  const text = Buffer.from('Subject: Gr\u00fc\u00dfe\r\n an alle \r\n').toString('latin1');
  const [field] = scanHeader(text).fields;
  assert.equal(field && fieldValue(text, field), 'Gr\u00fc\u00dfe an alle');
});
