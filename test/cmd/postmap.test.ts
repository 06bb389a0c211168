import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { newaliases } from '../../src/cmd/newaliases.ts';
import { postalias } from '../../src/cmd/postalias.ts';
import { postmap } from '../../src/cmd/postmap.ts';
import { type Bench, bench } from '../lookup/tables.ts';

function site(t: TestContext): Bench {
  const context = bench(t);
  context.file(
    'main.cf',
    `myhostname = mail.example.org
data_directory = ${context.dataDirectory}
alias_maps = hash:${context.directory}/aliases
alias_database = hash:${context.directory}/aliases
`,
  );
  return context;
}

type Command = typeof postmap;

async function run(command: Command, argv: readonly string[], context: Bench, input = '') {
  let out = '';
  let error = '';
  const status = await command(argv, {
    stdin: Readable.from([input]),
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      error += text;
    },
    configDirectory: context.directory,
  });
  return { status, out, error };
}

const TEXT = `# a table
user@example.org  one two
lone
"a b"@example.org quoted
User@Example.org  again
long  start
   end
`;

test('postmap FILE says what is wrong with the text', async (t) => {
  const context = site(t);
  const path = context.file('map', TEXT);
  const { status, error } = await run(postmap, [path], context);
  assert.equal(status, 0);
  assert.match(error, /^postmap: warning: .*map, line 3: expected format: key whitespace value$/m);
  assert.match(error, /^postmap: warning: .*map, line 5: duplicate entry: "User@Example.org"$/m);
});

test('postmap -q answers, and its status says whether it found', async (t) => {
  const context = site(t);
  const path = context.file('map', TEXT);
  const ask = async (key: string, input = '') => {
    const { status, out } = await run(postmap, ['-q', key, `hash:${path}`], context, input);
    return `${status} ${out}`;
  };
  assert.equal(await ask('USER@example.org'), '0 one two\n');
  assert.equal(await ask('long'), '0 start   end\n');
  assert.equal(await ask('none'), '1 ');
  assert.equal(await ask('-', 'none\nlong\n'), '0 long\tstart   end\n');
  const failing = await run(postmap, ['-q', 'x', 'fail:y'], context);
  assert.equal(failing.status, 1);
  assert.match(failing.error, /^postmap: fatal: table fail:y: query error/);
});

test('postmap -s lists, unknown options and missing files are fatal', async (t) => {
  const context = site(t);
  const path = context.file('map', 'a 1\nb 2\n');
  assert.equal((await run(postmap, ['-s', path], context)).out, 'a\t1\nb\t2\n');
  for (const argv of [[], ['-Z', path], ['-d', 'a', path], ['/no/such'], ['pcre:/no/such']]) {
    const { status, error } = await run(postmap, argv, context);
    assert.equal(status, 1, argv.join(' '));
    assert.match(error, /^postmap: fatal: /);
  }
});

test('postalias and newaliases read aliases(5)', async (t) => {
  const context = site(t);
  const path = context.file('aliases', 'Root: joe\n"a b": x\nbad\n');
  assert.equal((await run(postalias, ['-q', 'a b', path], context)).out, 'x\n');
  const { status, error } = await run(newaliases, [], context);
  assert.equal(status, 0);
  assert.match(error, /^newaliases: warning: .*aliases, line 3: need name:value pair$/m);
});

/** Tables and keys on which Postfix's own postmap and ours must agree. */
const SAME: readonly [type: string, text: string, keys: readonly string[]][] = [
  [
    'texthash',
    TEXT,
    ['user@example.org', 'USER@EXAMPLE.ORG', '"a b"@example.org', 'long', 'lone', 'no'],
  ],
  [
    'cidr',
    '10.0.0.0/8 ten\n!192.0.2.0/24 other\nif 2001:db8::/32\n::/0 six\nendif\n',
    ['10.1.1.1', '192.0.2.1', '198.51.100.1', '2001:db8::1', '2001:db9::1', 'name'],
  ],
  [
    'regexp',
    '/^a(b|c)$/ $1\n/[[:digit:]]{3}/ ddd\n/X/i big\n!/^z/ notz\n/^z(.)?y$/ <$1>\n',
    ['ab', 'AC', 'a123', 'aX', 'ax', 'zy', 'zqy', 'z'],
  ],
  [
    'pcre',
    '/^a(b|c)$/ $1-${1}x-$$\n/^\\d+$/ num\n/^(?!x)q/ q\nif /^if/\n/2$/ two\nendif\n/^(if|n)(a)?/ $1\n',
    ['ab', 'AC', '123', 'q', 'if2', 'if3', 'na', 'zz'],
  ],
];

for (const [type, text, keys] of SAME) {
  const isHere = existsSync('/usr/sbin/postmap') && hasType(type);
  test(`Postfix's postmap agrees on ${type}:`, { skip: !isHere }, async (t) => {
    const context = site(t);
    const path = context.file('map', text);
    for (const key of keys) {
      const theirs = spawnSync('/usr/sbin/postmap', ['-q', key, `${type}:${path}`]);
      const ours = await run(postmap, ['-q', key, `${type}:${path}`], context);
      assert.equal(`${ours.status} ${ours.out}`, `${theirs.status} ${theirs.stdout}`, key);
    }
  });
}

function hasType(type: string): boolean {
  const types = execFileSync('/usr/sbin/postconf', ['-m'], { encoding: 'utf8' });
  return types.split('\n').includes(type);
}
