/** The decisions about users' mail are on disk when the server has stopped or reloaded. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { Client } from '../smtpd/harness.ts';
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

test('a refusal just before a stop can be explained', async () => {
  site = await startSite();
  const id = await refusedId(site);
  await site.instance.postern('stop');
  const explained = await site.instance.postern('explain', id);
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(explained.stdout, /offsite=deny refuses x@far\.example/);
});
