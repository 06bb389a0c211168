/**
 * The members of smtp-server that we override or call: present, with the arity we know, and really
 * ours at run time. A new version of the package that moves one of them fails here first.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PosternConnection } from '../../src/smtpd/connection.ts';
import {
  SMTPConnection,
  SMTPServer,
  SMTPStream,
  TLS_SOCKET_OPTIONS,
} from '../../src/smtpd/library.ts';
import { PosternServer } from '../../src/smtpd/server.ts';
import { PosternStream } from '../../src/smtpd/stream.ts';
import { play, startSmtpd } from './harness.ts';

const MEMBERS: readonly (readonly [
  { readonly prototype: object },
  { readonly prototype: object },
  Readonly<Record<string, number>>,
])[] = [
  [SMTPServer, PosternServer, { connect: 2, _handleProxy: 2, _onError: 1, onClose: 2 }],
  [
    SMTPConnection,
    PosternConnection,
    {
      _createParser: 0,
      init: 0,
      connectionReady: 1,
      _sendGreeting: 0,
      _onCommand: 2,
      send: 3,
      upgrade: 2,
      _armTimeout: 0,
      _onError: 1,
      _onClose: 0,
    },
  ],
  [SMTPStream, PosternStream, { _write: 3, _feedDataStream: 2, _flushData: 0 }],
];

for (const [base, own, members] of MEMBERS) {
  for (const [name, arity] of Object.entries(members)) {
    test(`${name} is where it was, and overridden`, () => {
      const theirs: unknown = Reflect.get(base.prototype, name);
      assert.equal(typeof theirs, 'function');
      assert.equal(typeof theirs === 'function' ? theirs.length : -1, arity);
      assert.ok(Object.hasOwn(own.prototype, name));
    });
  }
}

test('members that are called and not overridden are there', () => {
  for (const name of ['close', '_setListeners', '_onCloseEvent']) {
    assert.equal(typeof Reflect.get(SMTPConnection.prototype, name), 'function', name);
  }
  for (const name of ['updateSecureContext', '_upgrade', '_acceptSocket']) {
    assert.equal(typeof Reflect.get(SMTPServer.prototype, name), 'function', name);
  }
  assert.ok(TLS_SOCKET_OPTIONS.includes('ALPNCallback'));
});

test('a session is ours from the first byte, greeted at once', async () => {
  const smtpd = await startSmtpd();
  try {
    const waits: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const started = performance.now();
      const client = await smtpd.client();
      await play(client, 'S: 220 *');
      waits.push(performance.now() - started);
    }
    assert.ok(Math.min(...waits) < 90, 'no 100 ms wait before the greeting');
    const [session] = smtpd.server.connections;
    assert.ok(session instanceof PosternConnection);
    assert.ok(session._parser instanceof PosternStream);
    assert.equal(session._socket.timeout ?? 0, 0, 'no timer of the library');
  } finally {
    await smtpd.close();
  }
});

test('a silent client is cut with 421 by the ticker', async () => {
  const smtpd = await startSmtpd({ main: { smtpd_timeout: '10s' } });
  try {
    const client = await smtpd.client();
    await client.reply();
    const [session] = smtpd.server.connections;
    assert.ok(session instanceof PosternConnection);
    session.onTick(smtpd.server.tick + 9);
    assert.equal(smtpd.server.connections.size, 1);
    session.onTick(smtpd.server.tick + 12);
    assert.equal(await client.reply(), '421 4.4.2 mail.example.org Error: timeout exceeded');
    assert.match(smtpd.log.join('\n'), /timeout after CONNECT from unknown\[127\.0\.0\.1\]/);
  } finally {
    await smtpd.close();
  }
});
