/**
 * Delivery to accounts of this system, with their identities, through a running server: mailboxes,
 * aliases, .forward, commands, files, lists, pipe(8), virtual mailboxes, and LMTP to Dovecot.
 * Debian's Postfix gets the same mail and the same configuration; its log is the measure.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  freePorts,
  makeDirectory,
  removeDirectory,
  startPostern,
  startPostfix,
  startProgram,
  until,
} from '../support/instance.ts';
import { messagesIn, submit } from '../support/postfix-pair.ts';
import { needs, needsRoot } from '../support/programs.ts';

const skip = { ...needs('postfix', 'dovecot'), ...needsRoot() };
const NOBODY = 65_534;
const GAMES = 5;
const directory = makeDirectory('delivery-');

type Server = {
  readonly base: string;
  readonly port: number;
  readonly log: () => string;
  readonly stop: () => Promise<void>;
};
let servers: readonly Server[] = [];
let dovecot: { readonly stop: () => Promise<void> } | undefined;

/** A place for one server to deliver to, and what it reads there. */
function makeBase(name: string): string {
  const base = join(directory, name);
  for (const folder of ['', 'spool', 'forward', 'out', 'virtual']) {
    mkdirSync(join(base, folder), { recursive: true });
    chmodSync(join(base, folder), folder === '' || folder === 'forward' ? 0o755 : 0o1777);
  }
  const aliases = [
    `both nobody, games`,
    `command "|id -un > ${base}/out/command; cat >> ${base}/out/command"`,
    `failing "|exit 77"`,
    `late "|exit 75"`,
    `file ${base}/out/file`,
    `list :include:${base}/list`,
    `owner-list games`,
    `outside b@virtual.example`,
  ];
  writeFileSync(join(base, 'aliases'), `${aliases.join('\n')}\n`);
  writeFileSync(join(base, 'list'), '# members\nnobody\n"games"\n');
  const forward = join(base, 'forward/games');
  writeFileSync(forward, `\\games, "|id -un > ${base}/out/forward"\n`);
  chownSync(forward, GAMES, 60);
  chmodSync(forward, 0o644);
  return base;
}

const mainOf = (base: string, lmtpSocket: string): Record<string, string> => ({
  mynetworks: '127.0.0.0/8',
  mydomain: 'example.org',
  mydestination: 'example.org',
  myorigin: 'example.org',
  smtpd_recipient_restrictions: 'permit_mynetworks, reject',
  smtpd_relay_restrictions: 'permit_mynetworks, reject',
  alias_maps: `texthash:${base}/aliases`,
  alias_database: '',
  local_recipient_maps: '',
  mail_spool_directory: `${base}/spool/`,
  forward_path: `${base}/forward/$user`,
  default_privs: 'nobody',
  allow_mail_to_commands: 'alias, forward',
  allow_mail_to_files: 'alias, forward',
  virtual_mailbox_domains: 'virtual.example',
  virtual_mailbox_base: `${base}/virtual`,
  virtual_mailbox_maps: 'inline:{{b@virtual.example=b/},{m@virtual.example=m}}',
  virtual_uid_maps: `static:${NOBODY}`,
  virtual_gid_maps: `static:${NOBODY}`,
  transport_maps: `inline:{{piped.example=mypipe:hop},{stored.example=lmtp:unix:${lmtpSocket}}}`,
  recipient_delimiter: '+',
  queue_run_delay: '1000s',
  minimal_backoff_time: '1000s',
});

const rowsOf = (base: string): string => `mypipe unix - n n - - pipe
  flags=DRq user=games argv=/bin/sh ${base}/pipe.sh \${sender} \${recipient} \${nexthop} \${size}
`;

before(async () => {
  if (skip.skip !== undefined) return;
  const bases = [makeBase('postern'), makeBase('postfix')] as const;
  for (const base of bases) {
    writeFileSync(
      join(base, 'pipe.sh'),
      `printf '%s\\n' "$(id -un)" "$@" > ${base}/out/pipe; cat >> ${base}/out/pipe\n`,
    );
    chmodSync(join(base, 'pipe.sh'), 0o755);
  }
  const socket = join(directory, 'lmtp');
  dovecot = await startDovecot(socket);
  const [posternPort = 0, postfixPort = 0] = await freePorts(2);
  const postfix = await startPostfix({
    main: mainOf(bases[1], socket),
    master: `127.0.0.1:${postfixPort} inet n - n - - smtpd
lmtp unix - - n - - lmtp
${rowsOf(bases[1])}`,
  });
  const postern = await startPostern({
    main: mainOf(bases[0], socket),
    master: `127.0.0.1:${posternPort} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
cleanup unix n - n - 0 cleanup
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
smtp unix - - n - - smtp
error unix - - n - - error
${rowsOf(bases[0])}`,
  });
  servers = [
    { base: bases[0], port: posternPort, log: postern.log, stop: postern.stop },
    { base: bases[1], port: postfixPort, log: postfix.log, stop: postfix.stop },
  ];
});
after(async () => {
  if (skip.skip !== undefined) return;
  await Promise.all(servers.map((server) => server.stop()));
  await dovecot?.stop();
  removeDirectory(directory);
});

async function startDovecot(socket: string) {
  const home = join(directory, 'dovecot');
  for (const name of ['', 'base', 'state', 'mail']) mkdirSync(join(home, name));
  chmodSync(join(home, 'mail'), 0o777);
  writeFileSync(
    join(home, 'dovecot.conf'),
    `base_dir = ${home}/base
state_dir = ${home}/state
log_path = ${home}/log
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_location = maildir:${home}/mail/%n
recipient_delimiter = +
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=${home}/mail/%n allow_all_users=yes
}
passdb {
  driver = static
  args = password=x
}
protocol lmtp {
  auth_username_format = %Ln
}
service lmtp {
  unix_listener ${socket} {
    mode = 0666
  }
}
service anvil {
  chroot =
}
`,
  );
  const program = startProgram('dovecot', ['-F', '-c', join(home, 'dovecot.conf')]);
  await until('Dovecot listens', () => existsSync(socket));
  return program;
}

const lineOf = (log: string, recipient: string): string | undefined =>
  log.split('\n').find((line) => line.includes(`to=<${recipient}>`) && line.includes('status='));

/** From relay= on, what differs between two runs put out. */
const shape = (line: string, base: string): string =>
  line
    .slice(line.indexOf('to=<'))
    .replaceAll(base, 'BASE')
    .replace(/delay=.*, dsn/, 'dsn')
    .replace(/(forwarded as|<\w+@example\.org>) \w+/, '$1 ID')
    .replace(/relay=[\w.]+\[\//, 'relay=NAME[/')
    .replace(/ \S{10,} Saved/, ' SESSION Saved');

/** Both servers get it; the delivery lines of `told` must be alike. */
async function deliver(
  recipient: string,
  told: readonly string[] = [recipient],
): Promise<string[]> {
  const shapes: string[][] = [];
  for (const server of servers) shapes.push(await deliverTo(server, recipient, told));
  assert.deepEqual(shapes[0], shapes[1]);
  return shapes[0] ?? [];
}

async function deliverTo(
  { port, log, base }: Server,
  recipient: string,
  told: readonly string[],
): Promise<string[]> {
  const before = log().length;
  await submit(port, {
    from: '<a@client.example>',
    to: [`<${recipient}>`],
    message: `X-Begin: ${recipient}\r\nSubject: x\r\n\r\nFrom me\r\n.dot\r\n`,
  });
  const fresh = (): string => log().slice(before);
  await until(`${told} are logged`, () => told.every((each) => lineOf(fresh(), each)));
  return told.map((each) => shape(lineOf(fresh(), each) ?? '', base));
}

/** A file that both servers wrote, without what names the server or the moment. */
function written(name: string): string {
  const [ours = '', theirs = ''] = servers.map(({ base }) => {
    const path = join(base, name);
    return readFileSync(path, 'latin1')
      .replaceAll(base, 'BASE')
      .replaceAll(/^Received: .*\n(?:[ \t].*\n)*/gm, 'Received:\n')
      .replaceAll(/^(Date|Message-I[dD]): .*$/gm, '$1:')
      .replaceAll(/^From a@client\.example .*$/gm, 'From a@client.example DATE');
  });
  // The size of a message has the length of its Received: line in it.
  assert.equal(ours.replaceAll(/^\d+$/gm, 'N'), theirs.replaceAll(/^\d+$/gm, 'N'));
  return ours;
}
const ownersOf = (name: string): number[] =>
  servers.map(({ base }) => statSync(join(base, name)).uid);

test(
  'a mailbox belongs to its account, and so does the identity that writes it',
  skip,
  async () => {
    const [line = ''] = await deliver('nobody@example.org');
    assert.match(line, /relay=local, dsn=2\.0\.0, status=sent \(delivered to maildir\)$/);
    assert.deepEqual(ownersOf('spool/nobody/new'), [NOBODY, NOBODY]);
    const texts = servers.map(({ base }) => messagesIn(join(base, 'spool/nobody')));
    assert.deepEqual(
      texts.map((each) => each.length),
      [1, 1],
    );
    assert.match(
      texts[0]?.[0] ?? '',
      /^Return-Path: <a@client\.example>\nX-Original-To: nobody@example\.org\nDelivered-To: nobody@example\.org\n/,
    );
  },
);

test('an alias for two, one of them with a .forward', skip, async () => {
  // Unlike Postfix: one line for the alias, not one for each that it stands for.
  const [postern, postfix] = servers;
  assert.ok(postern && postfix);
  await deliverTo(postern, 'both@example.org', ['both@example.org']);
  await deliverTo(postfix, 'both@example.org', ['nobody@example.org', 'games@example.org']);
  for (const { base } of servers) {
    const forwarded = join(base, 'out/forward');
    await until(
      'the .forward ran, as games',
      () => existsSync(forwarded) && readFileSync(forwarded, 'utf8') === 'games\n',
    );
    await until('games has it', () => messagesIn(join(base, 'spool/games')).length === 1);
  }
  assert.deepEqual(ownersOf('out/forward'), [GAMES, GAMES]);
});

test('|command of an alias runs as default_privs', skip, async () => {
  const [line = ''] = await deliver('command@example.org');
  assert.match(line, /status=sent \(delivered to command: id -un/);
  assert.match(written('out/command'), /^nobody\nFrom a@client\.example DATE\nReturn-Path/);
  assert.deepEqual(ownersOf('out/command'), [NOBODY, NOBODY]);
});

test('a command that fails bounces, one that asks for time is deferred', skip, async () => {
  const [failed = ''] = await deliver('failing@example.org');
  assert.match(failed, /dsn=5\.7\.0, status=bounced \(permission denied\)$/);
  const [late = ''] = await deliver('late@example.org');
  assert.match(late, /dsn=4\.3\.0, status=deferred \(temporary failure\)$/);
});

test('/file of an alias is a mailbox of default_privs', skip, async () => {
  const [line = ''] = await deliver('file@example.org');
  assert.match(line, /status=sent \(delivered to file: BASE\/out\/file\)$/);
  assert.match(written('out/file'), /^From a@client\.example DATE\n[\s\S]*\n>From me\n\.dot\n\n$/);
  assert.deepEqual(ownersOf('out/file'), [NOBODY, NOBODY]);
});

test(':include: names its members, and owner- takes over as the sender', skip, async () => {
  await deliver('list@example.org', ['nobody@example.org']);
  for (const { base, log } of servers) {
    assert.match(log(), /from=<owner-list@example\.org>|from=<games@example\.org>/);
    const boxes = messagesIn(join(base, 'spool/nobody')).filter((text) =>
      text.includes('X-Begin: list@example.org'),
    );
    assert.equal(boxes.length, 1);
    assert.match(boxes[0] ?? '', /^Return-Path: <owner-list@example\.org>\n/);
  }
});

test('an unknown account bounces', skip, async () => {
  const [line = ''] = await deliver('who@example.org');
  assert.match(line, /dsn=5\.1\.1, status=bounced \(unknown user: "who"\)$/);
});

test('virtual: a maildir and a mailbox file', skip, async () => {
  const [maildir = ''] = await deliver('b@virtual.example');
  assert.match(maildir, /relay=virtual, dsn=2\.0\.0, status=sent \(delivered to maildir\)$/);
  const [mailbox = ''] = await deliver('m@virtual.example');
  assert.match(mailbox, /relay=virtual, dsn=2\.0\.0, status=sent \(delivered to mailbox\)$/);
  written('virtual/m');
  assert.deepEqual(ownersOf('virtual/m'), [NOBODY, NOBODY]);
  assert.deepEqual(ownersOf('virtual/b/new'), [NOBODY, NOBODY]);
});

test('pipe: the command has its arguments, its user and the message', skip, async () => {
  const [line = ''] = await deliver('p+ext@piped.example');
  assert.match(line, /relay=mypipe, dsn=2\.0\.0, status=sent \(delivered via mypipe service\)$/);
  const text = written('out/pipe');
  assert.match(text, /^games\na@client\.example\np\+ext@piped\.example\nhop\n\d+\nReturn-Path/);
});

test('LMTP: Dovecot stores it, its word is in the log', skip, async () => {
  const [line = ''] = await deliver('box@stored.example');
  assert.match(
    line,
    /relay=NAME\[.*lmtp\], dsn=2\.0\.0, status=sent \(250 2\.0\.0 <box@stored\.example> SESSION Saved\)$/,
  );
  const stored = messagesIn(join(directory, 'dovecot/mail/box'));
  assert.equal(stored.length, 2);
  assert.ok(stored.every((text) => text.endsWith('\nFrom me\n.dot\n')));
});
