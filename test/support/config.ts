/** A configuration for tests: defaults of the newest level, and what the test sets. */
import { makeConfig } from '../../src/conf/config.ts';
import type { Config } from '../../src/conf/params.ts';

export function testConfig(
  values: Readonly<Record<string, string>> = {},
  directory?: string,
): Config {
  const raw = new Map(
    Object.entries({
      compatibility_level: '3.11',
      myhostname: 'mail.example.org',
      mynetworks: '127.0.0.0/8',
      ...values,
    }),
  );
  const made = makeConfig(raw, directory);
  if (!made.ok) throw new Error(made.error.map(({ text }) => text).join('\n'));
  return made.value;
}
