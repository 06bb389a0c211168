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
import { after, describe, test } from 'node:test';
import { postconf } from '../../src/cmd/postconf.ts';
import { PARAMS } from '../../src/conf/params.ts';
import { LEGACY_PARAMETERS, POSTFIX_PARAMETERS } from '../../src/conf/postfix-params.ts';
import { findProgram, needs } from '../support/programs.ts';
import { SAMPLES, type Sample } from './config-samples.ts';
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

async function compare(directory: string, argv: readonly string[]): Promise<void> {
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
}

const VIEWS: readonly (readonly string[])[] = [
  ['-n'],
  ['-nx'],
  ['-Mx'],
  ['-F'],
  ['-Px'],
  ['-x', 'mydestination', 'smtpd_relay_restrictions', 'append_dot_mydomain', 'relay_domains'],
];
const ALL_VIEWS: readonly (readonly string[])[] = [
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
      await Promise.all(VIEWS.map((argv) => compare(directory, argv)));
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

const LINES: readonly (readonly string[])[] = [
  ['-de'],
  ['-dn'],
  ['-Mn'],
  ['-F', '-X', 'smtp/inet/chroot'],
  ['-ax'],
  ['-hH'],
  ['-e'],
  ['-X'],
  ['-C', 'foo'],
  ['-C', 'user,all', '-n'],
  ['-o', 'foo', 'myhostname'],
  ['-o', 'myorigin=x.example', 'myorigin'],
  ['-M', 'a*/b'],
  ['-M', 'smtp'],
  ['-M', '*/unix'],
  ['-F', 'smtp/inet/command'],
  ['-F', 'a/b/c'],
  ['-Fh', '*/*/chroot'],
  ['-FH', 'smtp'],
  ['-P', 'smtp/inet/my_flag'],
  ['-P', 'smtp/inet'],
  ['-Ph', '*/*/smtpd_banner'],
  ['-PH'],
  ['-e', 'x'],
  ['-e', '=x'],
  ['-X', 'a=b'],
  ['-#', 'a=b'],
  ['-Me', 'smtp=x'],
  ['-Fe', 'smtp/inet/chroot=a b'],
  ['-Pe', 'smtp/inet/x=a b'],
  ['-Pe', 'smtp/inet/*=a'],
  ['-p', 'queue_run_delay', '-h'],
  ['--', '-n'],
];

test('command lines, right and wrong', needs('postconf'), async () => {
  const sample = SAMPLES.find(({ what }) => what.startsWith('master.cf in every form'));
  const directory = directoryOf(sample ?? { main: '' }, 'lines');
  await Promise.all(LINES.map((argv) => compare(directory, argv)));
});

const MAIN = `# head
myorigin = a
# before the relay
relayhost = [x.example]
  :25
# within
  more

mydestination = $myhostname
relayhost = again
smtpd_banner=x
`;
const MASTER = `# head
smtp inet n - n - - smtpd
# within
  -o smtpd_banner=x -o { mynetworks = 10.0.0.0/8, 127.0.0.0/8 }

smtp unix - - n - - smtp -v
list unix - n n - - pipe
  flags=R user=list argv=/bin/x -o {a b}
`;
const EDITS: readonly (readonly string[])[] = [
  ['-e', 'myorigin = b', 'new_one=  $x  '],
  ['relayhost=[y.example]'],
  ['-e', 'relayhost = a', 'relayhost = b'],
  ['-X', 'relayhost', 'nothing'],
  ['-#', 'relayhost', 'myorigin'],
  ['-e', 'a = b\nc'],
  ['-e', '# = b'],
  ['-e', 'smtpd_banner = \u00e9 $mail_name'],
  ['-M', 'smtp/inet=smtp inet n - y - 5 smtpd -o { a = b c } -v'],
  ['-Me', 'new/unix=new unix - - n - - smtp'],
  ['-Me', 'new/unix=new unix - -'],
  ['-Me', 'new/unix=new bad - - n - - smtp'],
  ['-MX', 'smtp/inet'],
  ['-MX', 'none/inet'],
  ['-M#', 'smtp/inet', 'list/*'],
  ['-F', 'smtp/inet/chroot=y', '*/unix/process_limit=3'],
  ['-F', 'smtp/inet/command=smtpd -v -o{ smtpd_banner = a b } a {x y}'],
  ['-F', 'smtp/inet/chroot=maybe'],
  ['-F', 'none/inet/chroot=y'],
  ['-P', 'smtp/inet/smtpd_banner=y', 'smtp/inet/new_one=1'],
  ['-P', 'list/unix/new_one=1'],
  ['-PX', 'smtp/inet/smtpd_banner', 'smtp/inet/nothing'],
];

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
