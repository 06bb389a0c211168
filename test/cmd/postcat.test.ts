import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { postcat } from '../../src/cmd/postcat.ts';
import { queueDump } from '../../src/cmd/queue-dump.ts';
import { bodyOf, enqueue, must } from '../queue/store-contract.ts';
import { type CommandSite, commandSite } from './queue-commands.ts';

let site: CommandSite;
beforeEach(async () => {
  site = await commandSite();
});
afterEach(() => site.close());

const MESSAGE = 'Subject: grüße\r\nX-Long: a\r\n b\r\n\r\nfirst\r\n\r\nlast\r\n';
const show = (...words: string[]) => site.run((io) => postcat(words, io, site.config));
const dump = (...words: string[]) => site.run((io) => queueDump(words, io, site.config));

describe('postcat', () => {
  it('shows envelope, header and body as Postfix does', async () => {
    const id = await enqueue(site.store, Buffer.from(MESSAGE));
    const { status, out } = await show('-q', id);
    assert.equal(status, 0);
    const lines = out.split('\n');
    assert.equal(lines[0], `*** ENVELOPE RECORDS active/${id} ***`);
    assert.ok(lines.includes('sender: sender@example.org'));
    assert.ok(lines.includes('recipient: user@example.com'));
    assert.ok(lines.includes('named_attribute: log_client_address=192.0.2.1'));
    assert.match(out, /\nmessage_arrival_time: \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n/);
    const contents = `*** MESSAGE CONTENTS active/${id} ***\n${MESSAGE.replaceAll('\r\n', '\n')}***`;
    assert.ok(out.includes(contents), out);
    assert.ok(out.endsWith(`*** MESSAGE FILE END active/${id} ***\n`));
  });

  it('-h shows the header, -b the body', async () => {
    const id = await enqueue(site.store, Buffer.from(MESSAGE));
    assert.equal((await show('-hq', id)).out, 'Subject: grüße\nX-Long: a\n b\n');
    assert.equal((await show('-bq', id)).out, '\nfirst\n\nlast\n');
    assert.equal((await show('-bh', id)).out, MESSAGE.replaceAll('\r\n', '\n'));
    assert.doesNotMatch((await show('-eq', id)).out, /Subject/);
  });

  it('shows a large body whole', async () => {
    const line = `${'x'.repeat(70)}\r\n`;
    const body = `Subject: large\r\n\r\n${line.repeat(10_000)}`;
    const id = await enqueue(site.store, Buffer.from(body));
    assert.equal((await show('-bh', id)).out, body.replaceAll('\r\n', '\n'));
  });

  it('fails for an id that is not there or none at all', async () => {
    assert.equal((await show('-q', 'NOSUCHID')).status, 1);
    assert.equal((await show('-q', '../../etc/passwd')).status, 1);
    assert.equal((await show('-q')).status, 1);
  });
});

describe('postern queue dump and restore', () => {
  it('bring every message back, whole, and leave known ones alone', async () => {
    const other = await commandSite();
    try {
      const bodies = [Buffer.alloc(0), Buffer.from(MESSAGE), Buffer.alloc(300_000, 'large\n')];
      const ids: string[] = [];
      for (const body of bodies) ids.push(await enqueue(site.store, body, { attempts: 2 }));
      const file = `${site.root}/dump`;
      assert.equal((await dump('dump', file)).err, 'postern: Dumped: 3 messages\n');
      const restore = () => other.run((io) => queueDump(['restore', file], io, other.config));
      assert.match((await restore()).err, /Restored: 3, already there: 0/);
      assert.match((await restore()).err, /Restored: 0, already there: 3/);
      for (const [i, id] of ids.entries()) {
        assert.deepEqual(must(await other.store.read(id)), must(await site.store.read(id)));
        assert.ok(bodies[i]?.equals(await bodyOf(other.store, id)));
      }
    } finally {
      await other.close();
    }
  });

  it('restore says when a dump is cut, damaged or something else', async () => {
    await enqueue(site.store, Buffer.from(MESSAGE));
    const file = `${site.root}/dump`;
    await dump('dump', file);
    const whole = readFileSync(file);
    const flipped = Buffer.from(whole);
    flipped[flipped.indexOf('first')] = 0x58;
    for (const [bytes, reason] of [
      [whole.subarray(0, -30), /cut short|damaged/],
      [flipped, /damaged body/],
      [Buffer.from('From x\n'), /no queue dump/],
    ] as const) {
      writeFileSync(file, bytes);
      const { status, err } = await dump('restore', file);
      assert.equal(status, 1);
      assert.match(err, reason);
    }
    assert.equal((await dump('dump', '/nonexistent/x')).status, 1);
    assert.equal((await dump('restore', '/nonexistent/x')).status, 1);
  });
});
