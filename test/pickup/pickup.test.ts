import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Cleanup, openCleanup, type Source } from '../../src/cleanup/cleanup.ts';
import { sendmail } from '../../src/cmd/sendmail.ts';
import type { Logger } from '../../src/log/maillog.ts';
import { openMaps } from '../../src/lookup/maps.ts';
import { lookupContext } from '../../src/lookup/open.ts';
import type { QueueEntry } from '../../src/mail/stages.ts';
import { spendProof } from '../../src/pickup/caller.ts';
import { type Drop, formatHead } from '../../src/pickup/maildrop.ts';
import { openPickup } from '../../src/pickup/pickup.ts';
import { testConfig } from '../support/config.ts';
import { memoryStore } from '../support/memory-store.ts';

const base = mkdtempSync(join(tmpdir(), 'postern-pickup-'));
after(() => rmSync(base, { recursive: true, force: true }));

const DROP: Drop = {
  sender: 'alice',
  recipients: ['bob@example.net'],
  fullName: '',
  body: '',
  envid: '',
  ret: '',
  notify: [],
};

function openWorld() {
  const root = mkdtempSync(join(base, 'w'));
  const directory = join(root, 'maildrop');
  mkdirSync(directory);
  const lines: string[] = [];
  const put = (text: string) => void lines.push(text);
  const logger: Logger = {
    info: put,
    warning: put,
    error: put,
    fatal: put,
    panic: put,
    flush: () => undefined,
  };
  const config = testConfig({ myorigin: 'example.org' });
  const virtualAliases = openMaps('virtual_alias_maps', '', lookupContext(config, logger));
  assert.ok(virtualAliases.ok);
  const isLocal = () => ({ kind: 'no' }) as const;
  const cleanup = openCleanup({
    config,
    virtualAliases: virtualAliases.value,
    addressContext: { recipient_delimiter: '', isLocal },
  });
  const cleaner = { begin: (source: Source) => cleanup.begin(source) };
  const parts: { refused: string | null; readonly cleaner: { begin: Cleanup['begin'] } } = {
    refused: null,
    cleaner,
  };
  const store = memoryStore();
  const arrived: QueueEntry[] = [];
  const pickup = openPickup({
    config: () => config,
    directory,
    cleanup: () => parts.cleaner,
    refusedTo: async () => parts.refused,
    store,
    arrived: (entry) => void arrived.push(entry),
    logger,
    cleanupLogger: logger,
    nowMs: () => 1_700_000_000_000,
  });
  const drop = (name: string, text: string) => writeFileSync(join(directory, name), text);
  return { root, parts, directory, lines, store, arrived, pickup, drop };
}

test('a drop becomes a message of its owner, with CRLF line ends, and is removed', async () => {
  const { directory, store, arrived, pickup, drop } = openWorld();
  drop('1.mail', `${formatHead(DROP)}Subject: x\n\none\r\ntwo\rthree\n.\nend`);
  await pickup.run();
  const [entry] = arrived;
  assert.equal(entry?.sender, 'alice@example.org');
  assert.equal(entry?.origin.uid, process.getuid?.());
  assert.ok(entry);
  const body = await store.openBody(entry);
  assert.ok(body.ok);
  const text = body.value.bytes?.toString() ?? '';
  assert.match(text, /^Received: by mail\.example\.org \(Postern, from userid \d+\)\r\n\tid /);
  assert.ok(text.endsWith('\r\n\r\none\r\ntwo three\r\n.\r\nend\r\n'));
  assert.doesNotMatch(text, /(?<!\r)\n|\r(?!\n)/);
  assert.deepEqual(readdirSync(directory), []);
});

const BAD: readonly [what: string, make: (path: string, other: string) => void][] = [
  ['holds no head', (path) => writeFileSync(path, 'Subject: x\n\n')],
  ['has a head of another shape', (path) => writeFileSync(path, '{"version":1}\nSubject: x\n\n')],
  ['is a symbolic link', (path, other) => symlinkSync(other, path)],
  ['has another name', (path, other) => linkSync(other, path)],
  ['is a directory', (path) => mkdirSync(path)],
];
for (const [what, make] of BAD) {
  test(`a drop that ${what} is set aside, and the next one is taken`, async () => {
    const { root, directory, arrived, pickup, drop, lines } = openWorld();
    const other = join(root, 'other');
    writeFileSync(other, `${formatHead(DROP)}Subject: x\n\n`);
    make(join(directory, '1.mail'), other);
    drop('2.mail', `${formatHead(DROP)}Subject: y\n\n`);
    await pickup.run();
    assert.equal(arrived.length, 1);
    assert.deepEqual(readdirSync(directory), []);
    assert.deepEqual(readdirSync(join(root, 'maildrop-corrupt')), ['1.mail']);
    assert.ok(lines.some((line) => line.includes('1.mail')));
  });
}

test('a full queue leaves the drops where they are', async () => {
  const { directory, store, arrived, pickup, drop } = openWorld();
  drop('1.mail', `${formatHead(DROP)}Subject: x\n\n`);
  drop('2.mail', `${formatHead(DROP)}Subject: y\n\n`);
  store.fault = { kind: 'no-space', reason: 'full' };
  await pickup.run();
  assert.equal(readdirSync(directory).length, 2);
  store.fault = undefined;
  await pickup.run();
  assert.equal(arrived.length, 2);
});

test('a drop that cannot be read now stays', { skip: process.getuid?.() === 0 }, async () => {
  const { directory, pickup, drop } = openWorld();
  drop('1.mail', `${formatHead(DROP)}Subject: x\n\n`);
  chmodSync(join(directory, '1.mail'), 0o000);
  await pickup.run();
  assert.deepEqual(readdirSync(directory), ['1.mail']);
});

const MODES: readonly [what: string, directoryMode: number, fileMode: number][] = [
  ['its own', 0o700, 0o600],
  ['one that hands on its group', 0o2700, 0o640],
];
for (const [what, directoryMode, fileMode] of MODES) {
  test(`sendmail leaves a file that pickup may read in ${what} maildrop`, async () => {
    const { Readable } = await import('node:stream');
    const directory = mkdtempSync(join(base, 's'));
    const maildrop = join(directory, 'spool/postern/maildrop');
    mkdirSync(maildrop, { recursive: true });
    chmodSync(maildrop, directoryMode);
    writeFileSync(join(directory, 'main.cf'), `queue_directory = ${directory}/spool\n`);
    const cwd = process.cwd();
    let stderr = '';
    const code = await sendmail(['-f', 'alice@example.org', 'bob@example.net'], {
      stdin: Readable.from([Buffer.from('Subject: x\n\nhi\n')]),
      stdout: () => undefined,
      stderr: (text) => {
        stderr += text;
      },
      configDirectory: directory,
    });
    process.chdir(cwd);
    assert.equal(code, 0, stderr);
    const [name = ''] = readdirSync(maildrop);
    assert.match(name, /\.mail$/);
    assert.equal(statSync(join(maildrop, name)).mode & 0o777, fileMode);
  });
}

test('a drop that makes our own code fail is set aside, and the next one is taken', async () => {
  const { root, directory, arrived, pickup, drop, parts } = openWorld();
  drop('1.mail', `${formatHead({ ...DROP, sender: 'poison' })}Subject: x\n\n`);
  drop('2.mail', `${formatHead(DROP)}Subject: y\n\n`);
  const { begin } = parts.cleaner;
  parts.cleaner.begin = (source) => {
    if (source.sender === 'poison') throw new TypeError('no such thing');
    return begin(source);
  };
  await pickup.run();
  assert.equal(arrived.length, 1);
  assert.deepEqual(readdirSync(directory), []);
  assert.deepEqual(readdirSync(join(root, 'maildrop-corrupt')), ['1.mail']);
});

test('a drop of a user who may not submit is set aside', async () => {
  const { directory, arrived, pickup, drop, parts, lines } = openWorld();
  parts.refused = 'games(5)';
  drop('1.mail', `${formatHead(DROP)}Subject: x\n\n`);
  await pickup.run();
  assert.equal(arrived.length, 0);
  assert.deepEqual(readdirSync(directory), []);
  assert.ok(lines.some((line) => line.includes('user games(5) is not allowed to submit mail')));
});

test('a proof of identity is good once, for its owner, and only where it holds its name', async () => {
  const directory = mkdtempSync(join(base, 'p'));
  const name = `${'0123456789abcdef'.repeat(2)}.ask`;
  const write = (file: string, text: string) => writeFileSync(join(directory, file), text);
  assert.equal(await spendProof(directory, name), undefined, 'not there');
  write(name, name);
  assert.equal(await spendProof(directory, name), process.getuid?.());
  assert.equal(await spendProof(directory, name), undefined, 'spent');
  write(name, 'x'.repeat(name.length));
  assert.equal(await spendProof(directory, name), undefined, 'another text');
  write('linked', name);
  linkSync(join(directory, 'linked'), join(directory, name));
  assert.equal(await spendProof(directory, name), undefined, 'a hard link');
  write('other', name);
  symlinkSync(join(directory, 'other'), join(directory, name));
  assert.equal(await spendProof(directory, name), undefined, 'a symbolic link');
  assert.equal(await spendProof(directory, '../x'), undefined, 'no name of a proof');
});
