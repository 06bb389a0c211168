/** An opened resolver and recipient tables for a test's main.cf. */
import { lookupContext } from '../../src/lookup/open.ts';
import { openRecipientTables } from '../../src/rewrite/recipients.ts';
import { openResolver } from '../../src/rewrite/resolve.ts';
import { testConfig } from '../support/config.ts';

const drop = (): void => undefined;
export const SILENT = {
  info: drop,
  warning: drop,
  error: drop,
  fatal: drop,
  panic: drop,
  flush: drop,
};

export const SITE = {
  myorigin: 'example.org',
  mydomain: 'example.org',
  mydestination: 'example.org, localhost',
  inet_interfaces: '192.0.2.1, [2001:db8::1]',
  relay_domains: 'relay.example',
  virtual_alias_domains: 'alias.example',
  virtual_mailbox_domains: 'boxes.example',
  alias_maps: '',
  alias_database: '',
  local_recipient_maps: '',
};

export function parts(values: Readonly<Record<string, string>> = {}) {
  const config = testConfig({ ...SITE, ...values });
  const context = lookupContext(config, SILENT);
  const resolver = openResolver(config, context);
  if (!resolver.ok) throw new Error(resolver.error[0]?.reason);
  const tables = openRecipientTables(config, context, resolver.value);
  if (!tables.ok) throw new Error(tables.error[0]?.reason);
  return { config, context, resolver: resolver.value, tables: tables.value };
}
