/** No spelling of an address opens the relay, with the real resolver behind the restrictions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lookupContext } from '../../src/lookup/open.ts';
import { parsePathCommand } from '../../src/mail/smtp-grammar.ts';
import type { Session } from '../../src/mail/stages.ts';
import type { RestrictParts } from '../../src/restrict/facts.ts';
import { compileRestrictions } from '../../src/restrict/restrict.ts';
import { openResolver } from '../../src/rewrite/resolve.ts';
import { testConfig } from '../support/config.ts';

const session: Session = {
  peer: {
    address: '192.0.2.9',
    port: 1,
    name: 'unknown',
    reverseName: 'unknown',
    localAddress: '192.0.2.1',
    localPort: 25,
  },
  helo: 'x',
  protocol: 'ESMTP',
};

const config = testConfig({
  mydestination: 'example.org, mail.example.org',
  relay_domains: 'relay.example',
  smtpd_relay_restrictions: 'permit_mynetworks, reject_unauth_destination',
  inet_interfaces: '192.0.2.1',
});
const quiet = () => undefined;
const logger = {
  info: quiet,
  warning: quiet,
  error: quiet,
  fatal: quiet,
  panic: quiet,
  flush: quiet,
};
const resolver = openResolver(config, lookupContext(config, logger));
if (!resolver.ok) throw new Error(JSON.stringify(resolver.error));
const parts: RestrictParts = {
  config,
  resolver: { classify: resolver.value.classify, recipientExists: () => ({ kind: 'yes' }) },
  myNetworks: () => ({ kind: 'no' }),
  ownAddresses: new Set(),
  openMaps: (_parameter, spec) => `no ${spec}`,
  domainExists: () => 'yes',
  addressesOf: () => [],
};
const compiled = compileRestrictions(parts);
if (!compiled.ok) throw new Error(compiled.error);

async function verdict(to: string): Promise<'syntax' | 'refused' | 'taken'> {
  const path = parsePathCommand(`TO:${to}`, 'TO', false);
  if (!path.ok) return 'syntax';
  if (!compiled.ok) throw new Error(compiled.error);
  const facts = {
    session,
    isNameTemporary: false,
    sender: 'a@b.example',
    recipient: path.value.address,
    recipientCount: 0,
  };
  const decided = await compiled.value.atRecipient(facts);
  return decided.refusal ? 'refused' : 'taken';
}

const FOREIGN = [
  '<victim@remote.example>',
  '<victim%remote.example@example.org>',
  '<victim%remote.example@mail.example.org.>',
  '<remote.example!victim@example.org>',
  '<remote.example!victim>',
  '<victim%remote.example>',
  '<"victim@remote.example"@example.org>',
  '<"victim@remote.example">',
  '<"victim%remote.example"@example.org>',
  '<victim@remote.example@example.org>',
  '<@example.org:victim@remote.example>',
  '<@example.org,@mail.example.org:victim@remote.example>',
  '<victim%remote.example%relay.example@example.org>',
  '<victim%remote.example@relay.example>',
  '<"victim@remote.example"@relay.example>',
  '<victim@remote.example.>',
  '<victim@[198.51.100.1]>',
  '<victim%remote.example@[192.0.2.1]>',
  '<"victim\\@remote.example"@example.org>',
  '<victim\\@remote.example@example.org>',
  '<victim@REMOTE.example>',
];

for (const to of FOREIGN) {
  test(`RCPT TO:${to} does not relay`, async () => {
    assert.notEqual(await verdict(to), 'taken');
  });
}

for (const to of [
  '<u@example.org>',
  '<u@EXAMPLE.org.>',
  '<u%example.org@example.org>',
  '<u@[192.0.2.1]>',
  '<u@relay.example>',
  '<u>',
  '<"u"@example.org>',
]) {
  test(`RCPT TO:${to} is ours`, async () => assert.equal(await verdict(to), 'taken'));
}

test('a server without a closing rule does not start', () => {
  for (const list of ['', 'permit_mynetworks', 'permit']) {
    const open = testConfig({ smtpd_relay_restrictions: list, smtpd_recipient_restrictions: list });
    assert.equal(compileRestrictions({ ...parts, config: open }).ok, false, list);
  }
});
