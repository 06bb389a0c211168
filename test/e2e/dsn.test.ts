/**
 * Delivery status notifications through the running server, beside Debian's Postfix on the same
 * mail: who is told what, in which parts and fields.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  freePorts,
  makeDirectory,
  type PosternInstance,
  removeDirectory,
  startPostern,
  startPostfix,
  startProgram,
  until,
} from '../support/instance.ts';
import { needs, needsRoot } from '../support/programs.ts';

const SENDER = 'boss@mail.example.org';
const skip = { ...needsRoot(), ...needs('postfix', 'smtp-sink', 'python3') };

type Server = { readonly port: number; readonly files: string; readonly log: () => string };
let ours: Server;
let theirs: Server;
const stops: (() => Promise<void>)[] = [];

/** The same site for both: aliases, virtual aliases, a next hop that knows no DSN. */
function settings(directory: string, sinkPort: number): Record<string, string> {
  return {
    myhostname: 'mail.example.org',
    mydestination: 'mail.example.org',
    myorigin: 'mail.example.org',
    mynetworks: '127.0.0.0/8',
    alias_maps: 'texthash:$config_directory/aliases',
    alias_database: '',
    local_recipient_maps: '',
    virtual_alias_domains: 'virtual.example',
    virtual_alias_maps: 'texthash:$config_directory/virtual',
    transport_maps: `inline:{{far.example = smtp:[127.0.0.1]:${sinkPort}},{later.example = retry:4.1.2 busy}}`,
    mail_spool_directory: `${directory}/boxes/`,
    smtpd_relay_restrictions: '',
    smtpd_recipient_restrictions: 'permit_mynetworks, reject',
    smtpd_tls_security_level: 'none',
    bounce_size_limit: '1000',
    notify_classes: 'bounce, 2bounce, delay',
    delay_warning_time: '1s',
    minimal_backoff_time: '1s',
    maximal_backoff_time: '1s',
    queue_run_delay: '1s',
  };
}

const tables = (directory: string): Record<string, string> => ({
  aliases:
    `boss ${directory}/boxes/boss\npostmaster ${directory}/boxes/postmaster\n` +
    'one far@far.example\nlater x@later.example\nlist far@far.example\nowner-list boss\nsink /dev/null\n',
  virtual: 'v@virtual.example far@far.example\n',
});

before(async () => {
  if (skip.skip) return;
  const [sinkPort = 0, ourPort = 0, theirPort = 0] = await freePorts(3);
  const sink = startProgram('smtp-sink', ['-N', '-u', 'nobody', `127.0.0.1:${sinkPort}`, '64']);
  stops.push(sink.stop);
  const boxes = (): string => {
    const directory = makeDirectory('postern-dsn-');
    mkdirSync(join(directory, 'boxes'));
    chmodSync(join(directory, 'boxes'), 0o1777);
    stops.push(async () => removeDirectory(directory));
    return directory;
  };
  const [ourDirectory, theirDirectory] = [boxes(), boxes()];
  const row = (port: number) => `127.0.0.1:${port} inet n - n - - smtpd\n`;
  const postern: PosternInstance = await startPostern({
    main: settings(ourDirectory, sinkPort),
    master: `${row(ourPort)}qmgr unix n - n 300 1 qmgr\nsmtp unix - - n - - smtp\nlocal unix - n n - - local\nretry unix - - n - - error\nerror unix - - n - - error\n`,
    files: tables(ourDirectory),
  });
  stops.unshift(postern.stop);
  const postfix = await startPostfix({
    main: { ...settings(theirDirectory, sinkPort), disable_dns_lookups: 'yes' },
    master: row(theirPort),
    files: tables(theirDirectory),
  });
  stops.unshift(postfix.stop);
  ours = { port: ourPort, files: ourDirectory, log: postern.log };
  theirs = { port: theirPort, files: theirDirectory, log: postfix.log };
});
after(async () => {
  for (const stop of stops) await stop();
});

type Mail = {
  readonly from: string;
  readonly to: string;
  readonly mail?: string;
  readonly rcpt?: string;
  readonly lines?: number;
  /** Subject, to find the report by. */
  readonly subject: string;
};

async function send({ port }: Server, mail: Mail): Promise<void> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1');
  let received = '';
  socket.on('data', (text) => {
    received += text;
  });
  const dialog = [
    'EHLO client.example.org',
    `MAIL FROM:<${mail.from}> ${mail.mail ?? ''}`.trim(),
    `RCPT TO:<${mail.to}> ${mail.rcpt ?? ''}`.trim(),
    'DATA',
    `Subject: ${mail.subject}\r\nMessage-Id: <m@x>\r\nDate: x\r\nFrom: <a@b.example>\r\n\r\n${'line\r\n'.repeat(mail.lines ?? 1)}.`,
    'QUIT',
  ];
  const replies = () => (received.match(/^\d{3} /gm) ?? []).length;
  await until('greeting', () => replies() === 1);
  for (const [at, line] of dialog.entries()) {
    socket.write(`${line}\r\n`);
    await until(line.slice(0, 40), () => replies() === at + 2);
  }
  socket.destroy();
  assert.match(received, /^250 2\.0\.0 Ok: queued as /m);
}

type Report = {
  readonly headers: Record<string, string>;
  readonly types: readonly string[];
  readonly descriptions: readonly string[];
  readonly groups: readonly (readonly (readonly [string, string])[])[];
  readonly returned: string;
  readonly lists: string;
};

const READER = `
import email, email.policy, json, mailbox, sys
out = []
for raw in mailbox.mbox(sys.argv[1]):
    m = email.message_from_bytes(raw.as_bytes(), policy=email.policy.default)
    parts = list(m.iter_parts())
    assert len(parts) == 3, raw.as_string()
    assert not m.defects, m.defects
    returned = parts[2].get_payload()
    out.append({
        'headers': {k.lower(): str(v) for k, v in m.items()},
        'types': [m.get_content_type()] + [p.get_content_type() for p in parts],
        'descriptions': [p['content-description'] for p in parts],
        'groups': [[[k.lower(), str(v)] for k, v in g.items()] for g in parts[1].get_payload()],
        'returned': returned[0].as_string() if isinstance(returned, list) else str(returned),
        'lists': parts[0].get_content().split('The mail system')[-1],
    })
print(json.dumps(out))
`;

/** Reports in a mailbox so far, by the subject of the mail they are about. */
function reportCount({ files }: Server, box: string, subject: string): number {
  const file = join(files, 'boxes', box);
  if (!existsSync(file)) return 0;
  return readFileSync(file, 'latin1').split(`\nSubject: ${subject}\n`).length - 1;
}

const read = new Map<string, readonly Report[]>();

function reportOn(server: Server, box: string, subject: string): Report | undefined {
  const file = join(server.files, 'boxes', box);
  if (!read.has(file)) {
    const run = spawnSync('python3', ['-c', READER, file], { encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);
    read.set(file, JSON.parse(run.stdout));
  }
  return read.get(file)?.find(({ returned }) => returned.includes(`Subject: ${subject}\n`));
}

/** What must be the same: no ids, dates, or names of the programs. */
function shape(report: Report) {
  const variable = /^(?:arrival-date|x-postfix-queue-id|will-retry-until)$/;
  return {
    subject: report.headers['subject'],
    from: report.headers['from'],
    to: report.headers['to'],
    automatic: report.headers['auto-submitted'],
    types: report.types,
    descriptions: report.descriptions,
    groups: report.groups.map((group) =>
      group.map(([name, value]) => (variable.test(name) ? name : `${name}: ${value}`)),
    ),
    returned: report.returned
      .split('\n')
      .filter((line) => /^(?:Return-Path|Subject|Message-Id|line)/.test(line)),
    lists: report.lists
      .replaceAll(/\s+/g, ' ')
      .replaceAll(/127\.0\.0\.1\]:\d+/g, '127.0.0.1]:PORT'),
  };
}

const ASK = { mail: 'RET=HDRS ENVID=id+2B1', rcpt: 'NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o+40x' };
const CASES: readonly [
  what: string,
  mail: Omit<Mail, 'from' | 'subject'> & { readonly from?: string },
  box: string,
  action: string,
][] = [
  ['a next hop without DSN', { to: 'far@far.example', ...ASK }, 'boss', 'relayed'],
  ['a local file', { to: 'sink@mail.example.org', ...ASK }, 'boss', 'expanded'],
  ['a mailbox', { to: 'nobody@mail.example.org', ...ASK }, 'boss', 'delivered'],
  ['a virtual alias', { to: 'v@virtual.example', ...ASK }, 'boss', 'expanded'],
  ['a local alias', { to: 'one@mail.example.org', ...ASK }, 'boss', 'expanded'],
  ['a list with an owner', { to: 'list@mail.example.org', ...ASK }, 'boss', 'delivered'],
  ['a failure', { to: 'unknown@mail.example.org' }, 'boss', 'failed'],
  ['a failure, RET=HDRS', { to: 'unknown@mail.example.org', ...ASK }, 'boss', 'failed'],
  ['a failure of large mail', { to: 'unknown@mail.example.org', lines: 500 }, 'boss', 'failed'],
  ['a copy of a failure', { to: 'unknown@mail.example.org' }, 'postmaster', 'failed'],
  ['a bounce that fails', { from: '', to: 'unknown@mail.example.org' }, 'postmaster', 'failed'],
  ['a delay', { to: 'later@mail.example.org', ...ASK, rcpt: 'NOTIFY=DELAY' }, 'boss', 'delayed'],
];

test('every mail is taken, and reported to one mailbox or another', skip, async () => {
  for (const server of [ours, theirs]) {
    for (const [at, [, mail]] of CASES.entries()) {
      await send(server, { from: SENDER, subject: `case${at}`, ...mail });
    }
  }
  for (const server of [ours, theirs]) {
    for (const [at, [what, , box]] of CASES.entries()) {
      await until(what, () => reportCount(server, box, `case${at}`) > 0);
    }
  }
});

for (const [at, [what, , box, action]] of CASES.entries()) {
  test(`${what}: the report of Postern is that of Postfix`, skip, () => {
    const [our, their] = [ours, theirs].map((server) => reportOn(server, box, `case${at}`));
    assert.ok(our && their);
    assert.deepEqual(shape(our), shape(their));
    const fields = our.groups[1]?.map(([name, value]) => `${name}: ${value}`) ?? [];
    assert.ok(fields.includes(`action: ${action}`), fields.join('\n'));
  });
}

test('nobody is told who did not ask', skip, async () => {
  const mails: readonly (readonly [subject: string, to: string, rcpt: string])[] = [
    ['only-failures', 'sink@mail.example.org', 'NOTIFY=FAILURE'],
    ['never', 'unknown@mail.example.org', 'NOTIFY=NEVER'],
    ['default', 'unknown@mail.example.org', ''],
  ];
  for (const [subject, to, rcpt] of mails) await send(ours, { from: SENDER, to, rcpt, subject });
  await until('the last report', () => reportCount(ours, 'boss', 'default') === 1);
  assert.equal(reportCount(ours, 'boss', 'only-failures'), 0);
  assert.equal(reportCount(ours, 'boss', 'never'), 0);
});

test('the log names the reports in the words of Postfix', skip, () => {
  const words = (text: string): string[] =>
    [
      ...new Set([...text.matchAll(/(?:sender|postmaster) [\w -]+ notification: /g)].map(String)),
    ].sort();
  assert.deepEqual(words(ours.log()), words(theirs.log()));
  assert.equal(words(ours.log()).length, 5);
  assert.match(readFileSync(join(ours.files, 'boxes/boss'), 'utf8'), /^From MAILER-DAEMON /m);
});
