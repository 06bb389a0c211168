import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressKeys, mailKeys, nameKeys, parseAction } from '../../src/restrict/access.ts';

const CODES = { reject: 554, defer: 450 };

const ACTIONS: readonly (readonly [string, object])[] = [
  ['OK', { kind: 'ok' }],
  ['ok but said so', { kind: 'ok' }],
  ['RELAY', { kind: 'ok' }],
  ['1234567', { kind: 'ok' }],
  ['DUNNO', { kind: 'dunno' }],
  ['REJECT', { kind: 'refuse', code: 554, status: '5.7.1', text: '' }],
  ['REJECT 5.1.8 bad sender', { kind: 'refuse', code: 554, status: '5.1.8', text: 'bad sender' }],
  ['DEFER 5.1.8 later', { kind: 'refuse', code: 450, status: '4.1.8', text: 'later' }],
  ['550 No such user', { kind: 'refuse', code: 550, status: '5.7.1', text: 'No such user' }],
  ['521', { kind: 'refuse', code: 521, status: '5.7.1', text: '' }],
  ['DEFER_IF_PERMIT x', { kind: 'defer_if_permit', status: '4.7.1', text: 'x' }],
  ['PREPEND X-A: b', { kind: 'effect', effect: { kind: 'prepend', header: 'X-A: b' } }],
  ['FILTER smtp:[x]', { kind: 'effect', effect: { kind: 'filter', destination: 'smtp:[x]' } }],
  ['permit_mynetworks, reject', { kind: 'list', words: ['permit_mynetworks', 'reject'] }],
];

for (const [value, action] of ACTIONS) {
  test(`"${value}" is ${JSON.stringify(action)}`, () => {
    assert.deepEqual(parseAction(value, CODES), action);
  });
}

test('bad arguments are told', () => {
  for (const value of ['PREPEND x', 'FILTER x', 'REDIRECT x', 'BCC']) {
    assert.equal(parseAction(value, CODES).kind, 'bad', value);
  }
});

test('keys in the order of access(5)', () => {
  assert.deepEqual(nameKeys('a.b.c', true), ['a.b.c', 'b.c', 'c']);
  assert.deepEqual(nameKeys('a.b.c', false), ['a.b.c', '.b.c', '.c']);
  assert.deepEqual(addressKeys('1.2.3.4'), ['1.2.3.4', '1.2.3', '1.2', '1']);
  assert.deepEqual(addressKeys('2001:db8::1'), ['2001:db8::1', '2001:db8', '2001']);
  assert.deepEqual(mailKeys('u+x@a.b', '+', true), ['u+x@a.b', 'u@a.b', 'a.b', 'b', 'u+x@', 'u@']);
});
