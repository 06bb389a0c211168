/** pipe(8) rows: attributes, macros, what the command gets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliverPipe, expandArguments, type PipeParts } from '../../src/pipe/pipe.ts';
import { parsePipeArguments } from '../../src/pipe/settings.ts';
import { deliveryRequest, openBodyOf } from '../support/agent-body.ts';

const BODY = Buffer.from('Subject: x\r\n\r\n.dot\r\nFrom me\r\n');

function parts(...args: string[]): PipeParts {
  const settings = parsePipeArguments(args);
  assert.ok(settings.ok, settings.ok ? '' : settings.error);
  return {
    settings: settings.value,
    identity: undefined,
    recipient_delimiter: '+',
    export_environment: 'LANG',
    environment: { LANG: 'C', SECRET: 'x' },
    timeLimitMs: 5_000,
    service: 'archive',
    nowMs: () => 0,
  };
}
const request = deliveryRequest(['Joe+ext@Example.ORG', 'ann@example.net'], {
  sender: '',
  transport: 'archive',
});
const one = deliveryRequest(['joe@example.org']);

const FAULTS: readonly [string[], RegExp][] = [
  [['user=x'], /missing argv=/],
  [['argv=/bin/true'], /missing user=/],
  [['user=x', 'flags=Z', 'argv=/bin/true'], /unknown flag: Z/],
  [['user=x', 'colour=red', 'argv=/bin/true'], /unknown attribute: colour/],
  [['user=x', 'chroot=/x', 'argv=/bin/true'], /chroot=/],
];
for (const [args, reason] of FAULTS) {
  test(`a row with ${args.join(' ')} is refused`, () => {
    const settings = parsePipeArguments(args);
    assert.ok(!settings.ok);
    assert.match(settings.error, reason);
  });
}

test('macros are replaced, those of recipients repeated, empty ones kept', () => {
  const row = parts(
    'user=x',
    'flags=hu',
    'argv=/bin/x',
    '-f',
    '${sender}',
    '-a',
    '${extension}',
    '$(user)@$domain',
    '$$x',
    '$nothing',
    '--',
    '$recipient',
  );
  assert.deepEqual(expandArguments(row.settings.argv, request, row), [
    '/bin/x',
    '-f',
    'MAILER-DAEMON',
    '-a',
    'ext',
    '',
    'joe@example.org',
    'ann@example.net',
    '$x',
    '',
    '--',
    'joe+ext@example.org',
    'ann@example.net',
  ]);
});

test('values are never expanded again nor seen by a shell', async () => {
  const row = parts('user=x', 'flags=q', 'argv=/bin/echo', '$recipient');
  const evil = deliveryRequest(['$sender;`id` "x@example.org']);
  assert.deepEqual(expandArguments(row.settings.argv, evil, row), [
    '/bin/echo',
    '"$sender;`id` \\"x"@example.org',
  ]);
});

const VERDICTS: readonly [string, string][] = [
  ['/bin/true', 'sent 2.0.0 delivered via archive service'],
  ['/bin/false', 'bounced 5.3.0 Command died with status 1: "/bin/false"'],
  ['/no/such/file', 'deferred 4.3.0 cannot run "/no/such/file": spawn /no/such/file ENOENT'],
];
for (const [command, wanted] of VERDICTS) {
  test(`${command}: ${wanted}`, async () => {
    const { outcomes } = await deliverPipe(
      request,
      openBodyOf(BODY),
      parts('user=x', `argv=${command}`),
    );
    assert.deepEqual(
      outcomes.map(({ kind, dsn }) => `${kind} ${dsn.status} ${dsn.reason}`),
      [wanted, wanted],
    );
  });
}

test('flags shape what the command reads', async () => {
  const script = 'cat >&2; exit 1';
  const row = parts('user=x', 'flags=BDFOR.>', 'argv=/bin/sh', '-c', script);
  const { outcomes } = await deliverPipe(one, openBodyOf(BODY), row);
  const output = outcomes[0]?.dsn.reason ?? '';
  assert.match(
    output,
    /From sender@example\.org {2}Thu Jan +1 \S+ 1970 Return-Path: <sender@example\.org> X-Original-To: joe@example\.org Delivered-To: joe@example\.org Subject: x \.\.dot >From me/,
  );
});

test('D with several recipients, a loop, and a large message are refused', async () => {
  const row = parts('user=x', 'flags=D', 'size=10', 'argv=/bin/true');
  const status = async (...args: Parameters<typeof deliverPipe>) =>
    (await deliverPipe(...args)).outcomes[0]?.dsn.status;
  assert.equal(await status(request, openBodyOf(BODY), row), '4.3.5');
  const large = { ...one, content: { ...one.content, sizeBytes: 11 } };
  assert.equal(await status(large, openBodyOf(BODY), row), '5.3.4');
  assert.equal(
    await status(one, openBodyOf(Buffer.from('Delivered-To: JOE@example.org\r\n\r\n')), row),
    '5.4.6',
  );
});

test('the environment is PATH and what is exported', async () => {
  const row = parts('user=x', 'argv=/bin/sh', '-c', 'env >&2; exit 1');
  const reason = (await deliverPipe(one, openBodyOf(BODY), row)).outcomes[0]?.dsn.reason ?? '';
  assert.match(reason, /LANG=C/);
  assert.doesNotMatch(reason, /SECRET|HOME/);
});
