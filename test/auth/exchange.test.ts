import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { AuthContext, Move } from '../../src/auth/exchange.ts';
import { beginAuth, resumeAuth, settleAuth } from '../../src/auth/exchange.ts';
import { formatReply } from '../../src/mail/reply.ts';

const SESSION: AuthContext = {
  offered: new Set(['PLAIN', 'LOGIN']),
  encrypted: true,
  tlsOnly: true,
  authenticated: false,
  inTransaction: false,
  responseLimit: 64,
};

const b64 = (text: string) => Buffer.from(text).toString('base64');
const PLAIN = b64('\0alice\0secret');
const ABORTED = '501 5.7.0 Authentication aborted';
const FAILED = '535 5.7.8 Error: authentication failed';
const BUSY = '503 5.5.1 Error: MAIL transaction in progress';
const TOO_LONG = '500 5.5.6 SASL response limit exceeded';
const CLEARTEXT = '504 5.5.4 Encryption required for requested authentication mechanism';

/**
 * Play the client's side of a transcript and return the server's: replies as sent, or what it
 * would ask the auth worker.
 */
function play(client: readonly string[], session: Partial<AuthContext> = {}): string[] {
  const [first = '', ...rest] = client;
  let move: Move = beginAuth(first.split(' ').slice(1), { ...SESSION, ...session });
  const server = [show(move)];
  for (const line of rest) {
    if (move.kind !== 'challenge') throw new Error(`nobody asked for ${line}`);
    move = resumeAuth(move.pending, line, SESSION);
    server.push(show(move));
  }
  return server;
}

function show(move: Move): string {
  if (move.kind !== 'verify') return formatReply(move.reply).trimEnd();
  const { mechanism, username, secret } = move.credentials;
  return `verify ${mechanism} ${username} ${secret.reveal()}`;
}

const TRANSCRIPTS: readonly [what: string, client: string[], server: string[]][] = [
  ['PLAIN at once', [`AUTH PLAIN ${PLAIN}`], ['verify PLAIN alice secret']],
  ['PLAIN after an empty challenge', ['AUTH plain', PLAIN], ['334', 'verify PLAIN alice secret']],
  [
    'LOGIN',
    ['AUTH LOGIN', b64('alice'), b64('secret')],
    ['334 VXNlcm5hbWU6', '334 UGFzc3dvcmQ6', 'verify LOGIN alice secret'],
  ],
  ['LOGIN with the name up front', [`AUTH LOGIN ${b64('alice')}`], ['334 UGFzc3dvcmQ6']],
  ['a client that gives up', ['AUTH LOGIN', '*'], ['334 VXNlcm5hbWU6', ABORTED]],
  ['loose base64', ['AUTH PLAIN AGFs*'], ['501 5.5.2 Error: malformed base64']],
  ['bytes that are not UTF-8', ['AUTH PLAIN /w=='], ['501 5.5.2 Error: response is not UTF-8']],
  ['an empty initial response', ['AUTH PLAIN ='], [FAILED]],
  ['no password', [`AUTH PLAIN ${b64('\0alice\0')}`], [FAILED]],
  ['text after the password', [`AUTH PLAIN ${b64('\0alice\0secret\0')}`], [FAILED]],
  ['another identity', [`AUTH PLAIN ${b64('bob\0alice\0secret')}`], [FAILED]],
  ['a line break in the name', [`AUTH LOGIN ${b64('a\nb')}`], [FAILED]],
  ['an unknown mechanism', ['AUTH GSSAPI'], ['504 5.5.4 Error: invalid authentication mechanism']],
  ['no mechanism', ['AUTH'], ['501 5.5.4 Syntax: AUTH mechanism']],
  ['a long line', ['AUTH PLAIN', 'A'.repeat(68)], ['334', TOO_LONG]],
];

for (const [what, client, server] of TRANSCRIPTS) {
  test(`AUTH: ${what}`, () => assert.deepEqual(play(client), server));
}

const BARRED: readonly [what: string, session: Partial<AuthContext>, reply: string][] = [
  ['not offered', { offered: new Set() }, '503 5.5.1 Error: authentication not enabled'],
  ['within a transaction', { inTransaction: true }, BUSY],
  ['in clear text', { encrypted: false }, CLEARTEXT],
  ['twice', { authenticated: true }, '503 5.5.1 Error: already authenticated'],
];

for (const [what, session, reply] of BARRED) {
  test(`beginAuth() refuses AUTH ${what}`, () => {
    assert.deepEqual(play([`AUTH PLAIN ${PLAIN}`], session), [reply]);
  });
}

test('settleAuth() keeps an outage apart from a wrong password', () => {
  assert.equal(settleAuth('accepted').code, 235);
  assert.equal(settleAuth('rejected').code, 535);
  assert.equal(settleAuth('unavailable').code, 454);
});

test('a password cannot be printed by accident', () => {
  const move = beginAuth(['PLAIN', b64('\0alice\0hunter2')], SESSION);
  assert.equal(show(move), 'verify PLAIN alice hunter2');
  assert.doesNotMatch(inspect(move, { depth: null }) + JSON.stringify(move), /hunter2/);
});

test('every exchange ends within three answers, whatever the client sends', () => {
  const lines = ['', '*', '=', '==', '\0', 'QUIT', PLAIN, b64('alice'), b64('\0'), b64('\0\0\0')];
  const starts = [['PLAIN'], ['LOGIN'], ...lines.map((line) => ['LOGIN', line])];
  for (const start of starts) {
    for (const answers of lines.flatMap((one) => lines.map((two) => [one, two]))) {
      let move = beginAuth(start, SESSION);
      for (const line of answers)
        if (move.kind === 'challenge') move = resumeAuth(move.pending, line, SESSION);
      assert.notEqual(move.kind, 'challenge', `${start} ${answers}`);
    }
  }
});
