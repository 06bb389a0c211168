/**
 * A day's log through Debian's pflogsumm: its totals are what the test did, and the same as those of
 * the log that Postfix writes for the same mail.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  freePorts,
  makeDirectory,
  type PosternInstance,
  removeDirectory,
  runProgram,
  startPostern,
  startPostfix,
  until,
} from '../support/instance.ts';
import {
  messagesIn,
  type SinkProgram,
  startSinkProgram,
  submit,
  withoutTrace,
} from '../support/postfix-pair.ts';
import { needs, needsRoot } from '../support/programs.ts';

const skip = { ...needs('postfix', 'smtp-sink', 'pflogsumm'), ...needsRoot() };
const directory = makeDirectory('pflogsumm-');
const [posternPort = 0, postfixPort = 0, nobody = 0] = await freePorts(3);
let sink: SinkProgram;
let hardSink: SinkProgram;
let postern: PosternInstance;
let postfix: Awaited<ReturnType<typeof startPostfix>>;

const MAIL: readonly (readonly [from: string, to: readonly string[], lines: number])[] = [
  ['a@one.example', ['u1@sink.example', 'u2@sink.example'], 10],
  ['a@one.example', ['u1@sink.example'], 100],
  ['b@two.example', ['box@example.org'], 5],
  ['b@two.example', ['box@example.org', 'u3@sink.example'], 7],
  ['c@two.example', ['x@dead.example'], 3],
  ['c@two.example', ['y@silent.example', 'u1@sink.example'], 3],
  ['', ['u1@sink.example'], 2],
];
const REFUSED = ['bad@example.org', 'worse@example.org'];

before(async () => {
  if (skip.skip !== undefined) return;
  sink = await startSinkProgram();
  hardSink = await startSinkProgram(['-f', 'RCPT']);
  const box = join(directory, 'box');
  mkdirSync(box);
  chmodSync(box, 0o777);
  const main = {
    mynetworks: '127.0.0.0/8',
    mydestination: '',
    myorigin: 'example.org',
    virtual_mailbox_domains: 'example.org',
    virtual_mailbox_base: '/',
    virtual_uid_maps: 'static:65534',
    virtual_gid_maps: 'static:65534',
    smtpd_recipient_restrictions:
      'check_recipient_access inline:{{bad@example.org=REJECT},{worse@example.org=550 5.1.1 no such user}}, permit_mynetworks, reject',
    smtpd_relay_restrictions: 'permit_mynetworks, reject',
    transport_maps: `inline:{{dead.example=smtp:[127.0.0.1]:${hardSink.port}},{silent.example=smtp:[127.0.0.1]:${nobody}}}`,
    relayhost: `[127.0.0.1]:${sink.port}`,
    smtp_host_lookup: 'native',
    smtp_tls_security_level: 'none',
    queue_run_delay: '1000s',
    minimal_backoff_time: '1000s',
  };
  postfix = await startPostfix({
    main: { ...main, virtual_mailbox_maps: `static:${box}/postfix/` },
    master: `127.0.0.1:${postfixPort} inet n - n - - smtpd\n`,
  });
  postern = await startPostern({
    main: { ...main, virtual_mailbox_maps: `static:${box}/postern/` },
    master: `127.0.0.1:${posternPort} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
cleanup unix n - n - 0 cleanup
smtp unix - - n - - smtp
virtual unix - n n - - virtual
error unix - - n - - error
`,
  });
  for (const port of [posternPort, postfixPort]) {
    for (const [i, [from, to, lines]] of MAIL.entries()) {
      await submit(port, {
        from: `<${from}>`,
        to: to.map((each) => `<${each}>`),
        message: `X-Begin: ${i}\r\nSubject: ${i}\r\n\r\n${`${'x'.repeat(70)}\r\n`.repeat(lines)}`,
      });
    }
    for (const bad of REFUSED) {
      await assert.rejects(
        submit(port, { from: '<a@one.example>', to: [`<${bad}>`], message: 'x\r\n' }),
        /55\d 5\./,
      );
    }
  }
  for (const instance of [postern, postfix]) {
    await until(
      'all is delivered, one bounce too, one deferred',
      () => (instance.log().match(/status=(sent|deferred|bounced)/g)?.length ?? 0) >= 11,
    );
  }
});
after(async () => {
  if (skip.skip !== undefined) return;
  await Promise.all([postern?.stop(), postfix?.stop()]);
  await Promise.all([sink.stop(), hardSink.stop()]);
  removeDirectory(directory);
});

async function summary(name: string, log: string): Promise<string> {
  const file = join(directory, `${name}.log`);
  writeFileSync(file, log);
  const run = await runProgram('pflogsumm', ['--verbose_msg_detail', '--zero_fill', file]);
  assert.equal(run.code, 0, run.stderr);
  return run.stdout;
}

/** The grand totals by name. */
const totals = (report: string): Record<string, number> =>
  Object.fromEntries(
    [
      ...report
        .slice(0, report.indexOf('Per-Hour'))
        .matchAll(/^ +(\d+)[km]? +([a-z][a-z/ ]*[a-z])/gm),
    ].map(([, count, name]) => [name, Number(count)]),
  );

test('the totals are what was done', skip, async () => {
  const {
    'bytes received': received,
    'bytes delivered': delivered,
    ...counts
  } = totals(await summary('postern', postern.log()));
  assert.deepEqual(counts, {
    // A bounce is made here: it is delivered, not received.
    received: MAIL.length,
    delivered: 9,
    forwarded: 0,
    deferred: 1,
    bounced: 1,
    rejected: 2,
    'reject warnings': 0,
    held: 0,
    discarded: 0,
    senders: 4,
    'sending hosts/domains': 3,
    recipients: 5,
    'recipient hosts/domains': 3,
  });
  const log = postern.log();
  const sizes = [...log.matchAll(/ (\w+): from=<.*>, size=(\d+), nrcpt=\d+ \(queue active\)/g)]
    .filter(([, id]) => log.includes(` ${id}: client=`))
    .map(([, , size]) => Number(size));
  assert.equal(sizes.length, MAIL.length);
  assert.equal(
    received,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  assert.ok((delivered ?? 0) > (received ?? 0));
});

/** Rulers, sizes, versions; Debian's Postfix warns about NIS where there is none. */
const UNLIKE = /^-|bytes|^N |daemon started|NIS|^Warnings|^smtpd \(total/;

test('pflogsumm reads from both logs the same report', skip, async () => {
  const reports = await Promise.all([
    summary('postern', postern.log()),
    summary('postfix', postfix.log()),
  ]);
  const [ours, theirs] = reports.map((report) =>
    report
      .split('\n')
      // Sizes and times are not the same, nor the order of what came at the same moment.
      .map((line) =>
        line
          .replaceAll(/\d+(\.\d+)? [smh]\b|\b\d{3,}[km]?\b/g, 'N')
          .replaceAll(/ +/g, ' ')
          .trim(),
      )
      .filter((line) => line !== '' && !UNLIKE.test(line))
      .sort(),
  );
  assert.deepEqual(ours, theirs);
});

test('size= is the size of what arrives, line ends counted as one', skip, async () => {
  const box = messagesIn(join(directory, 'box/postern')).find((text) =>
    text.includes('X-Begin: 2\n'),
  );
  const stored = box?.replace(/^(?:(?:Return-Path|X-Original-To|Delivered-To): .*\n)+/, '') ?? '';
  const id = /status=sent/.test(postern.log())
    ? / (\w+): to=<box@example\.org>/.exec(postern.log())?.[1]
    : undefined;
  const size = new RegExp(`${id}: from=<b@two\\.example>, size=(\\d+)`).exec(postern.log())?.[1];
  assert.equal(Number(size), stored.length);
  assert.ok(withoutTrace(stored).startsWith('X-Begin: 2\n'));
});
