/** What rules on content do to mail from sendmail: it is refused by a bounce, held, discarded, sent on. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openCleanup } from '../../src/cleanup/cleanup.ts';
import { openCleanupTables } from '../../src/cleanup/tables.ts';
import type { QueueEntry } from '../../src/mail/stages.ts';
import { type Drop, formatHead } from '../../src/pickup/maildrop.ts';
import { openPickup } from '../../src/pickup/pickup.ts';
import { parts as openParts, SILENT } from '../rewrite/parts.ts';
import { makeDirectory, removeDirectory } from '../support/instance.ts';
import { memoryStore } from '../support/memory-store.ts';

const base = makeDirectory();
after(() => removeDirectory(base));

const DROP: Drop = {
  sender: 'me',
  recipients: ['you@far.example'],
  fullName: 'Me, Myself',
  body: '',
  envid: '',
  ret: '',
  notify: [],
};

let count = 0;

/** The entry that a message became, and its text. */
async function submit(message: string) {
  count += 1;
  const directory = join(base, `d${count}`);
  mkdirSync(directory);
  const { config, context, resolver, tables } = openParts({
    header_checks:
      'pcre:{{/^X-No/ REJECT 5.7.9 not this}, {/^X-Hold/ HOLD}, {/^X-Drop/ DISCARD}, {/^X-To/ REDIRECT r@far.example}, {/^X-Via/ FILTER smtp:[x]}}',
  });
  const opened = openCleanupTables(config, context, resolver.addressContext);
  assert.ok(opened.ok);
  const cleanup = openCleanup({
    config,
    virtualAliases: tables.virtualAliases,
    addressContext: resolver.addressContext,
    tables: opened.value,
  });
  const store = memoryStore();
  const arrived: QueueEntry[] = [];
  writeFileSync(join(directory, '1.mail'), `${formatHead(DROP)}${message}\n\nbody\n`);
  await openPickup({
    config: () => config,
    directory,
    cleanup: () => cleanup,
    store,
    arrived: (entry) => void arrived.push(entry),
    logger: SILENT,
    cleanupLogger: SILENT,
    nowMs: () => 0,
  }).run();
  assert.deepEqual(readdirSync(directory), []);
  const [entry] = arrived;
  const body = entry ? await store.openBody(entry) : undefined;
  return { entry, text: body?.ok ? (body.value.bytes?.toString() ?? '') : '' };
}

test('what a rule refuses goes back to its sender, whole', async () => {
  const { entry, text } = await submit('X-No: x\nSubject: s');
  assert.equal(entry?.filter, 'error:5.7.9 not this');
  assert.equal(entry?.sender, 'me@example.org');
  assert.equal(entry?.recipients[0]?.address, 'you@far.example');
  assert.match(text, /X-No: x\r\nSubject: s\r\n[\s\S]*\r\n\r\nbody\r\n$/);
});

test('rules hold, discard, redirect and filter it', async () => {
  assert.equal((await submit('X-Hold: x')).entry?.onHold, true);
  assert.equal((await submit('X-Drop: x')).entry, undefined);
  assert.equal((await submit('X-To: x')).entry?.recipients[0]?.address, 'r@far.example');
  assert.equal((await submit('X-Via: x')).entry?.filter, 'smtp:[x]');
});

test('a missing From names the user', async () => {
  assert.match((await submit('Subject: s')).text, /\r\nFrom: "Me, Myself" <me@example\.org>\r\n/);
});
