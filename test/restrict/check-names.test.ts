/** What `postern check` says of restriction lists, and that a name without a rule never lets pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unknownRestrictions } from '../../src/restrict/check-names.ts';
import { playSession } from '../smtpd/harness.ts';
import { testConfig } from '../support/config.ts';

const said = (main: Readonly<Record<string, string>>): string[] =>
  unknownRestrictions(testConfig(main)).map((text) => text.replace(/: mail that reaches.*/, ''));

const CASES: readonly (readonly [list: string, expected: string[]])[] = [
  ['permit_mynetworks, check_client_access hash:/x, reject', []],
  ['reject_rbl_client zen.example=127.0.0.2, hash:/bare', []],
  ['warn_if_reject reject_unknown_helo_hostname', []],
  [
    'check_policy_service inet:127.0.0.1:10023, permit',
    ['check_policy_service is not implemented here'],
  ],
  [
    'check_policy_service { inet:h:1, timeout=1s } permit',
    ['check_policy_service is not implemented here'],
  ],
  ['check_helo_mx_access hash:/x', ['check_helo_mx_access is not implemented here']],
  ['sleep 5, permit', ['sleep is not implemented here']],
  ['reject_unverified_sender', ['reject_unverified_sender is not implemented here']],
  ['permit_mynetwork reject', ['permit_mynetwork is no restriction']],
];
for (const [list, expected] of CASES) {
  test(list, () => {
    assert.deepEqual(
      said({ smtpd_client_restrictions: list }),
      expected.map((text) => `smtpd_client_restrictions: ${text}`),
    );
  });
}

for (const [list] of CASES.filter(([, expected]) => expected.length > 0)) {
  test(`mail that reaches it is refused: ${list}`, () =>
    playSession(
      `S: 220 *
         C: HELO c
         S: 250 *
         C: MAIL FROM:<a@b.example>
         S: 250 *
         C: RCPT TO:<user@example.org>
         S: 451 4.3.5 Server configuration error`,
      { main: { smtpd_client_restrictions: list } },
    ));
}
