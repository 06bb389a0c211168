import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newaliases } from '../../src/cmd/newaliases.ts';
import { postalias } from '../../src/cmd/postalias.ts';
import { postmap } from '../../src/cmd/postmap.ts';
import { findProgram, needs } from '../support/programs.ts';
import { runTool, toolSite } from './map-tools.ts';

const TEXT = `# a table
user@example.org  one two
lone
"a b"@example.org quoted
User@Example.org  again
long  start
   end
alias: x
"open y
`;

test('postmap FILE indexes the table and says what is wrong with the text', async (t) => {
  const site = toolSite(t);
  const path = site.file('map', TEXT);
  const { status, error } = await runTool(postmap, [path], site);
  assert.equal(status, 0);
  assert.deepEqual(error.split('\n'), [
    `postmap: warning: ${path}, line 3: expected format: key whitespace value`,
    `postmap: warning: ${path}, line 5: duplicate entry: "User@Example.org"`,
    `postmap: warning: ${path}, line 8: record is in "key: value" format; is this an alias file?`,
    `postmap: warning: ${path}, line 9: unbalanced '"' in '"open y' -- ignoring this line`,
    '',
  ]);
  const maps = join(site.dataDirectory, 'maps');
  const index = readdirSync(maps).find((name) => /-\d+-\d+-\d+$/.test(name)) ?? '';
  assert.equal(statSync(join(maps, index)).mode & 0o777, 0o644, 'access bits of the text');
  assert.deepEqual(readdirSync(site.directory).sort(), ['data', 'main.cf', 'map']);
});

test('postmap -w and -r are silent about duplicates', async (t) => {
  const site = toolSite(t);
  const path = site.file('map', 'a 1\na 2\n');
  for (const option of ['-w', '-r']) {
    const { status, error } = await runTool(postmap, [option, path], site);
    assert.equal(`${status} ${error}`, '0 ');
  }
});

type Dialog = readonly [argv: string, input: string, status: number, out: string];

/** One after the other on the same table; `MAP` stands for its name. */
const EDITS: readonly Dialog[] = [
  ['-q a MAP', '', 0, '1\n'],
  ['-i MAP', 'new v\nA 9\n', 0, ''],
  ['-q new MAP', '', 0, 'v\n'],
  ['-q a MAP', '', 0, '1\n'],
  ['-i -r MAP', 'a 9\n', 0, ''],
  ['-q a MAP', '', 0, '9\n'],
  ['-i -w MAP', 'a 8\nc 3\n', 0, ''],
  ['-q - MAP', 'a\nC\nnone\n', 0, 'a\t9\nC\t3\n'],
  ['-d a MAP', '', 0, ''],
  ['-d a MAP', '', 1, ''],
  ['-q a MAP', '', 1, ''],
  ['-s MAP', '', 0, 'b\t2\nc\t3\nnew\tv\n'],
  ['-j -s MAP', '', 0, '{"b": "2"}\n{"c": "3"}\n{"new": "v"}\n'],
  ['-d - MAP', 'B\nnone\n', 0, ''],
  ['-q b MAP', '', 1, ''],
  ['-i -f MAP', 'Upper u\n', 0, ''],
  ['-q Upper MAP', '', 1, ''],
  ['-f -q Upper MAP', '', 0, 'u\n'],
  ['MAP', '', 0, ''],
  ['-s MAP', '', 0, 'a\t1\nb\t2\n'],
];

test('postmap -i and -d change single entries until the text is indexed again', async (t) => {
  const site = toolSite(t);
  const path = site.file('map', 'a 1\nb 2\n');
  for (const [words, input, status, out] of EDITS) {
    const argv = words.split(' ').map((word) => (word === 'MAP' ? `hash:${path}` : word));
    const done = await runTool(postmap, argv, site, input);
    assert.equal(`${done.status} ${done.out}`, `${status} ${out}`, `${words}: ${done.error}`);
  }
});

test('postmap -i warns of entries that are there, and makes a table that has no text', async (t) => {
  const site = toolSite(t);
  const path = join(site.directory, 'fresh');
  const { status, error } = await runTool(
    postmap,
    ['-i', `hash:${path}`],
    site,
    'a 1\nlone\na 2\n',
  );
  assert.equal(status, 0);
  assert.equal(
    error,
    `postmap: warning: stdin, line 2: expected format: key whitespace value
postmap: warning: stdin, line 3: duplicate entry: "a"
`,
  );
  assert.equal((await runTool(postmap, ['-q', 'a', `hash:${path}`], site)).out, '1\n');
});

const MESSAGE = `Subject: hello
 world
X-Test: \u00e4
Content-Type: multipart/mixed; boundary=b

preamble
--b
Content-Type: text/plain

body line
--b--
`;

test('postmap -h, -b and -m take keys from a message', async (t) => {
  const site = toolSite(t);
  const rules = site.file(
    'rules',
    '/^(?:subject|content-type): (\\w+)/ H $1\n/^(body|pre)/ B $1\n',
  );
  const ask = async (...options: string[]): Promise<string[]> => {
    const argv = [...options, '-q', '-', `pcre:${rules}`];
    return (await runTool(postmap, argv, site, MESSAGE)).out.split('\n');
  };
  const outer = ['Subject: hello', ' world\tH hello'];
  const type = 'Content-Type: multipart/mixed; boundary=b\tH multipart';
  assert.deepEqual(await ask('-h'), [...outer, type, '']);
  assert.deepEqual(await ask('-hm'), [...outer, type, 'Content-Type: text/plain\tH text', '']);
  assert.deepEqual(await ask('-bm'), ['preamble\tB pre', 'body line\tB body', '']);
  assert.deepEqual(await ask('-b'), [
    'preamble\tB pre',
    'Content-Type: text/plain\tH text',
    'body line\tB body',
    '',
  ]);
});

test('postmap -F takes values from files', async (t) => {
  const site = toolSite(t);
  const first = site.file('first', 'one\n');
  const second = site.file('second', 'two');
  const path = site.file('map', `a ${first}, ${second}\nb /no/such\n`);
  const built = await runTool(postmap, ['-F', path], site);
  assert.match(built.error, /map, line 2: open \/no\/such: .*: skipping this entry/);
  assert.equal((await runTool(postmap, ['-F', '-q', 'a', path], site)).out, 'one\n\ntwo\n');
  assert.equal((await runTool(postmap, ['-F', '-s', path], site)).out, 'a\tone\n\ntwo\n');
});

test('postmap -u takes bytes as they are', async (t) => {
  const site = toolSite(t);
  const path = site.file('map', 'ä 1\nÄ 2\n');
  assert.equal((await runTool(postmap, ['-q', 'Ä', path], site)).out, '1\n');
  const asked = await runTool(postmap, ['-u', '-q', '-', path], site, 'Ä\nä\n');
  assert.equal(asked.out, 'Ä\t2\nä\t1\n');
});

/** Words, the last line of standard error. Status 1 each. */
const FATAL: readonly [argv: string, last: RegExp][] = [
  ['', /fatal: usage: postmap \[-bfFhimnNoprsuUvw\] .* \[map_type:\]file\.\.\.$/],
  ['-Z x', /fatal: usage: postmap/],
  ['-q', /fatal: usage: postmap/],
  ['-q a -s x', /fatal: specify only one of -d -i -q or -s$/],
  ['-h -q a x', /fatal: specify -b -h or -m only with "-q -"$/],
  ['-j x', /fatal: option -j requires -q or -s$/],
  ['/no/such', /fatal: open \/no\/such: No such file or directory$/],
  ['pcre:/no/such', /fatal: open \/no\/such: No such file or directory$/],
  ['texthash:MAP', /unsupported dictionary type: texthash does not support bulk-mode creation\.$/],
  ['proxy:hash:MAP', /fatal: can't create maps via the proxy service$/],
  ['-d a texthash:MAP', /fatal: texthash:\S+ map requires O_RDONLY access mode$/],
  ['-d a hash:/no/such', /fatal: open \/no\/such: No such file or directory$/],
  ['-q a hash:/no/such', /fatal: open \/no\/such: No such file or directory$/],
  ['-q a nosuch:x', /fatal: unsupported dictionary type: nosuch$/],
  ['-q a fail:', /fatal: open dictionary: expecting "type:name" form instead of "fail:"$/],
  ['-q a fail:x', /fatal: table fail:x: query error/],
  ['-s pcre:MAP', /fatal: table pcre:\S+: sequence operation is not supported$/],
];

for (const [words, last] of FATAL) {
  test(`postmap ${words} is fatal`, async (t) => {
    const site = toolSite(t);
    const path = site.file('map', '/a/ b\n');
    const argv = words.split(' ').filter((word) => word !== '');
    const { status, error } = await runTool(
      postmap,
      argv.map((word) => word.replace('MAP', path)),
      site,
    );
    assert.equal(status, 1);
    assert.match(error.trimEnd().split('\n').pop() ?? '', last);
  });
}

test('postmap -q asks the tables in turn', async (t) => {
  const site = toolSite(t);
  const path = site.file('map', 'a 1\n');
  const tables = [path, 'inline:{a=2, b=3}', 'fail:x'];
  assert.equal((await runTool(postmap, ['-q', 'a', ...tables], site)).out, '1\n');
  assert.equal((await runTool(postmap, ['-q', 'b', ...tables], site)).out, '3\n');
  const failed = await runTool(postmap, ['-q', '-', ...tables], site, 'a\nc\nb\n');
  assert.equal(failed.status, 1);
  assert.equal(failed.out, 'a\t1\n', 'what was found before the failure');
});

test('postalias and newaliases read aliases(5)', async (t) => {
  const site = toolSite(t);
  const path = site.file('aliases', 'Root: joe\n"a b": x\nbad\na@b: c\n');
  assert.equal((await runTool(postalias, ['-q', 'a b', path], site)).out, 'x\n');
  assert.equal((await runTool(postalias, ['-q', '-', path], site, 'ROOT\n')).out, 'ROOT:\tjoe\n');
  assert.equal((await runTool(postalias, ['-s', path], site)).out, 'a b:\tx\nroot:\tjoe\n');
  const { status, error } = await runTool(newaliases, [], site);
  assert.equal(status, 0);
  assert.equal(
    error,
    `newaliases: warning: ${path}, line 3: need name:value pair
newaliases: warning: ${path}, line 4: name must be local and have no domain
`,
  );
  const added = await runTool(postalias, ['-i', path], site, 'sales: a, b\n');
  assert.equal(added.status, 0);
  assert.equal((await runTool(postalias, ['-q', 'sales', path], site)).out, 'a, b\n');
  assert.match((await runTool(postalias, ['-F', path], site)).error, /usage: postalias/);
});

/** Calls on which the status and standard output of Debian's postmap and ours must agree. */
const SAME: readonly [argv: string, input?: string][] = [
  ['MAP'],
  ['-q long MAP'],
  ['-q LONG MAP'],
  ['-q none MAP'],
  ['-q - MAP', 'user@example.org\nnone\n"a b"@example.org\n'],
  ['-d long MAP'],
  ['-d long MAP'],
  ['-i MAP', 'new v\nnew w\n'],
  ['-q - MAP', 'new\nlong\n'],
  ['-i -r MAP', 'new w\n'],
  ['-q new MAP'],
  ['-s MAP'],
  ['-d - MAP', 'new\nlone\n'],
  ['-s MAP'],
  ['-q a -s MAP'],
  ['-Z MAP'],
  [''],
  ['-q a fail:x'],
  ['-m -q - MAP', 'new\n'],
];

test("a session with Debian's postmap reads the same", needs('postmap'), async (t) => {
  const site = toolSite(t);
  const path = site.file('map', TEXT);
  utimesSync(path, 1_000_000, 1_000_000);
  for (const [words, input = ''] of SAME) {
    const argv = words
      .split(' ')
      .flatMap((word) => (word === '' ? [] : [word.replace('MAP', `btree:${path}`)]));
    const theirs = spawnSync(findProgram('postmap') ?? '', ['-c', site.directory, ...argv], {
      input,
      encoding: 'utf8',
    });
    const ours = await runTool(postmap, argv, site, input);
    assert.equal(`${ours.status} ${ours.out}`, `${theirs.status} ${theirs.stdout}`, words);
  }
});
