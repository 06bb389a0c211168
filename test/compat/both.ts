/**
 * The same sessions to Debian's Postfix and to our server: replies and log lines side by side, with
 * what may differ (queue ids, ports, process ids) taken out.
 */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { NO, YES } from '../../src/lookup/match-list.ts';
import { AnvilCounters } from '../../src/net/limits.ts';
import { Client, startSmtpd } from '../smtpd/harness.ts';
import { freePorts, startPostfix, until } from '../support/instance.ts';

/** Lines to send; each gets its reply before the next. `+` in front: together with the one before. */
export type Dialog = readonly string[];

export type Said = { readonly replies: readonly string[]; readonly log: readonly string[] };
export type Both = { readonly theirs: Said; readonly ours: Said };

const BASE = {
  myhostname: 'mail.example.org',
  smtpd_banner: '$myhostname ESMTP x',
  mydestination: 'example.org',
  myorigin: 'example.org',
  local_recipient_maps: 'inline:{user=x,root=x}',
  alias_maps: '',
  mynetworks: '192.0.2.0/24',
  smtpd_peername_lookup: 'no',
  smtpd_relay_restrictions: 'permit_sasl_authenticated, reject_unauth_destination',
  smtpd_error_sleep_time: '0s',
  // ETRN is not here yet.
  smtpd_discard_ehlo_keywords: 'ETRN, VRFY',
  inet_protocols: 'all',
};

export type Case = {
  readonly main: Readonly<Record<string, string>>;
  readonly dialogs: readonly Dialog[];
};

/** One Postfix with a service for each case; the answers are in the order of the cases. */
export async function playCases(cases: readonly Case[]): Promise<Both[]> {
  const ports = await freePorts(cases.length);
  const postfix = await startPostfix({
    main: BASE,
    master: cases.map(({ main }, at) => row(`case${at}`, ports[at] ?? 0, main)).join(''),
  });
  try {
    const answers: Both[] = [];
    for (const [at, one] of cases.entries()) {
      const theirs = await playAll(ports[at] ?? 0, one.dialogs);
      const lines = (): string[] => smtpdLines(postfix.log(), `case${at}`);
      await until('Postfix has logged all', () => countEnds(lines()) >= one.dialogs.length);
      const ours = await playOurs(one);
      answers.push({ theirs: { replies: theirs, log: cleaned(lines()) }, ours });
    }
    return answers;
  } finally {
    await postfix.stop();
  }
}

const row = (name: string, port: number, main: Case['main']): string =>
  `127.0.0.1:${port} inet n - n - - smtpd\n${Object.entries({ ...main, syslog_name: name })
    .map(([key, value]) => `  -o { ${key} = ${value} }\n`)
    .join('')}`;

async function playOurs({ main, dialogs }: Case): Promise<Said> {
  const counters = new AnvilCounters(60_000);
  const own = await startSmtpd({
    main: { ...BASE, local_recipient_maps: '', ...main },
    parts: {
      anvil: { count: (client, event) => counters.event('x', client, event, 0) },
      clients: {
        isUnlimited: () => (main['smtpd_client_event_limit_exceptions'] ? YES : NO),
        maySendBareNewline: () => NO,
        mayXclient: (_name, address) =>
          address === main['smtpd_authorized_xclient_hosts'] ? YES : NO,
        isSaslException: () => NO,
      },
    },
  });
  try {
    const replies = await playAll(own.port, dialogs);
    await until('all is logged', () => countEnds(own.log) >= dialogs.length);
    return { replies, log: cleaned(own.log) };
  } finally {
    await own.close();
  }
}

const countEnds = (log: readonly string[]): number =>
  log.filter((line) => line.startsWith('disconnect from')).length;

async function playAll(port: number, dialogs: readonly Dialog[]): Promise<string[]> {
  const replies: string[] = [];
  for (const [at, dialog] of dialogs.entries()) {
    const client = new Client(connect({ port, host: '127.0.0.1', noDelay: true }));
    const say = async (what: string): Promise<void> => {
      const got = await client.reply();
      const text = got.replace(/queued as \w+/, 'queued as ID').replaceAll('\n', '\n  ');
      replies.push(`${at + 1} ${what}\n  ${text}`);
    };
    await say('(connected)');
    for (let i = 0; i < dialog.length && !client.isClosed; i += 1) {
      const group = [dialog[i] ?? ''];
      while (dialog[i + 1]?.startsWith('+')) group.push((dialog[++i] ?? '').slice(1));
      client.write(group.map((line) => (line.endsWith('\n') ? line : `${line}\r\n`)).join(''));
      for (const line of group) await say(JSON.stringify(line));
    }
    // Where the server has not closed, this ends the session.
    client.socket.end();
    await say('(end)');
    client.socket.destroy();
    await sleep(20);
  }
  return replies;
}

const smtpdLines = (log: string, name: string): string[] =>
  log.split('\n').flatMap((line) => {
    const [, service, text = ''] = / (\w+)\/smtpd\[\d+\]: (.*)$/.exec(line) ?? [];
    return service === name ? [text] : [];
  });

const cleaned = (log: readonly string[]): string[] =>
  log.map((line) =>
    line.replace(/for service \S+/, 'for service SERVICE').replace(/^[0-9A-Za-z]{9,20}: /, 'ID: '),
  );
