/**
 * The same messages through Debian's Postfix and through Postern, under the same settings: the replies,
 * and what arrives at a sink, envelope and content, are the same.
 *
 * Compared as text: Received: fields of the servers are dropped; dates, message ids and queue ids that
 * they make are masked.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { freePorts, startPostern, startPostfix, until } from '../support/instance.ts';
import {
  inject,
  type MessageSink,
  replyReader,
  startMessageSink,
} from '../support/message-sink.ts';
import { needs, needsRoot } from '../support/programs.ts';
import { CASES, checkFiles, GENERIC_MAPS, type MessageCase, SITES } from './message-cases.ts';
import { MESSAGE_DIFFERENCES } from './wanted-differences.ts';

const SITE_NAMES = ['full', 'classes', 'strict', 'remote', 'completed'] as const;

type Server = {
  readonly sink: MessageSink;
  readonly ports: readonly number[];
  readonly log: () => string;
  readonly stop: () => Promise<void>;
};

const settingsFor = (sinkPort: number): Record<string, string> => ({
  compatibility_level: '3.6',
  myhostname: 'mail.here.example',
  mydomain: 'here.example',
  myorigin: 'here.example',
  mydestination: 'here.example, mail.here.example, localhost',
  mynetworks: '127.0.0.0/8',
  inet_interfaces: '127.0.0.1',
  local_recipient_maps: '',
  alias_maps: '',
  alias_database: '',
  local_transport: `smtp:[127.0.0.1]:${sinkPort}`,
  relayhost: `[127.0.0.1]:${sinkPort}`,
  transport_maps: `inline:{ {generic.example=outside:[127.0.0.1]:${sinkPort}} }`,
  recipient_delimiter: '+',
  smtp_dns_support_level: 'disabled',
  smtp_host_lookup: 'native',
  smtp_tls_security_level: 'none',
  smtpd_error_sleep_time: '0s',
  smtpd_hard_error_limit: '1000',
  smtpd_soft_error_limit: '1000',
  smtpd_junk_command_limit: '1000',
  smtpd_recipient_restrictions: '',
  maximal_queue_lifetime: '1h',
});

const overrides = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([name, value]) => ` -o { ${name} = ${value} }`)
    .join('');

/** Parameters that smtpd reads, not cleanup. */
const OF_SMTPD = new Set(['local_header_rewrite_clients']);

async function startOracle(): Promise<Server> {
  const sink = await startMessageSink();
  const ports = await freePorts(SITE_NAMES.length);
  const rows = SITE_NAMES.flatMap((name, at) => {
    const entries = Object.entries(SITES[name]);
    const smtpd = Object.fromEntries(entries.filter(([key]) => OF_SMTPD.has(key)));
    // trivial-rewrite needs the domain in main.cf; which service uses it, its cleanup says.
    const cleanup = {
      remote_header_rewrite_domain: '',
      ...Object.fromEntries(entries.filter(([key]) => !OF_SMTPD.has(key))),
    };
    return [
      `127.0.0.1:${ports[at]} inet n - n - - smtpd -o cleanup_service_name=cl${at}${overrides(smtpd)}\n`,
      `cl${at} unix n - n - 0 cleanup${overrides(cleanup)}\n`,
    ];
  });
  const main = {
    ...settingsFor(sink.port),
    remote_header_rewrite_domain: 'remote.example',
    append_dot_mydomain: 'no',
  };
  const outside = `outside unix - - n - - smtp -o { smtp_generic_maps = ${GENERIC_MAPS} }\n`;
  const postfix = await startPostfix({
    main,
    master: rows.join('') + outside,
    files: checkFiles(sink.port),
  });
  return { sink, ports, log: postfix.log, stop: postfix.stop };
}

async function startOurs(): Promise<Server> {
  const sink = await startMessageSink();
  const ports = await freePorts(SITE_NAMES.length);
  const rows = SITE_NAMES.map(
    (name, at) => `127.0.0.1:${ports[at]} inet n - n - 1 smtpd${overrides(SITES[name])}\n`,
  );
  const agents = [
    'qmgr unix n - n 300 1 qmgr\n',
    'smtp unix - - n - 1 smtp\n',
    `outside unix - - n - 1 smtp -o { smtp_generic_maps = ${GENERIC_MAPS} }\n`,
  ];
  const postern = await startPostern({
    main: { ...settingsFor(sink.port), default_worker_limit: '1' },
    master: [...rows, ...agents].join(''),
    files: checkFiles(sink.port),
  });
  return { sink, ports, log: postern.log, stop: postern.stop };
}

/** Everything through one connection a site; when it returns, all mail has left or is held. */
async function sendAll(
  server: Server,
  cases: readonly MessageCase[],
): Promise<Map<string, string>> {
  const replies = new Map<string, string>();
  for (const [at, site] of SITE_NAMES.entries()) {
    const socket = connect(server.ports[at] ?? 0, '127.0.0.1');
    try {
      const read = replyReader(socket);
      await read();
      socket.write('EHLO client.example\r\n');
      await read();
      for (const each of cases.filter((one) => one.site === site)) {
        const text = each.isBare ? each.text : `X-Case: ${each.name}\n${each.text}`;
        const message = text.replaceAll('\n', '\r\n');
        replies.set(each.name, await inject(socket, read, { ...each, message }));
      }
    } finally {
      socket.destroy();
    }
  }
  const ids = [...replies.values()].flatMap((text) => /queued as (\w+)/.exec(text)?.[1] ?? []);
  await until(
    'all mail has left',
    () => {
      const ended = new Set(
        [...server.log().matchAll(/ (\w+): (?:removed|hold: |discard: )/g)].map(([, id]) => id),
      );
      return ids.every((id) => ended.has(id));
    },
    90_000,
  );
  return replies;
}

const maskedReply = (text: string): string => text.replace(/queued as \w+/, 'queued as ID');

/** The fields and the body, without what differs from one run to the next. */
function masked(message: string): string {
  return message
    .replaceAll(
      /^Received: (?:from client\.example|by mail\.here)[^\r]*(?:\r\n[ \t][^\r]*)*\r\n/gm,
      '',
    )
    .replaceAll(/^((?:Resent-)?Message-Id): <[\w.]+@mail\.here\.example>/gm, '$1: <ID>')
    .replaceAll(/^((?:Resent-)?Date): \w{3}, [^\r]* \+0000 \(UTC\)/gm, '$1: DATE');
}

/** Deliveries by case: the one named in the message, else by the order of messages without a name. */
function byCase(server: Server, cases: readonly MessageCase[]): Map<string, string[]> {
  const found = new Map<string, string[]>(cases.map(({ name }) => [name, []]));
  const bare = new Map(
    cases.filter(({ isBare }) => isBare).map((each) => [each.rcpts.join(), each.name]),
  );
  for (const { mail, rcpts, message } of server.sink.deliveries) {
    const name = /^X-Case: (\S+)/m.exec(message)?.[1] ?? bare.get(rcpts.join()) ?? 'unknown';
    const lines = [
      `MAIL <${mail}>`,
      ...[...rcpts].sort().map((rcpt) => `RCPT <${rcpt}>`),
      masked(message),
    ];
    found.set(name, [...(found.get(name) ?? []), lines.join('\n')].sort());
  }
  return found;
}

const skip = { ...needs('postfix'), ...needsRoot() };
let oracle: Server | undefined;
let ours: Server | undefined;

before(async () => {
  if ('skip' in skip) return;
  [oracle, ours] = await Promise.all([startOracle(), startOurs()]);
});

after(async () => {
  await Promise.all([oracle?.stop(), ours?.stop()]);
  await Promise.all([oracle?.sink.close(), ours?.sink.close()]);
});

/** Mail that has no name of its own gets a recipient of its own. */
const named = (list: readonly MessageCase[]): MessageCase[] =>
  list.map((each, at) => (each.isBare ? { ...each, rcpts: [`bare${at}@far.example`] } : each));

const GENERIC: readonly MessageCase[] = [
  ['cee@here.example', 'u@generic.example'],
  ['any+ext@lan.example', 'u@generic.example'],
  ['any@net.example', 'u+x@generic.example'],
  ['"q q"@here.example', 'u@generic.example'],
  ['bare', 'u@generic.example'],
  ['chain1@here.example', 'u@generic.example'],
  ['', 'u@generic.example'],
  ['plain@far.example', 'u@generic.example'],
].map(([mail = '', rcpt = ''], at) => ({
  name: `generic/${at}`,
  site: 'remote',
  mail,
  rcpts: [rcpt],
  text:
    'From: Cee <cee@here.example>, (c) bare@here.example\nTo: u@net.example, x@y.example\n' +
    'Reply-To: nobody@nowhere.example\nCc: "q q"@here.example\nSubject : spaced\nX-Other: cee@here.example\n' +
    `Sender: ${mail === '' ? 'MAILER-DAEMON' : mail}\n\nFrom: cee@here.example\n`,
}));

test('replies and deliveries are those of Postfix', skip, async () => {
  const list = named([...CASES, ...GENERIC]);
  assert.ok(list.length >= 200);
  assert.ok(oracle && ours);
  const [theirReplies, ourReplies] = await Promise.all([
    sendAll(oracle, list),
    sendAll(ours, list),
  ]);
  const theirs = byCase(oracle, list);
  const found = byCase(ours, list);
  const different: { name: string; text: string; postern: string; postfix: string }[] = [];
  for (const { name, text } of list) {
    const describe = (replies: Map<string, string>, mail: Map<string, string[]>): string =>
      [maskedReply(replies.get(name) ?? ''), ...(mail.get(name) ?? [])].join('\n');
    const postfix = describe(theirReplies, theirs);
    const postern = describe(ourReplies, found);
    const isWanted = MESSAGE_DIFFERENCES.some(({ applies }) => applies(name, postfix, postern));
    if (postern !== postfix && !isWanted) different.push({ name, text, postern, postfix });
  }
  assert.deepEqual(different, []);
});

/** What cleanup logs about rules, without queue ids and port numbers. */
const actionLines = (log: string): string[] =>
  log
    .split('\n')
    .flatMap(
      (line) =>
        /cleanup\[\d+\]: (?:warning: )?\w+: (\w+: (?:header|body|content|mime-error) .*)/.exec(
          line,
        )?.[1] ?? [],
    )
    .map((line) => line.replaceAll(/\]:\d+/g, ']:PORT'))
    .sort();

test('cleanup logs what rules do as Postfix does', skip, () => {
  assert.ok(oracle && ours);
  const lines = actionLines(oracle.log());
  assert.ok(lines.length >= 40);
  assert.deepEqual(actionLines(ours.log()), lines);
});
