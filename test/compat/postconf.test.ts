/**
 * postconf(1) side by side with Debian's Postfix 3.7: what both write, say and return for the same
 * files, and the files that both leave behind after an edit. Wanted differences are in
 * wanted-differences.ts; any other fails.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { postconf } from '../../src/cmd/postconf.ts';
import { PARAMS } from '../../src/conf/params.ts';
import { LEGACY_PARAMETERS, POSTFIX_PARAMETERS } from '../../src/conf/postfix-params.ts';
import { findProgram, needs } from '../support/programs.ts';
import { anyRow, anyValue, SAMPLES, type Sample } from './config-samples.ts';
import { EDITS, LINES, MAIN, MASTER } from './postconf-commands.ts';
import { DEFAULT_DIFFERENCES, NEW_WARNINGS } from './wanted-differences.ts';

type Outcome = { readonly out: string; readonly messages: string[]; readonly status: number };

const ORACLE = findProgram('postconf') ?? 'postconf';
const ROOT = join(import.meta.dirname, '../..');
const scratch = mkdtempSync(join(tmpdir(), 'postern-postconf-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function directoryOf({ main, master = '' }: Omit<Sample, 'what'>, name: string): string {
  const directory = join(scratch, name);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'main.cf'), main);
  writeFileSync(join(directory, 'master.cf'), master);
  return directory;
}

/** Postfix waits a second before it ends with an error, so many are asked at a time. */
function askPostfix(directory: string, argv: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(ORACLE, ['-c', directory, ...argv], (_error, out, errors) =>
      resolve({ out, messages: messagesOf(errors), status: child.exitCode ?? -1 }),
    );
  });
}

async function askPostern(configDirectory: string, argv: readonly string[]): Promise<Outcome> {
  let out = '';
  let errors = '';
  const status = await postconf(argv, {
    stdin: process.stdin,
    readInput: async () => Buffer.alloc(0),
    stdout: (text) => void (out += text),
    stderr: (text) => void (errors += text),
    configDirectory,
  });
  return { out, messages: messagesOf(errors), status };
}

/** Messages without what we add (lines, remedies) and without the repetitions of Postfix. */
function messagesOf(text: string): string[] {
  const lines = text
    .split('\n')
    .filter((line) => line !== '' && !NEW_WARNINGS.some((each) => each.pattern.test(line)))
    .map((line) =>
      line
        .replace(/^\S*\/postconf:/, 'postconf:')
        .replace(/; (write|\d+ of at least 8).*$/, '')
        .replace(/fatal: file \S+: line \d+: (?=invalid)/, 'fatal: ')
        .replace(/warning: file \S*master\.cf: line \d+: /, 'warning: master.cf: ')
        .replace(/, line \d+(?=: logical line must not)/, ''),
    );
  return [...new Set(lines)].sort();
}

/** Names that 3.7 does not have: newer ones, and Postern's own. */
const known = new Set(
  needs('postconf').skip === undefined
    ? spawnSync(ORACLE, ['-c', directoryOf({ main: '' }, 'known'), '-d', '-H'], {
        encoding: 'utf8',
      }).stdout.split('\n')
    : [],
);
const isNewer = (name: string): boolean =>
  !known.has(name) &&
  !LEGACY_PARAMETERS.has(name) &&
  (POSTFIX_PARAMETERS.has(name) || Object.hasOwn(PARAMS, name));

const withoutNewer = (text: string): string[] =>
  text.split('\n').filter((line) => !isNewer(line.split(' = ')[0]?.replace(/ =$/, '') ?? ''));

async function compare(directory: string, argv: readonly string[]): Promise<Outcome> {
  const wanted = await askPostfix(directory, argv);
  const got = await askPostern(directory, argv);
  const what = `postconf ${argv.join(' ')}`;
  // Postfix reads main.cf twice and then finds that the first reading was different.
  const messages = wanted.messages.filter(
    (text) =>
      !isNewer(/unused parameter: ([^=]*)/.exec(text)?.[1] ?? '') &&
      (!text.includes('overriding earlier entry') || got.messages.includes(text)),
  );
  assert.deepEqual(got.messages, messages, `${what}: messages`);
  assert.equal(got.status, wanted.status, `${what}: exit status`);
  // What Postfix has not written yet when it fails is lost.
  if (wanted.status === 0) assert.deepEqual(withoutNewer(got.out), withoutNewer(wanted.out), what);
  return wanted;
}

const VIEWS: readonly (readonly string[])[] = [
  ['-nx'],
  ['-Mx'],
  ['-F'],
  ['-Px'],
  ['-x', 'mydestination', 'smtpd_relay_restrictions', 'append_dot_mydomain', 'relay_domains'],
];
const ALL_VIEWS: readonly (readonly string[])[] = [
  ['-n'],
  ...VIEWS,
  ['-nf'],
  ['-nh'],
  ['-n', '-C', 'user'],
  ['-n', '-C', 'service,builtin'],
  ['-M'],
  ['-Mf'],
  ['-Ff'],
  ['-P'],
  ['myhostname', 'mydomain', 'mynetworks', 'relayhost', 'no_such_parameter'],
];

describe('postconf shows what Postfix shows', { concurrency: 8, ...needs('postconf') }, () => {
  for (const [at, sample] of SAMPLES.entries()) {
    test(sample.what, async () => {
      const directory = directoryOf(sample, `sample${at}`);
      const { status } = await compare(directory, ['-n']);
      // Files that cannot be read are refused in every view.
      const views = status === 0 ? VIEWS : VIEWS.slice(0, 2);
      await Promise.all(views.map((argv) => compare(directory, argv)));
    });
  }

  test('the files of etc/', async () => {
    const directory = join(scratch, 'etc');
    cpSync(join(ROOT, 'etc'), directory, { recursive: true });
    const named = ALL_VIEWS.filter((argv) => argv[0] !== '-nh');
    await Promise.all(named.map((argv) => compare(directory, argv)));
  });

  test("the seed's master.cf", async () => {
    const master = readFileSync(join(ROOT, 'test/fixtures/seed-master.cf'), 'utf8');
    const directory = directoryOf({ main: SEED_MAIN, master }, 'seed');
    await Promise.all(ALL_VIEWS.map((argv) => compare(directory, argv)));
  });
});

const SEED_MAIN = `myhostname = mail.example.org
mydestination = $myhostname, localhost, example.org
smtpd_sender_restrictions = check_recipient_access
 hash:$config_directory/access-inbound
virtual_maps = hash:$config_directory/virtual
alias_maps = hash:$config_directory/aliases
local_recipient_maps = $alias_maps unix:passwd.byname
relocated_maps = hash:$config_directory/relocated
maps_rbl_domains = rbl.example.net, dul.example.net
header_checks = regexp:$config_directory/header-checks, pcre:$config_directory/header-checks-pcre
`;

test('defaults are those of Postfix, but for a list', needs('postconf'), async () => {
  const directory = directoryOf({ main: '' }, 'defaults');
  const settings = (text: string): Map<string, string> =>
    new Map(
      text.split('\n').map((line) => {
        const [name = '', ...value] = line.split(' =');
        return [name, value.join(' =').trim()];
      }),
    );
  const theirs = settings((await askPostfix(directory, ['-d'])).out);
  const ours = settings((await askPostern(directory, ['-d'])).out);
  const missing = [...theirs.keys()].filter((name) => !ours.has(name));
  assert.deepEqual(missing, [...DEFAULT_DIFFERENCES.gone]);
  const spaced = (text = ''): string => text.replaceAll(/,\s*/g, ', ');
  const different = [...theirs]
    .filter(([name, value]) => ours.has(name) && spaced(ours.get(name)) !== spaced(value))
    .map(([name]) => name)
    .filter((name) => !DEFAULT_DIFFERENCES.values.has(name));
  assert.deepEqual(
    different.map((name) => `${name}: ${theirs.get(name)} -> ${ours.get(name)}`),
    [],
  );
  const idle = [...DEFAULT_DIFFERENCES.values.keys()].filter(
    (name) => spaced(theirs.get(name)) === spaced(ours.get(name)),
  );
  assert.deepEqual(idle, [], 'listed but alike');
});

test('values of any form expand alike', needs('postconf'), async (context) => {
  const seed = seedOf(context);
  const values = fc.sample(anyValue, { numRuns: 400, seed }).map((text, at) => `p${at} = ${text}`);
  const names = values.map((_, at) => `[$p${at}]`);
  const main = `full = a value\nempty =\nhollow = $empty\nnumber = 10\nlevel = 3.6
${values.join('\n')}\nrelayhost = ${names.join(' ')}\n`;
  const { status, out } = await compare(directoryOf({ main }, 'values'), ['-x', 'relayhost']);
  assert.equal(status, 0);
  assert.ok(out.length > 2000);
});

test('master.cf lines of any form read alike', needs('postconf'), async (context) => {
  const rows = fc.sample(anyRow, { numRuns: 100, seed: seedOf(context) });
  const master = rows.map((row, at) => `service${at} ${row}\n`).join('');
  const directory = directoryOf({ main: '', master }, 'rows');
  for (const argv of [['-M'], ['-Mf'], ['-F'], ['-Ff'], ['-P'], ['-Px'], ['-Mx']]) {
    const { status, out } = await compare(directory, argv);
    assert.equal(status, 0);
    assert.ok(out.length > 1000);
  }
});

/** COMPAT_SEED repeats a run. */
function seedOf(context: TestContext): number {
  const seed = Number(process.env['COMPAT_SEED'] ?? Date.now() % 1_000_000);
  context.diagnostic(`COMPAT_SEED=${seed}`);
  return seed;
}

test('command lines, right and wrong', needs('postconf'), async () => {
  const sample = SAMPLES.find(({ what }) => what.startsWith('master.cf in every form'));
  const directory = directoryOf(sample ?? { main: '' }, 'lines');
  await Promise.all(LINES.map((argv) => compare(directory, argv)));
});

describe('postconf edits as Postfix does', { concurrency: 8, ...needs('postconf') }, () => {
  for (const [at, argv] of EDITS.entries()) {
    test(`postconf ${argv.join(' ')}`, async () => {
      const theirs = directoryOf({ main: MAIN, master: MASTER }, `edit${at}`);
      const wanted = await askPostfix(theirs, argv);
      const files = ['main.cf', 'master.cf'];
      const texts = files.map((file) => readFileSync(join(theirs, file), 'utf8'));
      const ours = directoryOf({ main: MAIN, master: MASTER }, `edit${at}`);
      const got = await askPostern(ours, argv);
      assert.deepEqual(got.messages, wanted.messages);
      assert.equal(got.status, wanted.status);
      assert.deepEqual(
        files.map((file) => readFileSync(join(ours, file), 'utf8')),
        texts,
      );
    });
  }
});
