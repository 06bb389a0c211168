/** postconf(1): what Debian's 3.7 does not have, and what happens to the files it edits. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { postconf } from '../../src/cmd/postconf.ts';
import { editMain, readMainEdits } from '../../src/cmd/postconf-edit.ts';
import { editMaster, readMasterEdits } from '../../src/cmd/postconf-edit-master.ts';
import { printEntry } from '../../src/cmd/postconf-print.ts';
import { parseMainCf } from '../../src/conf/main-cf.ts';
import { parseMasterCf } from '../../src/conf/master-cf.ts';
import { parseMasterEntries } from '../../src/conf/master-entry.ts';
import { keptIo } from '../support/command-io.ts';

const scratch = mkdtempSync(join(tmpdir(), 'postern-postconf-cmd-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const MAIN = join(scratch, 'main.cf');
const MASTER = join(scratch, 'master.cf');

async function run(main: string, master: string, argv: readonly string[]) {
  writeFileSync(MAIN, main);
  writeFileSync(MASTER, master);
  const { io, out, errors } = keptIo(scratch);
  const status = await postconf(argv, io);
  return { status, out: out(), errors: errors() };
}

const SITE = 'myhostname = m.example\nmy_word = "a\\b"\t\nmyorigin = $my_word\nvirtual_maps = x\n';
const ROWS = 'smtp inet n - n - - smtpd -o myorigin=y -o { smtpd_banner = a b } -v\n';

const SHOWN: readonly [argv: string, out: string][] = [
  ['-nj myorigin my_word', '{"myorigin": "$my_word"}\n{"my_word": "\\"a\\\\b\\""}\n'],
  ['-jx myorigin', '{"myorigin": "\\"a\\\\b\\""}\n'],
  ['-Mj', '{"smtp/inet": "smtp inet n - n - - smtpd -o myorigin=y -o {smtpd_banner=a b} -v"}\n'],
  ['-Fj smtp/inet/chroot', '{"smtp/inet/chroot": "n"}\n'],
  ['-Fj */*/command', '{"smtp/inet/command": "smtpd -o myorigin=y -o {smtpd_banner=a b} -v"}\n'],
  ['-Pj', '{"smtp/inet/myorigin": "y"}\n{"smtp/inet/smtpd_banner": "a b"}\n'],
  ['-PP smtp/inet/myhostname', 'smtp/inet/myhostname = m.example\n'],
  ['-PP smtp/inet/service_name', 'smtp/inet/service_name = smtp\n'],
  ['-PPx smtp/inet/myorigin', 'smtp/inet/myorigin = y\n'],
  ['-l', 'dotlock\n'],
  ['-T run-version', `OpenSSL ${process.versions.openssl}\n`],
];
for (const [argv, out] of SHOWN) {
  test(`postconf ${argv}`, async () => {
    const done = await run(SITE, ROWS, argv.split(' '));
    assert.equal(done.out, out);
    assert.equal(done.status, 0);
  });
}

test('postconf warns of names that are going, but not with -q', async () => {
  const loud = await run(SITE, ROWS, ['-n']);
  assert.match(loud.errors, /support for parameter "virtual_maps" will be removed; instead, /);
  assert.match(loud.errors, /DEPRECATION_README/);
  const quiet = await run(SITE, ROWS, ['-nq']);
  assert.equal(quiet.errors, '');
  assert.equal(quiet.out, loud.out);
});

test('postconf -t gives templates that bounce_template_file takes, -b the texts', async () => {
  const dumped = await run(SITE, ROWS, ['-t']);
  assert.equal(dumped.status, 0);
  const file = join(scratch, 'bounce.cf');
  writeFileSync(file, dumped.out.replace('This is the mail system', 'This is $mail_name'));
  assert.equal((await run(SITE, ROWS, ['-t', file])).status, 0);
  const expanded = await run(SITE, ROWS, ['-b', file]);
  assert.match(
    expanded.out,
    /^expanded_failure_text = <<EOF\nThis is Postern at host m\.example\./,
  );
  const missing = await run(SITE, ROWS, ['-b', '/no/such']);
  assert.equal(missing.errors, 'postconf: fatal: open /no/such: No such file or directory\n');
  assert.equal(missing.status, 1);
});

test('postconf takes -c together with other letters, and -v names what is read', async () => {
  writeFileSync(MAIN, 'myorigin = x\n');
  writeFileSync(MASTER, '');
  const { io, out, errors } = keptIo('/no/such/place');
  assert.equal(await postconf(['-vhc', scratch, 'myorigin'], io), 0);
  assert.equal(out(), 'x\n');
  assert.equal(errors(), `postconf: reading ${MAIN}\npostconf: reading ${MASTER}\n`);
});

test('postconf -m names the table types, -a and -A how logins are done', async () => {
  const tables = (await run('', '', ['-m'])).out.trim().split('\n');
  assert.deepEqual([...tables].sort(), tables);
  for (const type of ['hash', 'lmdb', 'cidr', 'mysql', 'pcre', 'texthash'])
    assert.ok(tables.includes(type));
  assert.equal((await run('', '', ['-a'])).out, 'postern\n');
  assert.equal((await run('', '', ['-A'])).out, 'postern\n');
});

test('a fault of master.cf names file, line and remedy', async () => {
  const done = await run('', `\n${ROWS}a unix - - maybe - - smtp\n`, ['-M']);
  assert.equal(done.status, 1);
  assert.equal(
    done.errors,
    `postconf: fatal: file ${MASTER}: line 3: invalid chroot field "maybe" in "a unix - - maybe - - smtp"; write y, n or -\n`,
  );
});

test('an edit keeps mode and bytes, and leaves no other file', async () => {
  writeFileSync(MAIN, Buffer.from('# \xe9 Latin-1\nmyorigin = \xff\nrelayhost = a\n', 'latin1'));
  chmodSync(MAIN, 0o640);
  const { io } = keptIo(scratch);
  assert.equal(await postconf(['-e', 'relayhost = é', 'new_name = b'], io), 0);
  assert.deepEqual(
    readFileSync(MAIN),
    Buffer.concat([
      Buffer.from('# \xe9 Latin-1\nmyorigin = \xff\n', 'latin1'),
      Buffer.from('relayhost = é\nnew_name = b\n', 'utf8'),
    ]),
  );
  assert.equal(statSync(MAIN).mode & 0o777, 0o640);
  assert.ok(!existsSync(`${MAIN}.tmp`));
});

test('an edit that fails leaves the file as it was', async () => {
  const { io } = keptIo(scratch);
  writeFileSync(MASTER, ROWS);
  assert.equal(await postconf(['-F', 'smtp/inet/chroot=maybe'], io), 1);
  assert.equal(readFileSync(MASTER, 'utf8'), ROWS);
  assert.ok(!existsSync(`${MASTER}.tmp`));
});

test('a lock that a crash left behind is taken over', async () => {
  writeFileSync(MAIN, 'relayhost = a\n');
  writeFileSync(`${MAIN}.tmp`, 'half');
  const longAgo = new Date(Date.now() - 3_600_000);
  utimesSync(`${MAIN}.tmp`, longAgo, longAgo);
  const { io } = keptIo(scratch);
  assert.equal(await postconf(['-e', 'relayhost = b'], io), 0);
  assert.equal(readFileSync(MAIN, 'utf8'), 'relayhost = b\n');
});

test('edits at the same time are all made', async () => {
  writeFileSync(MAIN, '# head\n');
  const bin = join(import.meta.dirname, '../../bin/postconf');
  const names = ['one', 'two', 'three', 'four'];
  const runFile = promisify(execFile);
  await Promise.all(names.map((name) => runFile('sh', [bin, '-c', scratch, '-e', `${name} = 1`])));
  const { assignments } = parseMainCf(MAIN, readFileSync(MAIN, 'utf8'));
  assert.deepEqual([...assignments.keys()].sort(), [...names].sort());
});

test('postconf ends quietly when its reader has seen enough', async () => {
  writeFileSync(MAIN, '');
  const bin = join(import.meta.dirname, '../../bin/postconf');
  const script = `sh "$1" -c "$2" -d 2>&1 | head -1`;
  const { stdout } = await promisify(execFile)('sh', ['-c', script, 'sh', bin, scratch]);
  assert.equal(stdout, '2bounce_notice_recipient = postmaster\n');
});

const word = fc.string({ unit: fc.constantFrom(...'abcXYZ019._-$/:'), minLength: 1, maxLength: 8 });
const value = fc.array(word, { maxLength: 4 }).map((words) => words.join(' '));

test('format(parse(x)) is stable: what -e writes is what is read', () => {
  fc.assert(
    fc.property(fc.string(), word, value, (source, name, text) => {
      const edits = readMainEdits('set', [`${name} = ${text}`]);
      if (!edits.ok) return;
      const once = editMain(source, edits.value, 'main.cf').text;
      assert.equal(editMain(once, edits.value, 'main.cf').text, once);
      assert.equal(parseMainCf('main.cf', once).assignments.get(name)?.value, text);
    }),
  );
});

test('format(parse(x)) is stable: a master.cf line that is printed reads the same', () => {
  const piece = fc.oneof(
    word,
    value.filter((text) => !text.startsWith('-')).map((text) => `{ ${text} }`),
    value.map((text) => `-o { a = ${text} }`),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const source = `svc unix - n n 5? 3 pipe ${pieces.join(' ')}\n`;
      const { entries } = parseMasterEntries('m', source);
      const printed = printEntry(entries[0]?.words ?? [], true);
      const again = parseMasterEntries('m', printed).entries[0]?.words ?? [];
      assert.equal(printEntry(again, true), printed);
    }),
  );
});

test('the editors and parsers survive any bytes', () => {
  const bytes = fc
    .uint8Array({ maxLength: 300 })
    .map((data) => Buffer.from(data).toString('latin1'));
  const lines = fc
    .array(
      fc.constantFrom(
        'smtp inet n - n - - smtpd',
        ' -o a=b',
        '# c',
        '{',
        '}',
        '-o',
        '=',
        '\n',
        ' ',
      ),
    )
    .map((parts) => parts.join(''));
  const requests = readMasterEdits('set', 'param', ['*/*/a=b']);
  assert.ok(requests.ok);
  fc.assert(
    fc.property(fc.oneof(bytes, lines), (source) => {
      parseMainCf('f', source);
      parseMasterCf('f', source);
      editMaster(source, 'set', 'param', requests.value, 'f');
    }),
  );
});
