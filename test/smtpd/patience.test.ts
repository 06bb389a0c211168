/** Errors, junk and time of one client, with the clock as a number. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Patience } from '../../src/smtpd/patience.ts';
import { testConfig } from '../support/config.ts';

const made = (main: Readonly<Record<string, string>>): Patience =>
  new Patience(testConfig(main), 0);

test('a silent client is overdue after smtpd_timeout', () => {
  const patience = made({ smtpd_timeout: '10s' });
  patience.startRequest(100, 0);
  assert.equal(patience.isOverdue(110, 0), false);
  assert.equal(patience.isOverdue(111, 0), true);
});

test('slow-loris: a byte a second does not buy another second', () => {
  const patience = made({ smtpd_timeout: '10s', smtpd_min_data_rate: '500' });
  patience.startRequest(0, 0);
  let tick = 0;
  while (tick < 100 && !patience.isOverdue(tick, tick)) {
    patience.noteInput(tick);
    tick += 1;
  }
  assert.equal(tick, 11);
});

test('a client at smtpd_min_data_rate may go on, and cannot save time up', () => {
  const patience = made({ smtpd_timeout: '10s', smtpd_min_data_rate: '500' });
  patience.startRequest(0, 0);
  for (let tick = 1; tick <= 100; tick += 1) {
    assert.equal(patience.isOverdue(tick, tick * 600), false, `tick ${tick}`);
  }
  assert.equal(patience.isOverdue(110, 60_000), false);
  assert.equal(patience.isOverdue(111, 60_000), true);
});

test('without a deadline for the request each read starts the clock again', () => {
  const patience = made({ smtpd_timeout: '10s', smtpd_per_request_deadline: 'no' });
  patience.startRequest(0, 0);
  for (let tick = 0; tick < 50; tick += 9) {
    assert.equal(patience.isOverdue(tick, tick), false);
    patience.noteInput(tick);
  }
  assert.equal(patience.isOverdue(56, 100), true);
});

test('a handshake has its own limit', () => {
  const patience = made({ smtpd_starttls_timeout: '5s' });
  patience.startRequest(10, 0);
  assert.equal(patience.isHandshakeOverdue(15), false);
  assert.equal(patience.isHandshakeOverdue(16), true);
});

test('replies are delayed above the soft limit, for errors only, and a message makes good', () => {
  const patience = made({ smtpd_soft_error_limit: '2', smtpd_hard_error_limit: '4' });
  const delays = [500, 500, 500, 250, 500].map((code) => {
    patience.beginCommand();
    patience.noteReply(code);
    return patience.delayMs;
  });
  assert.deepEqual(delays, [0, 0, 1000, 0, 1000]);
  assert.equal(patience.isExhausted, true);
  patience.forgive();
  assert.equal(patience.isExhausted, false);
});
