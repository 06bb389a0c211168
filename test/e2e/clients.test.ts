/**
 * Real mail programs against a running server: each logs in over TLS and sends; the message arrives.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { runProgram, until } from '../support/instance.ts';
import { needs } from '../support/programs.ts';
import { PASSWORD, type Site, startSite } from '../support/site.ts';

let site: Site;
before(async () => {
  site = await startSite();
});
after(() => site.stop());

const MESSAGE = (subject: string): string =>
  `From: staff@example.org\nTo: intern@example.org\nSubject: ${subject}\n\nHello.\n`;

const arrives = (subject: string): Promise<void> =>
  until(`${subject} is in the mailbox`, () =>
    site.mailbox('intern').some((text) => text.includes(`Subject: ${subject}\n`)),
  );

for (const [what, port, extra] of [
  ['STARTTLS on submission', 'submission', ['--tls']],
  ['implicit TLS on submissions', 'submissions', ['--tlsc']],
] as const) {
  for (const mechanism of ['PLAIN', 'LOGIN']) {
    test(`swaks sends with ${mechanism} over ${what}`, needs('swaks'), async () => {
      const subject = `swaks-${port}-${mechanism}`;
      const run = await runProgram('swaks', [
        '--server',
        `127.0.0.1:${site.ports[port]}`,
        ...extra,
        '--auth',
        mechanism,
        '--auth-user',
        'staff@example.org',
        '--auth-password',
        PASSWORD,
        '--from',
        'staff@example.org',
        '--to',
        'intern@example.org',
        '--header',
        `Subject: ${subject}`,
      ]);
      assert.equal(run.code, 0, run.stdout + run.stderr);
      await arrives(subject);
    });
  }
}

test('a stranger on the exchange port reaches local users', needs('swaks'), async () => {
  const run = await runProgram('swaks', [
    '--server',
    `127.0.0.1:${site.ports.exchange}`,
    '--from',
    'stranger@elsewhere.example',
    '--to',
    'intern@example.org',
    '--header',
    'Subject: stranger',
  ]);
  assert.equal(run.code, 0, run.stdout);
  await arrives('stranger');
});

test('a stranger reaches nobody else', needs('swaks'), async () => {
  const run = await runProgram('swaks', [
    '--server',
    `127.0.0.1:${site.ports.exchange}`,
    '--from',
    'stranger@elsewhere.example',
    '--to',
    'victim@far.example',
  ]);
  assert.equal(run.code, 24);
  assert.match(run.stdout, /554 5\.7\.1 <victim@far\.example>: Relay access denied/);
});

test('a wrong password is refused and says nothing about the user', needs('swaks'), async () => {
  const replies = [];
  for (const user of ['staff@example.org', 'nobody-there@example.org']) {
    const run = await runProgram('swaks', [
      '--server',
      `127.0.0.1:${site.ports.submission}`,
      '--tls',
      '--auth',
      'PLAIN',
      '--auth-user',
      user,
      '--auth-password',
      'wrong',
      '--from',
      user,
      '--to',
      'intern@example.org',
    ]);
    replies.push(/535 .*/.exec(run.stdout)?.[0]);
  }
  assert.deepEqual(replies, [replies[0], replies[0]]);
  assert.match(replies[0] ?? '', /^535 5\.7\.8 Error: authentication failed/);
});

test('curl sends over both TLS ports and checks the certificate', needs('curl'), async () => {
  for (const [scheme, port] of [
    ['smtp', 'submission'],
    ['smtps', 'submissions'],
  ] as const) {
    const subject = `curl-${scheme}`;
    const run = await runProgram(
      'curl',
      [
        '--silent',
        '--show-error',
        '--ssl-reqd',
        '--cacert',
        site.caFile,
        '--url',
        `${scheme}://127.0.0.1:${site.ports[port]}`,
        '--user',
        `staff@example.org:${PASSWORD}`,
        '--mail-from',
        'staff@example.org',
        '--mail-rcpt',
        'intern@example.org',
        '--upload-file',
        '-',
      ],
      { input: MESSAGE(subject) },
    );
    assert.equal(run.code, 0, run.stderr);
    await arrives(subject);
  }
});

test('msmtp sends over both TLS ports', needs('msmtp'), async () => {
  for (const [port, starttls] of [
    ['submission', 'on'],
    ['submissions', 'off'],
  ] as const) {
    const file = join(site.directory, `msmtp-${port}`);
    writeFileSync(
      file,
      `account default\nhost 127.0.0.1\nport ${site.ports[port]}\ntls on\ntls_starttls ${starttls}\ntls_trust_file ${site.caFile}\nauth on\nuser staff@example.org\npassword ${PASSWORD}\nfrom staff@example.org\n`,
    );
    chmodSync(file, 0o600);
    const subject = `msmtp-${port}`;
    const run = await runProgram('msmtp', ['--file', file, 'intern@example.org'], {
      input: MESSAGE(subject),
    });
    assert.equal(run.code, 0, run.stderr);
    await arrives(subject);
  }
});

const SMTPLIB = `
import smtplib, ssl, sys
port, implicit, ca, password, subject = int(sys.argv[1]), sys.argv[2] == 'yes', sys.argv[3], sys.argv[4], sys.argv[5]
context = ssl.create_default_context(cafile=ca)
server = smtplib.SMTP_SSL('127.0.0.1', port, context=context) if implicit else smtplib.SMTP('127.0.0.1', port)
if not implicit:
    server.starttls(context=context)
server.login('staff@example.org', password)
refused = server.sendmail('staff@example.org', ['intern@example.org', 'staff@example.org'],
    'From: staff@example.org\\r\\nSubject: %s\\r\\n\\r\\n..dots\\r\\n.\\r\\n' % subject)
server.quit()
sys.exit(1 if refused else 0)
`;

test("Python's smtplib sends over both TLS ports; dots survive", needs('python3'), async () => {
  for (const [port, implicit] of [
    ['submission', 'no'],
    ['submissions', 'yes'],
  ] as const) {
    const subject = `smtplib-${port}`;
    const run = await runProgram('python3', [
      '-c',
      SMTPLIB,
      String(site.ports[port]),
      implicit,
      site.caFile,
      PASSWORD,
      subject,
    ]);
    assert.equal(run.code, 0, run.stderr);
    await arrives(subject);
    const text = site.mailbox('intern').find((each) => each.includes(`Subject: ${subject}\n`));
    assert.match(text ?? '', /\n\n\.\.dots\n\.\n$/);
  }
});

const POLICY_CASES = [
  ['staff', 'friend@far.example', undefined],
  ['intern', 'staff@example.org', undefined],
  ['intern', 'friend@far.example', /55\d 5\.7\.1 .*intern.*offsite=deny/],
  ['device', 'boss@customer.example', undefined],
  ['device', 'friend@far.example', /55\d 5\.7\.1 .*device.*/],
] as const;

for (const [user, recipient, refusal] of POLICY_CASES) {
  test(`${user} ${refusal ? 'may not' : 'may'} write to ${recipient}`, needs('swaks'), async () => {
    const run = await runProgram('swaks', [
      '--server',
      `127.0.0.1:${site.ports.submission}`,
      '--tls',
      '--auth',
      'PLAIN',
      '--auth-user',
      `${user}@example.org`,
      '--auth-password',
      PASSWORD,
      '--from',
      `${user}@example.org`,
      '--to',
      recipient,
      '--header',
      `From: ${user}@example.org`,
      '--header',
      `Subject: policy-${user}`,
    ]);
    if (refusal) assert.match(run.stdout, refusal);
    else assert.equal(run.code, 0, run.stdout);
  });
}
