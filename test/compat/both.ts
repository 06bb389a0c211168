/**
 * The same sessions to Debian's Postfix and to our server: replies and log lines side by side, with
 * what may differ (queue ids, ports, process ids) taken out.
 */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { YES } from '../../src/lookup/match-list.ts';
import { AnvilCounters } from '../../src/net/limits.ts';
import { Client, startSmtpd } from '../smtpd/harness.ts';
import { freePort, startPostfix, until } from '../support/instance.ts';

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
  smtpd_discard_ehlo_keywords: 'ETRN',
  inet_protocols: 'all',
};

export async function playBoth(
  main: Readonly<Record<string, string>>,
  dialogs: readonly Dialog[],
): Promise<Both> {
  const port = await freePort();
  const postfix = await startPostfix({
    main: { ...BASE, ...main },
    master: `127.0.0.1:${port} inet n - n - - smtpd\n`,
  });
  const counters = new AnvilCounters(60_000);
  const own = await startSmtpd({
    main: { ...BASE, local_recipient_maps: '', ...main },
    parts: {
      service: 'SERVICE',
      anvil: { count: (client, event) => counters.event('x', client, event, 0) },
      clients: {
        isUnlimited: () => (main['smtpd_client_event_limit_exceptions'] ? YES : { kind: 'no' }),
        maySendBareNewline: () => ({ kind: 'no' }),
        mayXclient: (_name, address) =>
          address === main['smtpd_authorized_xclient_hosts'] ? YES : { kind: 'no' },
        isSaslException: () => ({ kind: 'no' }),
      },
    },
  });
  try {
    const theirs = await playAll(port, dialogs);
    const ours = await playAll(own.port, dialogs);
    const count = theirs.length > 0 ? dialogs.length : 0;
    const isOver = (log: readonly string[]): boolean =>
      log.filter((line) => line.startsWith('disconnect from')).length >= count;
    await until('Postfix has logged all', () => isOver(smtpdLines(postfix.log())));
    await until('all is logged', () => isOver(own.log));
    return {
      theirs: { replies: theirs, log: cleaned(smtpdLines(postfix.log())) },
      ours: { replies: ours, log: cleaned(own.log) },
    };
  } finally {
    await own.close();
    await postfix.stop();
  }
}

async function playAll(port: number, dialogs: readonly Dialog[]): Promise<string[]> {
  const replies: string[] = [];
  for (const [at, dialog] of dialogs.entries()) {
    const client = new Client(connect({ port, host: '127.0.0.1', noDelay: true }));
    const say = async (what: string): Promise<void> => {
      const got = await client.reply();
      replies.push(`${at + 1} ${what}\n  ${got.replaceAll('\n', '\n  ')}`);
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

const smtpdLines = (log: string): string[] =>
  log.split('\n').flatMap((line) => {
    const text = /postfix\/smtpd\[\d+\]: (.*)$/.exec(line)?.[1];
    return text === undefined ? [] : [text];
  });

const cleaned = (log: readonly string[]): string[] =>
  log.map((line) =>
    line.replace(/for service \S+/, 'for service SERVICE').replace(/^[0-9A-Za-z]{9,20}: /, 'ID: '),
  );
