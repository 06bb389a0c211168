/** Virtual mailboxes: lookup forms, paths, rights. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openMaps } from '../../src/lookup/maps.ts';
import { lookupContext } from '../../src/lookup/open.ts';
import { openClasses } from '../../src/rewrite/classes.ts';
import { deliverVirtual } from '../../src/virtual/virtual.ts';
import { deliveryRequest, openBodyOf } from '../support/agent-body.ts';
import { testConfig } from '../support/config.ts';

const root = mkdtempSync(join(tmpdir(), 'postern-virtual-'));
chmodSync(root, 0o755);
after(() => rmSync(root, { recursive: true, force: true }));
const IS_ROOT = process.getuid?.() === 0;
const SILENT = { info() {}, warning() {}, error() {}, fatal() {}, panic() {}, flush() {} };
const MAPS = 'joe@v.example=joe/, ann@v.example=sub/ann, up@v.example=a/../../x, @all.example=all/';
let count = 0;

async function deliver(
  address: string,
  values: Record<string, string> = {},
  body = 'Subject: x\r\n\r\nx\r\n',
) {
  const base = join(root, `b${(count += 1)}`);
  mkdirSync(join(base, 'sub'), { recursive: true });
  for (const path of [base, join(base, 'sub')]) if (IS_ROOT) chownSync(path, 1234, 1234);
  const config = testConfig({
    virtual_mailbox_base: base,
    virtual_mailbox_maps: `inline:{${MAPS}}`,
    virtual_uid_maps: 'static:1234',
    virtual_gid_maps: 'static:1234',
    recipient_delimiter: '+',
    ...values,
  });
  const context = lookupContext(config, SILENT);
  const open = (name: 'virtual_mailbox_maps' | 'virtual_uid_maps' | 'virtual_gid_maps') => {
    const maps = openMaps(name, config[name], context);
    assert.ok(maps.ok);
    return maps.value;
  };
  const classes = openClasses(config, context);
  assert.ok(classes.ok);
  const warnings: string[] = [];
  const { outcomes } = await deliverVirtual(
    deliveryRequest([address]),
    openBodyOf(Buffer.from(body)),
    {
      config,
      mailboxes: open('virtual_mailbox_maps'),
      uids: open('virtual_uid_maps'),
      gids: open('virtual_gid_maps'),
      addressContext: {
        recipient_delimiter: '+',
        isLocal: (domain) => classes.value.isOrigin(domain),
      },
      logger: { warning: (text) => warnings.push(text) },
      service: 'virtual',
      nowMs: Date.now,
    },
  );
  const [outcome] = outcomes;
  assert.equal(outcome?.relay, 'virtual');
  return { base, warnings, text: `${outcome?.kind} ${outcome?.dsn.status} ${outcome?.dsn.reason}` };
}

const CASES: readonly [address: string, text: string, file: string][] = [
  ['joe@v.example', 'sent 2.0.0 delivered to maildir', 'joe/new'],
  ['joe+ext@v.example', 'sent 2.0.0 delivered to maildir', 'joe/new'],
  ['anyone@all.example', 'sent 2.0.0 delivered to maildir', 'all/new'],
  ['ann@v.example', 'sent 2.0.0 delivered to mailbox', 'sub/ann'],
  ['nope@v.example', 'bounced 5.1.1 unknown user: "nope@v.example"', ''],
  ['up@v.example', 'deferred 4.3.5 mail system configuration error', ''],
];
for (const [address, text, file] of CASES) {
  test(`${address}: ${text}`, async () => {
    const result = await deliver(address);
    assert.equal(result.text, text);
    if (file === '') return assert.deepEqual(readdirSync(result.base), ['sub']);
    assert.ok(existsSync(join(result.base, file)));
    if (IS_ROOT) assert.equal(statSync(join(result.base, file)).uid, 1234);
    assert.equal(process.geteuid?.(), process.getuid?.());
  });
}

test('a message that was here before bounces', async () => {
  const { text } = await deliver('joe@v.example', {}, 'delivered-to: Joe@V.example\r\n\r\nx\r\n');
  assert.equal(text, 'bounced 5.4.6 mail forwarding loop for joe@v.example');
});

test('the ids must be there and not too small', { skip: !IS_ROOT }, async () => {
  for (const [values, reason] of [
    [{ virtual_uid_maps: 'static:99' }, /below the minimum 100/],
    [{ virtual_gid_maps: 'static:0' }, /below the minimum 1/],
    [{ virtual_uid_maps: '' }, /not found in virtual_uid_maps/],
    [{ virtual_uid_maps: 'static:joe' }, /bad uid/],
  ] as const) {
    const { text, warnings } = await deliver('joe@v.example', values);
    assert.equal(text, 'deferred 4.3.5 mail system configuration error');
    assert.match(warnings[0] ?? '', reason);
  }
});

test('a base the user may not write to defers', { skip: !IS_ROOT }, async () => {
  const { text } = await deliver('joe@v.example', {
    virtual_uid_maps: 'static:4321',
    virtual_gid_maps: 'static:4321',
  });
  assert.match(text, /^deferred 4\.2\.0 maildir delivery failed: .*Permission denied$/);
});
