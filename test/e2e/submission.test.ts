/** The decisions about users' mail are on disk when a process ends, as for a stop or a reload. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { Client } from '../smtpd/harness.ts';
import { until } from '../support/instance.ts';
import { PASSWORD, type Site, startSite } from '../support/site.ts';

let site: Site | undefined;
after(() => site?.stop());

const login = Buffer.from(`\0intern@example.org\0${PASSWORD}`).toString('base64');

/** Refused at RCPT; the id of the decision. */
async function refusedId({ ports }: Site): Promise<string> {
  const client = new Client(connect({ port: ports.submission, host: '127.0.0.1' }));
  await client.reply();
  await client.say('EHLO c');
  await client.say('STARTTLS');
  await client.startTls();
  await client.say('EHLO c');
  assert.match(await client.say(`AUTH PLAIN ${login}`), /^235/);
  await client.say('MAIL FROM:<intern@example.org>');
  const refusal = await client.say('RCPT TO:<x@far.example>');
  client.socket.destroy();
  assert.match(refusal, /^554 5\.7\.1 .*\(policy intern, rule offsite=deny\) \[[^\]]+\]$/);
  return /\[([^\]]+)\]$/.exec(refusal)?.[1] ?? '';
}

test('a refusal just before its process ends can be explained', async () => {
  site = await startSite();
  const id = await refusedId(site);
  const pid = /smtpd\[(\d+)\]: connect from/.exec(site.instance.log())?.[1];
  process.kill(Number(pid), 'SIGTERM');
  await until('it has ended', () => !existsSync(`/proc/${pid}`));
  const explained = await site.instance.postern('explain', id);
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(explained.stdout, /offsite=deny refuses x@far\.example/);
});
