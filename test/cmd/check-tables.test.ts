import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unsupportedTables } from '../../src/cmd/check-tables.ts';
import { parseMainCf } from '../../src/conf/main-cf.ts';

test('check names tables that no client is here for, with their line', () => {
  const source = `alias_maps = hash:/etc/aliases, nis:mail.aliases
virtual_alias_maps = unionmap:{mongodb:/x, ldap:/y}
relayhost = sdbm.example.org:25
transport_maps = proxy:sdbm:/etc/t
`;
  const found = unsupportedTables('main.cf', parseMainCf('main.cf', source));
  assert.deepEqual(
    found.map((text) => text.split(' tables')[0]),
    [
      'file main.cf: line 1: alias_maps: nis:',
      'file main.cf: line 2: virtual_alias_maps: mongodb:',
      'file main.cf: line 4: transport_maps: sdbm:',
    ],
  );
});
