/** Contracts with the installed nodemailer, and the parts of the client that take plain values. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { SmtpClient } from '../../src/smtp/client.ts';
import { OVERRIDDEN_MEMBERS } from '../../src/smtp/connection.ts';
import { xtext } from '../../src/smtp/envelope.ts';
import { parseLogin, passwordLookup } from '../../src/smtp/login.ts';
import { parseNextHops } from '../../src/smtp/nexthop.ts';
import { readReplies } from '../../src/smtp/reply-reader.ts';

test('every member we call or override is there in the base class', () => {
  for (const name of OVERRIDDEN_MEMBERS) {
    assert.equal(typeof Reflect.get(SMTPConnection.prototype, name), 'function', name);
  }
  assert.ok(SmtpClient.prototype instanceof SMTPConnection);
});

test('fields we rely on exist in a new base object', () => {
  const base = new SMTPConnection({ host: '127.0.0.1', port: 25, name: 'x' });
  for (const name of [
    '_responseActions',
    '_supportedExtensions',
    '_supportedAuth',
    '_onSocketData',
    '_onSocketError',
    '_onSocketClose',
    '_onSocketEnd',
    '_pendingSend',
    '_closing',
    '_destroyed',
    'allowsAuth',
    'secure',
    'stage',
  ]) {
    assert.notEqual(Reflect.get(base, name), undefined, name);
  }
});

const HOPS: readonly [text: string, expected: unknown][] = [
  ['example.com', ['example.com', 25, false]],
  ['example.com:587', ['example.com', 587, false]],
  ['example.com:submission', ['example.com', 587, false]],
  ['[mail.example.com]', ['mail.example.com', 25, true]],
  ['[192.0.2.1]:2525', ['192.0.2.1', 2525, true]],
  ['[2001:db8::1]:25', ['2001:db8::1', 25, true]],
  ['[IPv6:2001:db8::1]', ['2001:db8::1', 25, true]],
  ['inet:host.example:24', ['host.example', 24, false]],
  ['[]', undefined],
  ['example.com:nowhere', undefined],
  ['example.com:0', undefined],
  ['a:b:c', undefined],
];
for (const [text, expected] of HOPS) {
  test(`next hop ${text}`, () => {
    const [hop] = parseNextHops(text, 25);
    assert.deepEqual(hop?.kind === 'inet' ? [hop.name, hop.port, hop.isHost] : hop, expected);
  });
}

test('a list of next hops, a local socket', () => {
  assert.equal(parseNextHops('a.test, [b.test]:26 c.test', 25).length, 3);
  assert.deepEqual(parseNextHops('unix:private/lmtp', 24), [
    { kind: 'unix', path: 'private/lmtp', text: 'unix:private/lmtp' },
  ]);
});

const REPLIES: readonly [bytes: string, replies: readonly string[], fault?: RegExp][] = [
  ['250 ok\r\n', ['250 ok']],
  ['250 ok\n', ['250 ok']],
  ['250\r\n', ['250']],
  ['250-a\r\n250-b\r\n250 c\r\n354 go\r\n', ['250-a\n250-b\n250 c', '354 go']],
  ['\r\n250 ok\r\n', ['250 ok']],
  ['250 a\u0000b\u001b[2J\r\n', ['250 a?b?[2J']],
  ['250-a\r\n550 b\r\n', [], /changes its code/],
  ['hello\r\n', [], /unexpected reply: hello/],
  ['999 x\r\n', [], /unexpected/],
  [`250 ${'x'.repeat(2_000)}\r\n`, [`250 ${'x'.repeat(508)}`]],
  ['x'.repeat(70_000), [], /too long/],
  ['250-x\r\n'.repeat(10_000), [], /too long/],
];
for (const [bytes, replies, fault] of REPLIES) {
  test(`replies in ${JSON.stringify(bytes.slice(0, 40))}, whole and byte by byte`, () => {
    for (const size of [bytes.length, 1]) {
      if (size === 1 && bytes.length > 5_000) continue;
      const seen: string[] = [];
      const faults: string[] = [];
      const reader = readReplies(
        (reply) => seen.push(reply),
        (text) => faults.push(text),
      );
      for (let at = 0; at < bytes.length && faults.length === 0; at += size) {
        reader.take(Buffer.from(bytes.slice(at, at + size), 'latin1'));
      }
      assert.deepEqual(seen, replies);
      if (fault) assert.match(faults[0] ?? '', fault);
      else assert.deepEqual(faults, []);
    }
  });
}

test('small values', () => {
  assert.equal(xtext('a+b=c d'), 'a+2Bb+3Dc+20d');
  assert.deepEqual(parseLogin('u:p:q'), { user: 'u', pass: 'p:q' });
});

test('the login of a host goes before that of the next hop', async () => {
  const asked: string[] = [];
  const find = async (key: string) => {
    asked.push(key);
    return key === '[mx.test]:587'
      ? ({ kind: 'found', value: 'user:pass' } as const)
      : ({ kind: 'absent' } as const);
  };
  const lookup = passwordLookup({ find } as never);
  assert.deepEqual(await lookup('[mx.test]:587', 'mx.test'), {
    ok: true,
    value: { user: 'user', pass: 'pass' },
  });
  assert.deepEqual(asked, ['mx.test', '[mx.test]:587']);
});
