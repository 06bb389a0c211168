/** Maildir and mailbox files on a real file system. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type AgentBody, BodyFault } from '../../src/agent/body.ts';
import { deliverMaildir, type MaildirRequest } from '../../src/agent/maildir.ts';
import { deliverMbox, type MboxRequest } from '../../src/agent/mbox.ts';
import { agentBody } from '../support/agent-body.ts';

const root = mkdtempSync(join(tmpdir(), 'postern-mailbox-'));
after(() => rmSync(root, { recursive: true, force: true }));
const FIELDS = {
  sender: 'sender@example.org',
  original: 'list@example.org',
  deliveredTo: 'user@example.org',
};
const BODY = Buffer.from('Subject: x\r\n\r\nFrom here\r\n>From there\r\nend\r\n');
const HEAD =
  'Return-Path: <sender@example.org>\nX-Original-To: list@example.org\nDelivered-To: user@example.org\n';
let count = 0;
const fresh = (): string => join(root, `m${(count += 1)}`);

const maildir = (path: string, changes: Partial<MaildirRequest> = {}) =>
  deliverMaildir({
    path,
    fields: FIELDS,
    body: agentBody(BODY),
    sizeLimit: 0,
    myhostname: 'mail.example.org',
    nowMs: 1_700_000_000_123,
    serial: (count += 1),
    ...changes,
  });
const mbox = (path: string, changes: Partial<MboxRequest> = {}) =>
  deliverMbox({
    path,
    fields: FIELDS,
    body: agentBody(BODY),
    sizeLimit: 0,
    nowMs: Date.now(),
    owner: undefined,
    delivered: 'mailbox',
    failed: 'cannot update mailbox. ',
    lockMayFail: false,
    lock: { attempts: 2, delayMs: 1, staleMs: 500_000 },
    ...changes,
  });
const only = (directory: string): string => {
  const names = readdirSync(directory);
  assert.equal(names.length, 1);
  return join(directory, names[0] ?? '');
};
async function* broken(): AsyncGenerator<Buffer, void, void> {
  yield BODY;
  throw new BodyFault('connection to qmgr is closed');
}
const brokenBody: AgentBody = { head: BODY, chunks: broken() };

test('a maildir is made private, the message lies in new/ under a name of the form of Postfix', async () => {
  const path = `${fresh()}/deep/`;
  assert.deepEqual(await maildir(path), { status: '2.0.0', reason: 'delivered to maildir' });
  const file = only(join(path, 'new'));
  assert.match(file, /\/1700000000\.V[\da-f]+I[\da-f]+M\d+\.mail\.example\.org$/);
  assert.equal(readFileSync(file, 'latin1'), HEAD + BODY.toString().replaceAll('\r\n', '\n'));
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(join(path, 'tmp')), []);
});

test('two deliveries in the same millisecond are two messages', async () => {
  const path = `${fresh()}/`;
  await Promise.all([maildir(path), maildir(path), maildir(path)]);
  assert.equal(readdirSync(join(path, 'new')).length, 3);
});

const FAULTS: readonly [name: string, Partial<MaildirRequest>, status: string, reason: RegExp][] = [
  [
    'above the size limit',
    { sizeLimit: 50 },
    '5.2.2',
    /^maildir delivery failed: error writing message: File too large$/,
  ],
  [
    'with a body that ends early',
    { body: brokenBody },
    '4.3.0',
    /^cannot read message: connection to qmgr/,
  ],
];
for (const [name, changes, status, reason] of FAULTS) {
  test(`a message ${name} leaves nothing in the maildir`, async () => {
    const path = `${fresh()}/`;
    const result = await maildir(path, changes);
    assert.equal(result.status, status);
    assert.match(result.reason, reason);
    assert.deepEqual([...readdirSync(join(path, 'tmp')), ...readdirSync(join(path, 'new'))], []);
  });
}

test('a file where the maildir should be defers the mail', async () => {
  const path = fresh();
  writeFileSync(path, '');
  const { status, reason } = await maildir(`${path}/`);
  assert.equal(status, '4.2.0');
  assert.match(reason, /^maildir delivery failed: create maildir file .*: Not a directory$/);
});

test('every byte of the body arrives, whatever the pieces', async () => {
  const line = fc.oneof(
    fc.constantFrom('', 'From ', 'From x', '>From ', '.', 'a\tb', 'Fro', 'F'),
    fc.string(),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 8 }),
      fc.integer({ min: 1, max: 9 }),
      async (lines, chunk) => {
        const body = Buffer.from(
          lines.map((each) => `${each.replaceAll(/[\r\n]/g, '')}\r\n`).join(''),
        );
        const wanted = body.toString('latin1').replaceAll('\r\n', '\n');
        const path = `${fresh()}/`;
        await maildir(path, { body: agentBody(body, chunk) });
        assert.equal(readFileSync(only(join(path, 'new')), 'latin1'), HEAD + wanted);
        const file = fresh();
        await mbox(file, { body: agentBody(body, chunk) });
        const stored = readFileSync(file, 'latin1');
        const start = stored.indexOf(HEAD) + HEAD.length;
        assert.equal(stored.slice(start), `${wanted.replaceAll(/^From /gm, '>From ')}\n`);
        rmSync(path, { recursive: true });
        rmSync(file);
      },
    ),
    { numRuns: 60 },
  );
});

test('a mailbox file holds what Python reads as two messages', async () => {
  const file = fresh();
  assert.deepEqual(await mbox(file), { status: '2.0.0', reason: 'delivered to mailbox' });
  await mbox(file, {
    body: agentBody(Buffer.from('Subject: y\r\n\r\nno line end')),
    fields: { ...FIELDS, sender: '' },
  });
  const script =
    'import mailbox,sys\nm=mailbox.mbox(sys.argv[1])\nprint([(x["subject"],x.get_from().split("  ")[0],x["return-path"]) for x in m])';
  const run = spawnSync('python3', ['-c', script, file], { encoding: 'utf8' });
  assert.equal(
    run.stdout.trim(),
    "[('x', 'sender@example.org', '<sender@example.org>'), ('y', 'MAILER-DAEMON', '<>')]",
  );
  assert.ok(!existsSync(`${file}.lock`));
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('a failed delivery cuts the mailbox back to its old size', async () => {
  const file = fresh();
  await mbox(file);
  const before = readFileSync(file);
  const large = await mbox(file, { sizeLimit: before.length + 10 });
  assert.deepEqual(large, {
    status: '5.2.2',
    reason: 'cannot update mailbox. error writing message: File too large',
  });
  const { status } = await mbox(file, { body: { ...brokenBody, chunks: broken() } });
  assert.equal(status, '4.3.0');
  assert.deepEqual(readFileSync(file), before);
});

test('symbolic links, hard links, directories and foreign owners are refused', async () => {
  const target = fresh();
  writeFileSync(target, 'precious');
  const symbolic = fresh();
  symlinkSync(target, symbolic);
  assert.match((await mbox(symbolic)).reason, /symbolic link/);
  const dangling = fresh();
  symlinkSync(`${target}.not-there`, dangling);
  assert.equal((await mbox(dangling)).status, '4.2.0');
  assert.ok(!existsSync(`${target}.not-there`));
  const hard = fresh();
  linkSync(target, hard);
  assert.match((await mbox(hard)).reason, /has 2 hard links/);
  const directory = fresh();
  mkdirSync(directory);
  assert.equal((await mbox(directory)).status, '4.2.0');
  const foreign = fresh();
  writeFileSync(foreign, '');
  assert.match((await mbox(foreign, { owner: 12345 })).reason, /is not owned by recipient/);
  assert.equal(readFileSync(target, 'utf8'), 'precious');
});

test('a lock of another program is waited for, an old one taken away', async () => {
  const file = fresh();
  writeFileSync(`${file}.lock`, '');
  const { status, reason } = await mbox(file);
  assert.equal(status, '4.2.0');
  assert.match(reason, /unable to lock for exclusive access/);
  assert.ok(existsSync(`${file}.lock`));
  utimesSync(`${file}.lock`, 1000, 1000);
  assert.equal((await mbox(file)).status, '2.0.0');
});

test('/dev/null takes everything', async () => {
  assert.equal(
    (await mbox('/dev/null', { delivered: 'file: /dev/null' })).reason,
    'delivered to file: /dev/null',
  );
});
