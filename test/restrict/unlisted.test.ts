import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unlistedRecipient } from '../../src/restrict/recipient.ts';
import { parts } from '../rewrite/parts.ts';

test('no_unknown_recipient_checks takes recipients that no table knows', async () => {
  const refused = async (receive_override_options: string): Promise<boolean> => {
    const { config, resolver, tables } = parts({
      local_recipient_maps: 'inline:{joe=x}',
      receive_override_options,
    });
    const facts = { recipient: 'nobody@example.org' } as Parameters<typeof unlistedRecipient>[0];
    const { recipientExists } = tables;
    const lookups = { classify: resolver.classify, recipientExists };
    return (await unlistedRecipient(facts, { config, resolver: lookups })) !== undefined;
  };
  assert.equal(await refused(''), true);
  assert.equal(await refused('no_milters'), true);
  assert.equal(await refused('no_address_mappings, no_unknown_recipient_checks'), false);
});
