/** sendmail -bv in both: the same words, exit code and kind of report; nothing is delivered. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { runProgram, startPostern, startPostfix, until } from '../support/instance.ts';
import { type MessageSink, startMessageSink } from '../support/message-sink.ts';
import { needs, needsRoot } from '../support/programs.ts';

const skip = { ...needs('postfix', 'sendmail'), ...needsRoot() };
const closers: (() => Promise<void>)[] = [];
let sink: MessageSink;

before(async () => {
  sink = await startMessageSink();
  closers.push(sink.close);
});
after(async () => {
  for (const close of closers.reverse()) await close();
});

const main = () => ({
  compatibility_level: '3.6',
  myhostname: 'mail.here.example',
  myorigin: 'here.example',
  mydestination: 'here.example',
  alias_maps: '',
  alias_database: '',
  local_recipient_maps: '',
  relayhost: `[127.0.0.1]:${sink.port}`,
  smtp_host_lookup: 'native',
  smtp_dns_support_level: 'disabled',
  virtual_alias_maps: 'inline:{ {list@here.example=one@far.example, two@gone.example} }',
  transport_maps: 'inline:{ {gone.example=error:5.1.2 no such place} }',
});

const ARGV = ['-f', 'asker@far.example', '-bv', 'list@here.example'];

/**
 * The fields of the report: who, what became of it, the class of the status. Postfix asks the next host,
 * so its successes have that host's status, and it encloses the probe that it made for this.
 */
const facts = (message: string): string[] =>
  message
    .split('\r\n')
    .filter((line) => /^(?:Subject|Final-Recipient|Original-Recipient|Action|Status):/.test(line))
    .filter((line) => line !== 'Subject: probe')
    .map((line) => line.replace(/^Status: 2.*/, 'Status: 2'));

test('sendmail -bv mails a report on where addresses lead', skip, async () => {
  const postern = await startPostern({
    main: { ...main(), default_worker_limit: '1' },
    master: 'pickup unix n - n 60 1 pickup\nqmgr unix n - n 300 1 qmgr\nsmtp unix - - n - 1 smtp\n',
  });
  closers.push(postern.stop);
  const ours = await postern.command('sendmail', ARGV);
  await until('our report', () => sink.deliveries.length === 1);
  const postfix = await startPostfix({ main: main(), master: '' });
  closers.push(postfix.stop);
  const theirs = await runProgram('sendmail', ['-C', join(postfix.directory, 'etc'), ...ARGV]);
  await until('the report of Postfix', () => sink.deliveries.length === 2);
  assert.deepEqual([ours.code, ours.stdout], [theirs.code, theirs.stdout]);
  const [first, second] = sink.deliveries;
  assert.ok(first && second);
  assert.deepEqual([first.mail, first.rcpts], [second.mail, second.rcpts]);
  assert.deepEqual(facts(first.message).sort(), facts(second.message).sort());
  assert.match(first.message, /would go to smtp:\[127\.0\.0\.1\]/);
});
