/** What of PLAIN and LOGIN is offered, by the security options and the filter. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMechanisms } from '../../src/auth/mechanisms.ts';
import { testConfig } from '../support/config.ts';

const CASES: readonly (readonly [Readonly<Record<string, string>>, string[], string, string])[] = [
  [{}, ['PLAIN', 'LOGIN'], 'PLAIN LOGIN', 'PLAIN LOGIN'],
  [{}, ['LOGIN'], 'LOGIN', 'LOGIN'],
  [{ smtpd_sasl_auth_enable: 'no' }, ['PLAIN', 'LOGIN'], '', ''],
  [
    {
      smtpd_sasl_security_options: 'noplaintext, noanonymous',
      smtpd_sasl_tls_security_options: 'noanonymous',
    },
    ['PLAIN', 'LOGIN'],
    '',
    'PLAIN LOGIN',
  ],
  [{ smtpd_sasl_security_options: 'mutual_auth' }, ['PLAIN', 'LOGIN'], '', ''],
];

for (const [main, allowed, clear, encrypted] of CASES) {
  test(`${JSON.stringify(main)}, filter ${allowed}: ${clear || 'none'}`, () => {
    const config = testConfig({ smtpd_sasl_auth_enable: 'yes', ...main });
    const made = openMechanisms(config, (name) => allowed.includes(name));
    assert.ok(made.ok);
    assert.equal([...made.value.clear].join(' '), clear);
    assert.equal([...made.value.encrypted].join(' '), encrypted);
  });
}

test('an option that does not exist is a fault that names those that do', () => {
  const config = testConfig({ smtpd_sasl_security_options: 'noplain' });
  const made = openMechanisms(config, () => true);
  assert.match(made.ok ? '' : made.error, /unknown option noplain; use noplaintext/);
});
