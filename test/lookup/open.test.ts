import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTable } from '../../src/lookup/open.ts';
import { accountTable } from '../../src/lookup/types/unix.ts';
import { ask, bench, table } from './tables.ts';

const CASES: readonly [spec: string, key: string, value: string][] = [
  ['static:any thing', 'x', 'any thing'],
  ['static:{ a b }', 'x', 'a b'],
  ['inline:{a=1, {b = x, y}}', 'b', 'x, y'],
  ['inline:{a=1, a=2}', 'A', '2'],
  ['inline:{ {"x y"=quoted} }', '"x y"', 'quoted'],
  ['inline:{ {x y=bare} }', 'x y', '<misconfigured>'],
  ['inline:{STRASSE=ss}', 'straße', 'ss'],
  ['inline:{a=1}', 'c', '<absent>'],
  ['inline:{}', 'c', '<misconfigured>'],
  ['inline:{a}', 'a', '<misconfigured>'],
  ['proxy:inline:{a=1}', 'a', '1'],
  ['{inline:{a=1}}', 'a', '1'],
  ['fail:whatever', 'a', '<retry>'],
  ['unionmap:{inline:{a=1},inline:{a=2,b=3}}', 'a', '1,2'],
  ['unionmap:{inline:{a=1},inline:{a=2,b=3}}', 'b', '3'],
  ['unionmap:{inline:{a=1},fail:x}', 'a', '<retry>'],
  ['pipemap:{inline:{a=b},inline:{b=c}}', 'a', 'c'],
  ['pipemap:{inline:{a=x},inline:{b=c}}', 'a', '<absent>'],
  ['randmap:{one}', 'a', 'one'],
  ['cidr:{{10.0.0.0/8 ten}, {0.0.0.0/0 all}}', '10.1.2.3', 'ten'],
  ['pcre:{{/^(.*)@x$/ $1@y}}', 'U@X', 'U@y'],
  ['regexp:{{/[[:digit:]]+/ number}}', 'a12', 'number'],
  ['unionmap:{inline:{a=1}, regexp:{{/b/ 2}}}', 'b', '2'],
  ['unionmap:{}', 'a', '<misconfigured>'],
  ['unionmap:{a}', 'a', '<misconfigured>'],
  ['randmap:{}', 'a', '<misconfigured>'],
  ['static:{ open', 'a', '<misconfigured>'],
  ['internal:x', 'a', '<absent>'],
  ['environ:x', 'no_such_variable', '<absent>'],
  ['debug:inline:{a=1}', 'a', '1'],
  ['unix:group.byname', 'root', 'root:x:0:'],
  ['unix:nothing', 'root', '<misconfigured>'],
  ['mongodb:x', 'a', '<retry>'],
  ['nis:mail.aliases', 'a', '<retry>'],
  ['nisplus:x', 'a', '<retry>'],
  ['netinfo:x', 'a', '<retry>'],
  ['sdbm:/x', 'a', '<retry>'],
  ['nosuch:x', 'a', '<misconfigured>'],
  ['texthash:/no/such/file', 'a', '<misconfigured>'],
  ['hash:/no/such/file', 'a', '<misconfigured>'],
  ['hash:relative', 'a', '<misconfigured>'],
];

for (const [spec, key, value] of CASES) {
  test(`openTable() ${spec} answers ${key} with ${value}`, async (t) => {
    assert.equal(await ask(table(spec, bench(t)), key), value);
  });
}

test('openTable() takes only type:name', (t) => {
  assert.equal(openTable('hash', bench(t)).ok, false);
  assert.equal(openTable('example.org', bench(t)).ok, false);
  assert.equal(openTable('static:', bench(t)).ok, false);
});

test('openTable() opens a table once, and warns once that it cannot', (t) => {
  const context = bench(t);
  assert.equal(table('hash:/no/such', context), table('proxy:hash:/no/such', context));
  assert.equal(context.warnings.length, 1);
});

test('accountTable() gives whole lines, sees changes, and never takes a fault for absence', async (t) => {
  const context = bench(t);
  const file = context.file('passwd', 'root:x:0:0::/root:/bin/sh\n');
  let nowMs = 0;
  const accounts = accountTable('passwd.byname', file, () => nowMs);
  assert.equal(await ask(accounts, 'root'), 'root:x:0:0::/root:/bin/sh');
  context.file('passwd', 'root:x:0:0::/root:/bin/sh\njoe:x:1:1::/home/joe:/bin/sh\n');
  assert.equal(await ask(accounts, 'joe'), '<absent>');
  nowMs = 2000;
  assert.equal(await ask(accounts, 'joe'), 'joe:x:1:1::/home/joe:/bin/sh');
  assert.equal(
    await ask(
      accountTable('x', '/no/such/file', () => 0),
      'joe',
    ),
    '<retry>',
  );
});
