/** What cannot be delivered comes back to its sender, also to one that is only an alias. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runProgram, until } from '../support/instance.ts';
import { needs, needsRoot } from '../support/programs.ts';
import { PASSWORD, type Site, startSite } from '../support/site.ts';

let site: Site;
before(async () => {
  site = await startSite({
    main: { transport_maps: 'inline:{{dead.example = error:5.1.2 no such host}}' },
  });
});
after(() => site.stop());

for (const sender of ['staff@example.org', 'postmaster@example.org']) {
  test(`a bounce for ${sender} reaches the mailbox of staff`, needs('swaks'), async () => {
    const argv = ['--tls', '--auth', 'PLAIN', '--auth-user', 'staff@example.org'];
    const run = await runProgram('swaks', [
      ...['--server', `127.0.0.1:${site.ports.submission}`, ...argv, '--auth-password', PASSWORD],
      ...['--from', sender, '--header', `From: ${sender}`, '--to', 'nobody@dead.example'],
    ]);
    assert.equal(run.code, 0, run.stdout);
    await until('the bounce is there', () =>
      site.mailbox('staff').some((text) => text.includes(`\nTo: ${sender}\n`)),
    );
    const bounce = site.mailbox('staff').find((text) => text.includes(`\nTo: ${sender}\n`));
    assert.match(bounce ?? '', /^Subject: Undelivered Mail Returned to Sender$/m);
    assert.match(bounce ?? '', /^Status: 5\.1\.2$/m);
  });
}

test(
  'an ordinary user submits with sendmail; nobody else can read the drop',
  needsRoot(),
  async () => {
    const run = await runProgram(
      'setpriv',
      [
        '--reuid=12345',
        '--regid=12345',
        '--clear-groups',
        'bin/sendmail',
        '-c',
        site.instance.configDirectory,
        '-f',
        'someone@example.org',
        'intern@example.org',
      ],
      { input: 'Subject: dropped\n\nHello.\n', cwd: new URL('../..', import.meta.url).pathname },
    );
    assert.equal(run.code, 0, run.stderr);
    await until('the drop is in the mailbox', () =>
      site.mailbox('intern').some((text) => text.includes('Subject: dropped\n')),
    );
    assert.match(site.instance.log(), /uid=12345 from=<someone@example\.org>/);
  },
);
