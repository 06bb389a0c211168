/**
 * smtp-sink in its bad moods: soft, hard, hanging up, slow. Postern and Debian's Postfix get the same
 * mail for the same sinks, and must log the same outcome.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  freePorts,
  isListening,
  type PosternInstance,
  startPostern,
  startPostfix,
  startProgram,
  until,
} from '../support/instance.ts';
import { submit } from '../support/postfix-pair.ts';
import { needs, needsRoot } from '../support/programs.ts';

const skip = { ...needs('postfix', 'smtp-sink'), ...needsRoot() };

type Mood = {
  readonly argv: readonly string[];
  /** `dsn=... status=...`, the port as P. */
  readonly outcome: string;
  /** Large enough to fill the buffers of a reader that has stopped. */
  readonly bytes?: number;
};

const HARD = '500 5.3.0 Error: command failed';
const SOFT = '450 4.3.0 Error: command failed';
const H = '127.0.0.1[127.0.0.1]';
const said = (text: string, command: string): string =>
  `(host ${H} said: ${text} (in reply to ${command} command))`;
const refused = (text: string): string => `(host ${H} refused to talk to me: ${text})`;
const lost = (stage: string): string =>
  `dsn=4.4.2, status=deferred (lost connection with ${H} while ${stage})`;
const late = (stage: string): string =>
  `dsn=4.4.2, status=deferred (conversation with ${H} timed out while ${stage})`;
const END = 'sending end of data -- message may be sent more than once';

const MOODS: readonly Mood[] = [
  { argv: ['-f', 'CONNECT'], outcome: `dsn=4.3.0, status=deferred ${refused(HARD)}` },
  { argv: ['-r', 'CONNECT'], outcome: `dsn=4.3.0, status=deferred ${refused(SOFT)}` },
  { argv: ['-q', 'CONNECT'], outcome: lost('receiving the initial server greeting') },
  { argv: ['-f', 'EHLO'], outcome: 'dsn=2.0.0, status=sent (250 2.0.0 Ok)' },
  { argv: ['-r', 'EHLO'], outcome: 'dsn=2.0.0, status=sent (250 2.0.0 Ok)' },
  { argv: ['-f', 'EHLO,HELO'], outcome: `dsn=5.3.0, status=bounced ${refused(HARD)}` },
  { argv: ['-r', 'EHLO,HELO'], outcome: `dsn=4.3.0, status=deferred ${refused(SOFT)}` },
  { argv: ['-q', 'EHLO'], outcome: lost('performing the EHLO handshake') },
  { argv: ['-r', 'EHLO', '-q', 'HELO'], outcome: lost('performing the HELO handshake') },
  { argv: ['-f', 'MAIL'], outcome: `dsn=5.3.0, status=bounced ${said(HARD, 'MAIL FROM')}` },
  { argv: ['-r', 'MAIL'], outcome: `dsn=4.3.0, status=deferred ${said(SOFT, 'MAIL FROM')}` },
  { argv: ['-q', 'MAIL'], outcome: lost('sending MAIL FROM') },
  { argv: ['-f', 'RCPT'], outcome: `dsn=5.3.0, status=bounced ${said(HARD, 'RCPT TO')}` },
  { argv: ['-r', 'RCPT'], outcome: `dsn=4.3.0, status=deferred ${said(SOFT, 'RCPT TO')}` },
  { argv: ['-q', 'RCPT'], outcome: lost('sending RCPT TO') },
  { argv: ['-f', 'DATA'], outcome: `dsn=5.3.0, status=bounced ${said(HARD, 'DATA')}` },
  { argv: ['-r', 'DATA'], outcome: `dsn=4.3.0, status=deferred ${said(SOFT, 'DATA')}` },
  { argv: ['-q', 'DATA'], outcome: lost('sending DATA command') },
  { argv: ['-f', '.'], outcome: `dsn=5.3.0, status=bounced ${said(HARD, 'end of DATA')}` },
  { argv: ['-r', '.'], outcome: `dsn=4.3.0, status=deferred ${said(SOFT, 'end of DATA')}` },
  { argv: ['-q', '.'], outcome: lost(END) },
  { argv: ['-f', 'QUIT'], outcome: 'dsn=2.0.0, status=sent (250 2.0.0 Ok)' },
  { argv: ['-q', 'QUIT'], outcome: 'dsn=2.0.0, status=sent (250 2.0.0 Ok)' },
  { argv: ['-e', '-8', '-N'], outcome: 'dsn=2.0.0, status=sent (250 2.0.0 Ok)' },
  { argv: ['-E'], outcome: 'dsn=2.0.0, status=sent (250 2.0.0 Ok)' },
  {
    argv: ['-E', '-B', '554 No such luck', '-f', 'RCPT'],
    outcome: `dsn=5.0.0, status=bounced ${said('554 No such luck', 'RCPT TO')}`,
  },
  { argv: ['-W', 'CONNECT:4'], outcome: late('receiving the initial server greeting') },
  { argv: ['-W', 'EHLO:4'], outcome: late('performing the EHLO handshake') },
  { argv: ['-p', '-W', 'MAIL:4'], outcome: late('sending MAIL FROM') },
  { argv: ['-p', '-W', 'RCPT:4'], outcome: late('sending RCPT TO') },
  { argv: ['-p', '-W', 'DATA:4'], outcome: late('sending DATA command') },
  { argv: ['-p', '-W', '.:4'], outcome: late(END) },
  { argv: ['-H', '6', '-T', '1024'], outcome: late('sending message body'), bytes: 9_000_000 },
  { argv: ['-p', '-W', 'QUIT:4'], outcome: 'dsn=2.0.0, status=sent (250 2.0.0 Ok)' },
  { argv: ['-w', '1'], outcome: 'dsn=2.0.0, status=sent (250 2.0.0 Ok)' },
];

/** A port that was free a moment ago may come twice. */
async function distinctPorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < count) for (const port of await freePorts(count)) found.add(port);
  return [...found].slice(0, count);
}
const ports = await distinctPorts(MOODS.length + 2);
const [posternPort = 0, postfixPort = 0] = ports.slice(-2);
const name = (index: number): string => `b@p${ports[index]}.example`;
const stops: (() => Promise<void>)[] = [];
let postern: PosternInstance;
let postfix: Awaited<ReturnType<typeof startPostfix>>;

before(async () => {
  if (skip.skip !== undefined) return;
  for (const [i, { argv }] of MOODS.entries()) {
    const owner = ['-u', 'nobody'];
    const program = startProgram('smtp-sink', [...owner, ...argv, `127.0.0.1:${ports[i]}`, '100']);
    stops.push(program.stop);
  }
  for (const [i, { argv }] of MOODS.entries()) {
    await until(`smtp-sink ${argv.join(' ')}`, () => isListening(ports[i] ?? 0));
  }
  const routes = [
    ...MOODS.map((_, i) => `{p${ports[i]}.example=smtp:[127.0.0.1]:${ports[i]}}`),
    `{two.example=smtp:[127.0.0.1]:${ports[10]}, [127.0.0.1]:${ports[23]}}`,
  ];
  const main = {
    mynetworks: '127.0.0.0/8',
    mydestination: '',
    smtpd_recipient_restrictions: 'permit_mynetworks, reject',
    smtpd_relay_restrictions: 'permit_mynetworks, reject',
    transport_maps: `inline:{${routes.join(',')}}`,
    smtp_helo_timeout: '2s',
    smtp_mail_timeout: '2s',
    smtp_rcpt_timeout: '2s',
    smtp_data_init_timeout: '2s',
    smtp_data_xfer_timeout: '2s',
    smtp_data_done_timeout: '2s',
    smtp_quit_timeout: '2s',
    smtp_skip_quit_response: 'no',
    smtp_tls_security_level: 'none',
    smtp_host_lookup: 'native',
    notify_classes: '',
    queue_run_delay: '1000s',
    minimal_backoff_time: '1000s',
  };
  const rows = 'bounce unix - - n - 0 bounce\n';
  postfix = await startPostfix({
    main,
    master: `127.0.0.1:${postfixPort} inet n - n - - smtpd\n`,
  });
  postern = await startPostern({
    main,
    master: `127.0.0.1:${posternPort} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
cleanup unix n - n - 0 cleanup
smtp unix - - n - - smtp
error unix - - n - - error
${rows}`,
  });
  const line = `${'x'.repeat(76)}\r\n`;
  for (const port of [posternPort, postfixPort]) {
    await Promise.all(
      MOODS.map(({ bytes = 100 }, i) =>
        submit(port, {
          from: '<a@client.example>',
          to: [`<${name(i)}>`],
          message: `Subject: ${i}\r\n\r\n${line.repeat(Math.ceil(bytes / line.length))}`,
        }),
      ),
    );
  }
});
after(async () => {
  if (skip.skip !== undefined) return;
  await Promise.all([postern?.stop(), postfix?.stop()]);
  await Promise.all(stops.map((stop) => stop()));
});

/** relay, dsn, status and text of the first delivery line of a recipient. */
function outcomeOf(log: string, recipient: string): string | undefined {
  const at = log.split('\n').find((line) => line.includes(`to=<${recipient}>, relay=`));
  return /dsn=.*/.exec(at ?? '')?.[0];
}
const relayOf = (log: string, recipient: string): string | undefined =>
  new RegExp(`to=<${recipient}>, relay=([^,]*)`).exec(log)?.[1]?.replace(/:\d+$/, ':P');

for (const [i, { argv, outcome }] of MOODS.entries()) {
  test(`smtp-sink ${argv.join(' ')}: ${outcome}`, skip, async () => {
    const recipient = name(i);
    await until(
      'both have an outcome',
      () =>
        outcomeOf(postern.log(), recipient) !== undefined &&
        outcomeOf(postfix.log(), recipient) !== undefined,
      30_000,
    );
    assert.equal(outcomeOf(postfix.log(), recipient), outcome, 'Postfix');
    assert.equal(outcomeOf(postern.log(), recipient), outcome, 'Postern');
    assert.equal(relayOf(postern.log(), recipient), relayOf(postfix.log(), recipient));
  });
}

test('what a host said is noted, and the next one takes the mail', skip, async () => {
  const notes: string[][] = [];
  for (const [port, instance] of [
    [posternPort, postern],
    [postfixPort, postfix],
  ] as const) {
    await submit(port, {
      from: '<a@client.example>',
      to: ['<b@two.example>'],
      message: 'S: x\r\n\r\nx\r\n',
    });
    await until('it is sent', () => outcomeOf(instance.log(), 'b@two.example') !== undefined);
    const [, id = ''] = / ([A-Za-z0-9]+): to=<b@two\.example>/.exec(instance.log()) ?? [];
    const lines = (): string[] =>
      instance
        .log()
        .split('\n')
        .filter((line) => line.includes(` ${id}: `) && line.includes('/smtp['))
        .map((line) => line.slice(line.indexOf(`${id}: `) + id.length + 2))
        .map((line) => line.replace(/delay=.*, dsn/, 'dsn'));
    // Two processes write here: which line comes first says nothing.
    await until('both lines are there', () => lines().length === 2);
    notes.push(lines().sort());
  }
  assert.deepEqual(notes[0], [
    `host ${H} said: ${SOFT} (in reply to MAIL FROM command)`,
    `to=<b@two.example>, relay=${H}:${ports[23]}, dsn=2.0.0, status=sent (250 2.0.0 Ok)`,
  ]);
  assert.deepEqual(notes[0], notes[1]);
});
