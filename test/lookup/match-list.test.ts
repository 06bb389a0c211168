import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openClientList, openDomainList } from '../../src/lookup/match-list.ts';
import { bench } from './tables.ts';

const DOMAINS: readonly [list: string, matchParents: boolean, name: string, answer: string][] = [
  ['example.org, example.com', false, 'Example.COM', 'yes'],
  ['example.org', false, 'a.example.org', 'no'],
  ['example.org', true, 'a.example.org', 'yes'],
  ['example.org', true, 'notexample.org', 'no'],
  ['.example.org', false, 'a.b.example.org', 'yes'],
  ['.example.org', false, 'example.org', 'no'],
  ['.example.org', true, 'a.example.org', 'no'],
  ['!bad.example.org, .example.org', false, 'bad.example.org', 'no'],
  ['!bad.example.org, .example.org', false, 'good.example.org', 'yes'],
  ['inline:{example.org=x}', false, 'example.org', 'yes'],
  ['inline:{example.org=x}', false, 'a.example.org', 'no'],
  ['inline:{example.org=x}', true, 'a.example.org', 'yes'],
  ['inline:{.example.org=x}', false, 'a.example.org', 'yes'],
  ['pcre:{{/^x/ y}}', false, 'xyz', 'yes'],
  ['fail:x', false, 'example.org', 'error'],
  ['example.org fail:x', false, 'example.org', 'yes'],
  ['example.org unionmap:{fail:x}', false, 'other', 'error'],
  ['', false, 'example.org', 'no'],
];

for (const [list, matchParents, name, answer] of DOMAINS) {
  test(`a domain list "${list}"${matchParents ? ' with parents' : ''} says ${answer} to ${name}`, async (t) => {
    const opened = openDomainList('x', list, { matchParents }, bench(t));
    assert.ok(opened.ok);
    assert.equal((await opened.value.match(name)).kind, answer);
  });
}

const CLIENTS: readonly [list: string, name: string, address: string, answer: string][] = [
  ['127.0.0.0/8 [::1]/128', 'localhost', '127.0.0.1', 'yes'],
  ['127.0.0.0/8 [::1]/128', 'localhost', '::1', 'yes'],
  ['127.0.0.0/8', 'x', '10.0.0.1', 'no'],
  ['192.0.2.1', 'x', '192.0.2.1', 'yes'],
  ['!192.0.2.1 192.0.2.0/24', 'x', '192.0.2.1', 'no'],
  ['!192.0.2.1 192.0.2.0/24', 'x', '192.0.2.2', 'yes'],
  ['[2001:db8::]/32', 'x', '2001:DB8::5', 'yes'],
  ['example.org', 'mail.example.org', '10.0.0.1', 'yes'],
  ['example.org', 'unknown', '10.0.0.1', 'no'],
  ['unknown', 'unknown', '10.0.0.1', 'no'],
  ['cidr:{{10.0.0.0/8 x}}', 'unknown', '10.0.0.1', 'yes'],
  ['fail:x', 'unknown', '10.0.0.1', 'error'],
];

for (const [list, name, address, answer] of CLIENTS) {
  test(`a client list "${list}" says ${answer} to ${name}[${address}]`, async (t) => {
    const opened = openClientList('mynetworks', list, { matchParents: true }, bench(t));
    assert.ok(opened.ok);
    assert.equal((await opened.value.match(name, address)).kind, answer);
  });
}

test('/file holds further patterns; a missing one is a fault', async (t) => {
  const context = bench(t);
  const file = context.file('domains', '# ours\nexample.org\n!x.example.com, .example.com\n');
  const opened = openDomainList('x', file, { matchParents: false }, context);
  assert.ok(opened.ok);
  const says = async (name: string) => (await opened.value.match(name)).kind;
  assert.deepEqual(
    [await says('example.org'), await says('x.example.com'), await says('y.example.com')],
    ['yes', 'no', 'yes'],
  );
  assert.equal(openDomainList('x', '/no/such', { matchParents: false }, context).ok, false);
  assert.equal(openClientList('x', '10.0.0.0/99', { matchParents: false }, context).ok, false);
});
