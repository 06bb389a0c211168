/**
 * Each kind of process, under root, is shown unable to do what it may not.
 *
 * The kernel's own record of a running process (/proc/PID/status) says whose rights it has; the
 * forbidden action is then tried with exactly these by setpriv(1). What a pipe command may do it
 * tries itself. Every action is tried as root too: one that fails there would prove nothing.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openSink, type Sink } from '../../bench/load/sink.ts';
import { type Account, findAccount } from '../../src/util/accounts.ts';
import { testCertificate } from '../support/certs.ts';
import {
  freePorts,
  makeDirectory,
  type PosternInstance,
  removeDirectory,
  runProgram,
  startPostern,
  until,
} from '../support/instance.ts';
import { processesOf, statusOf } from '../support/processes.ts';
import { needs, needsRoot } from '../support/programs.ts';
import { openSession } from '../support/session.ts';

/** Accounts that every Debian has; none of them means anything here. */
const NAMES = { mail: 'list', auth: 'irc', virtual: 'www-data', pipe: 'games', local: 'backup' };
const account = (kind: keyof typeof NAMES): Account => {
  const found = findAccount(NAMES[kind]);
  if (!found) throw new Error(`no account ${NAMES[kind]}`);
  return found;
};
const isMissing = Object.values(NAMES).some((name) => findAccount(name) === undefined);
const options = {
  ...needs('setpriv'),
  ...needsRoot(),
  ...(isMissing ? { skip: 'accounts of Debian are missing' } : {}),
};

const directory = makeDirectory('postern-rights-');
const at = (...names: string[]): string => join(directory, ...names);
const [exchange = 0, submission = 0] = await freePorts(2);

const KEY = at('certs/server.key');
const PASSWD = at('etc/passwd');
const SASL = at('etc/sasl_password');
const QUEUE = at('spool/postern/queue/data.mdb');
/** Name, and what a shell does. */
const ACTIONS = {
  'read the TLS key': `cat ${KEY}`,
  'read the password file': `cat ${PASSWD}`,
  'read the passwords of smart hosts': `cat ${SASL}`,
  'write the configuration': `echo x > ${at('etc/intruder')}`,
  'change main.cf': `echo >> ${at('etc/main.cf')}`,
  'read a mailbox': `cat ${at('mail/box')}`,
  'write a mailbox': `echo >> ${at('mail/box')}`,
  'read the queue': `cat ${QUEUE}`,
  'put a socket among ours': `echo > ${at('spool/postern/private/intruder')}`,
  'read what others submit': `ls ${at('spool/postern/maildrop')}`,
  'pose as the server': `echo 1 > ${at('spool/postern/pid/master.pid.new')}`,
} as const;
type Action = keyof typeof ACTIONS;

let instance: PosternInstance;
let sink: Sink;

before(async () => {
  if ('skip' in options) return;
  sink = await openSink();
  await testCertificate(['localhost'], { directory: at('certs') });
  for (const name of ['mail', 'spoolmail', 'out']) mkdirSync(at(name));
  writeFileSync(at('mail/box'), '', { mode: 0o600 });
  for (const path of ['mail', 'mail/box']) {
    chownSync(at(path), account('virtual').uid, account('virtual').gid);
  }
  chmodSync(at('spoolmail'), 0o1777);
  chmodSync(at('out'), 0o1777);
  instance = await startPostern({
    directory,
    main: {
      mail_owner: NAMES.mail,
      auth_owner: NAMES.auth,
      mynetworks: '127.0.0.0/8',
      mydestination: 'local.example',
      local_recipient_maps: '',
      alias_maps: '',
      mail_spool_directory: at('spoolmail'),
      mailbox_delivery_lock: 'dotlock',
      virtual_mailbox_lock: 'dotlock',
      deliver_lock_delay: '1s',
      deliver_lock_attempts: '20',
      virtual_mailbox_domains: 'virtual.example',
      virtual_mailbox_base: '/',
      virtual_mailbox_maps: 'texthash:$config_directory/boxes',
      virtual_uid_maps: `static:${account('virtual').uid}`,
      virtual_gid_maps: `static:${account('virtual').gid}`,
      virtual_minimum_uid: '1',
      transport_maps: 'texthash:$config_directory/transport',
      relayhost: `[127.0.0.1]:${sink.port}`,
      smtp_sasl_auth_enable: 'yes',
      smtp_sasl_password_maps: 'texthash:$config_directory/sasl_password',
      smtpd_tls_chain_files: `${KEY}, ${at('certs/server.pem')}`,
      smtpd_sasl_type: 'postern',
    },
    master: `127.0.0.1:${exchange} inet n - n - - smtpd
127.0.0.1:${submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
smtp unix - - n - - smtp
relay unix - - n - - smtp
local unix - n n - - local
virtual unix - n n - - virtual
probe unix - n n - - pipe user=${NAMES.pipe} argv=/bin/sh ${at('probe')}
`,
    files: {
      passwd: 'staff@example.org:{PLAIN}Tr0ub4dor\n',
      sasl_password: '[192.0.2.1]:25 user:secret\n',
      boxes: `box@virtual.example ${at('mail/box')}\n`,
      transport: 'probe.example probe:\n',
      '../probe': `exec 2>/dev/null\n${Object.entries(ACTIONS)
        .map(([name, text]) => `(${text}) >/dev/null && echo '${name}' >> ${at('out/could')}\n`)
        .join('')}cat /proc/self/status > ${at('out/status')}\n`,
    },
  });
  for (const file of [PASSWD, SASL]) chmodSync(file, 0o600);
});
after(async () => {
  await instance?.stop();
  await sink?.close();
  removeDirectory(directory);
});

type Rights = { readonly uids: number[]; readonly gid: number; readonly groups: number[] };

/** The rights of a process as the kernel knows them; real, effective, saved and file system uid. */
function rightsOf(status: ReadonlyMap<string, string>): Rights & { readonly capabilities: bigint } {
  const numbers = (name: string): number[] =>
    (status.get(name) ?? '').trim().split(/\s+/).filter(Boolean).map(Number);
  return {
    uids: numbers('Uid'),
    gid: numbers('Gid')[1] ?? -1,
    groups: numbers('Groups'),
    capabilities: BigInt(`0x${status.get('CapEff') ?? 'f'}`),
  };
}

async function could({ uids, gid, groups }: Rights, action: Action): Promise<boolean> {
  const ids = [`--reuid=${uids[1]}`, `--regid=${gid}`];
  const lists = groups.length > 0 ? [`--groups=${groups.join(',')}`] : ['--clear-groups'];
  const run = await runProgram('setpriv', [...ids, ...lists, 'sh', '-c', ACTIONS[action]]);
  return run.code === 0;
}

async function mayOnly(rights: Rights, allowed: readonly Action[]): Promise<void> {
  const able: string[] = [];
  for (const action of Object.keys(ACTIONS) as Action[]) {
    if (await could(rights, action)) able.push(action);
  }
  assert.deepEqual(able, allowed);
}

async function send(to: string): Promise<void> {
  const session = await openSession(exchange);
  await session.expect(220);
  await session.command('EHLO client.example.net', 250);
  await session.send('a@example.net', to, 'Subject: rights\n\nx\n');
  await session.quit();
}

const running = async (title: string): Promise<ReadonlyMap<string, string>> => {
  const pids = (): number[] => processesOf(instance.masterPid(), `postern ${title}`);
  await until(`a ${title} process`, () => pids().length > 0);
  return statusOf(pids()[0] ?? 0);
};

test('as root all of it is possible', options, async () => {
  await mayOnly({ uids: [0, 0], gid: 0, groups: [0] }, Object.keys(ACTIONS) as Action[]);
});

test(
  'set-permissions gives the password file to the auth process alone; users log in',
  options,
  async () => {
    assert.equal((await instance.postern('set-permissions')).code, 0);
    const { uid, gid, mode } = statSync(PASSWD);
    assert.deepEqual([uid, gid, mode & 0o777], [0, account('auth').gid, 0o640]);
    const session = await openSession(submission);
    await session.expect(220);
    await session.command('EHLO client.example.net', 250);
    await session.command('STARTTLS', 220);
    await session.upgrade({ rejectUnauthorized: false });
    await session.command('EHLO client.example.net', 250);
    const secret = Buffer.from('\0staff@example.org\0Tr0ub4dor').toString('base64');
    await session.command(`AUTH PLAIN ${secret}`, 235);
    await session.quit();
  },
);

for (const title of ['smtpd', 'qmgr', 'smtp']) {
  test(
    `${title} has the rights of mail_owner for good, and these open the queue only`,
    options,
    async () => {
      if (title === 'smtp') await send('b@far.example');
      if (title === 'smtp')
        await until('it is sent', () => instance.log().includes('to=<b@far.example>'));
      const { uids, gid, groups, capabilities } = rightsOf(await running(title));
      const { uid, gid: own } = account('mail');
      assert.deepEqual(uids, [uid, uid, uid, uid]);
      assert.equal(gid, own);
      assert.ok(!groups.includes(0));
      assert.equal(capabilities, 0n);
      await mayOnly({ uids, gid, groups }, ['read the queue', 'read what others submit']);
    },
  );
}

test(
  'auth has the rights of auth_owner for good, and these open the password file only',
  options,
  async () => {
    const { uids, gid, groups, capabilities } = rightsOf(await running('auth'));
    const { uid, gid: own } = account('auth');
    assert.deepEqual(uids, [uid, uid, uid, uid]);
    assert.equal(gid, own);
    assert.ok(!groups.includes(0));
    assert.equal(capabilities, 0n);
    await mayOnly({ uids, gid, groups }, ['read the password file']);
  },
);

test('a pipe command has the rights of its user, and tries the rest in vain', options, async () => {
  await send('x@probe.example');
  await until('it has run', () => instance.log().includes('to=<x@probe.example>'));
  assert.match(instance.log(), /to=<x@probe\.example>.*status=sent/);
  const text = readFileSync(at('out/status'), 'utf8');
  const lines = text.split('\n').map((line) => line.split(':\t') as [string, string]);
  const { uids, groups, capabilities } = rightsOf(new Map(lines));
  const { uid } = account('pipe');
  assert.deepEqual(uids, [uid, uid, uid, uid]);
  assert.ok(!groups.includes(0));
  assert.equal(capabilities, 0n);
  assert.throws(() => readFileSync(at('out/could')), /ENOENT/, 'it could do nothing of the list');
});

for (const [title, to, box, user, allowed] of [
  ['local', `${NAMES.local}@local.example`, `spoolmail/${NAMES.local}`, 'local', []],
  ['virtual', 'box@virtual.example', 'mail/box', 'virtual', ['read a mailbox', 'write a mailbox']],
] as const) {
  test(`${title} delivers with the rights of the owner of the mailbox`, options, async () => {
    // A lock makes the delivery wait, so that it can be looked at.
    writeFileSync(at(`${box}.lock`), '');
    await send(to);
    const effective = async (): Promise<Rights & { capabilities: bigint }> =>
      rightsOf(await running(title));
    const { uid, gid } = account(user);
    await until('the delivery', async () => (await effective()).uids[1] === uid);
    const rights = await effective();
    assert.equal(rights.uids[3], uid, 'files are opened as the user');
    assert.equal(rights.gid, gid);
    assert.ok(!rights.groups.includes(0));
    assert.equal(rights.capabilities, 0n);
    await mayOnly(rights, allowed);
    await runProgram('rm', [at(`${box}.lock`)]);
    await until('it is delivered', () => instance.log().includes(`to=<${to}>`));
    assert.equal(statSync(at(box)).uid, uid);
    assert.ok(statSync(at(box)).size > 0);
  });
}
