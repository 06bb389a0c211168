import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { resolveCommand } from '../../src/cmd/resolve.ts';
import { makeDirectory, removeDirectory } from '../support/instance.ts';

const directory = makeDirectory();
after(() => removeDirectory(directory));
mkdirSync(join(directory, 'data'));
const file = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text);
  return join(directory, name);
};
const virtual = file(
  'virtual',
  '# aliases\nlist@example.org a@far.example, b@near.example\nb@near.example  c@near\n',
);
const transport = file(
  'transport',
  '/^nothing/ x:\n/far\\.example$/ slow:[gate]\n/near/ error:no\n',
);
file(
  'main.cf',
  `myhostname = mail.example.org
compatibility_level = 3.6
mydestination = example.org
data_directory = ${directory}/data
virtual_alias_maps = texthash:${virtual}
transport_maps = regexp:${transport}
append_dot_mydomain = yes
relayhost = [hub]
recipient_delimiter = +
`,
);

async function run(...argv: string[]) {
  let stdout = '';
  let stderr = '';
  const code = await resolveCommand(argv, {
    stdin: Readable.from([]),
    stdout: (text) => void (stdout += text),
    stderr: (text) => void (stderr += text),
    configDirectory: directory,
  });
  return { code, stdout, stderr };
}

test('resolve names rule, file, line and row of each step', async () => {
  const { code, stdout } = await run('list+x@example.org', '--sender', 'me');
  const expected = [
    `texthash:${virtual}: list@example.org -> a@far.example, b@near.example (${virtual}, line 2:`,
    `b@near.example -> c@near (${virtual}, line 3:`,
    'routing of a+x@far.example',
    'rule       default_transport (default): smtp',
    `rule       relayhost (${directory}/main.cf, line 8): [hub]`,
    `a+x@far.example -> slow:[gate] (${transport}, line 2: /far\\.example$/ slow:[gate])`,
    'result     slow:[gate] (default class)',
    'routing of c+x@near.example.org',
    'result     error:no (default class)',
  ];
  let at = 0;
  for (const text of expected) {
    const found = stdout.indexOf(text, at);
    assert.ok(found >= 0, `${text}\n in\n${stdout}`);
    at = found;
  }
  assert.equal(code, 1);
});

test('resolve says how an address was rewritten, and what it means', async () => {
  const { code, stdout } = await run('u%far.example');
  assert.match(stdout, /rule +allow_percent_hack \(default\): makes u@far\.example/);
  assert.match(stdout, /result +slow:\[gate\]/);
  assert.equal(code, 0);
  assert.match((await run('u@host')).stdout, /append_dot_mydomain \(.*main\.cf, line 7\): makes/);
  const nested = await run('"u@far.example"@example.org');
  assert.match(nested.stdout, /result +slow:\[gate\] as u@far\.example/);
});

test('resolve tells wrong usage from addresses that go nowhere', async () => {
  assert.equal((await run()).code, 64);
  assert.equal((await run('a', 'b')).code, 64);
  assert.equal((await run('a', '--sender')).code, 64);
  const bad = await run('u@a..example');
  assert.match(bad.stdout, /bounces: bad address syntax/);
  assert.equal(bad.code, 1);
});
