import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CheckContext, parseCheckAction } from '../../src/cleanup/check-action.ts';
import { openCleanup, type Source } from '../../src/cleanup/cleanup.ts';
import { characterSet, openCleanupTables } from '../../src/cleanup/tables.ts';
import type { Envelope } from '../../src/mail/stages.ts';
import { parts } from '../rewrite/parts.ts';

const ENVELOPE: Envelope = {
  sender: 'me@example.org',
  recipients: [{ address: 'you@far.example', original: 'you@far.example', orcpt: '', notify: [] }],
  envid: '',
  ret: '',
  smtputf8: false,
  body: '',
};

/** A message through cleanup with tables: what was stored, the verdict, the log. */
async function clean(
  message: string | readonly string[],
  main: Record<string, string>,
  source: Partial<Source> = {},
) {
  const { config, context, resolver, tables } = parts(main);
  const opened = openCleanupTables(config, context, resolver.addressContext);
  assert.ok(opened.ok);
  const log: string[] = [];
  const put = (text: string): void => void log.push(text);
  const stored: Buffer[] = [];
  const write = (chunk: Buffer): true => {
    stored.push(Buffer.from(chunk));
    return true;
  };
  const cleaning = openCleanup({
    config,
    virtualAliases: tables.virtualAliases,
    addressContext: resolver.addressContext,
    tables: opened.value,
    log: { info: put, warning: put },
  }).begin({
    draft: { id: 'ID', write },
    trace: '',
    sender: 'me@example.org',
    isLocal: false,
    atMs: 0,
    ...source,
  });
  for (const piece of typeof message === 'string' ? [message] : message) {
    await cleaning.write(Buffer.from(piece, 'latin1'));
  }
  const verdict = await cleaning.finish(ENVELOPE);
  const said = verdict.ok
    ? 'ok'
    : `${verdict.error.reply.code} ${verdict.error.reply.status} ${verdict.error.reply.lines.join()}`;
  return { text: Buffer.concat(stored).toString('latin1'), verdict, said, log };
}

const HEADER: CheckContext = { subject: 'header', parameter: 'header_checks' };
const BODY: CheckContext = { subject: 'body', parameter: 'body_checks' };

const REFUSALS: readonly [value: string, reply: string][] = [
  ['REJECT', '550 5.7.1 message content rejected'],
  ['reject go away', '550 5.7.1 go away'],
  ['REJECT 5.9.9 go away', '550 5.9.9 go away'],
  ['REJECT 4.3.2 later', '451 4.3.2 later'],
  ['REJECT 2.0.0 nonsense', '451 4.0.0 nonsense'],
  ['550 no viruses', '550 5.7.1 no viruses'],
  ['554 5.6.0 no viruses', '554 5.6.0 no viruses'],
  ['450 later', '450 4.7.1 later'],
  ['421 5.1.1 later', '421 4.1.1 later'],
  ['550', '550 5.7.1 message content rejected'],
];

for (const [value, expected] of REFUSALS) {
  test(`a check that says "${value}" refuses with ${expected}`, () => {
    const action = parseCheckAction(value, HEADER);
    assert.ok(action.kind === 'reject');
    const { code, status, lines } = action.reply;
    assert.equal(`${code} ${status} ${lines.join()}`, expected);
  });
}

const KINDS: readonly [value: string, kind: string, context?: CheckContext][] = [
  ['DUNNO', 'dunno'],
  ['OK text', 'dunno'],
  ['IGNORE text', 'ignore'],
  ['STRIP', 'strip'],
  ['WARN x', 'log'],
  ['PASS', 'log'],
  ['FILTER smtp:[x]', 'filter'],
  ['FILTER x', 'bad'],
  ['FILTER', 'bad'],
  ['REDIRECT a@b', 'redirect'],
  ['REDIRECT a', 'bad'],
  ['BCC a', 'bad'],
  ['PREPEND A: b', 'prepend'],
  ['PREPEND no field', 'bad'],
  ['PREPEND no field', 'prepend', BODY],
  ['REPLACE', 'bad'],
  ['REPLACE no field', 'replace', BODY],
  ['DELAY 1h', 'bad'],
  ['RELAY', 'bad'],
];

for (const [value, kind, context = HEADER] of KINDS) {
  test(`"${value}" in ${context.parameter} is ${kind}`, () => {
    assert.equal(parseCheckAction(value, context).kind, kind);
  });
}

test('a check action of any text is an action', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.ok(parseCheckAction(text, HEADER).kind);
    }),
  );
});

const CHECKS = {
  header_checks:
    'pcre:{{/^X-No:(.*)/ 550 not$$1}, {/^X-Gone/ IGNORE}, {/^X-Late/ REJECT 4.1.1 later}}',
  body_checks: 'pcre:{{/^bad (\\w+)/ REJECT $$1}, {/^cut/ IGNORE}, {/^(!+)/ REPLACE <$$1>}}',
};

test('rules decide about the header, also when it comes in pieces', async () => {
  const message = 'A: 1\r\nX-Gone: 2\r\n folded\r\nB: 3\r\n\r\nX-Gone: body\r\n';
  for (const pieces of [[message], [...message]]) {
    assert.equal((await clean(pieces, CHECKS)).text, 'A: 1\r\nB: 3\r\n\r\nX-Gone: body\r\n');
  }
  assert.equal((await clean('X-No: virus\r\n\r\n', CHECKS)).said, '550 5.7.1 not virus');
  assert.equal((await clean('X-Late: x\r\n\r\n', CHECKS)).said, '451 4.1.1 later');
});

test('rules decide about the body, line by line', async () => {
  const { text } = await clean('A: 1\r\n\r\na\r\ncut\r\n\r\n!!\r\nend', CHECKS);
  assert.equal(text, 'A: 1\r\n\r\na\r\n\r\n<!!>\r\nend\r\n');
  const { said, log } = await clean('A: 1\r\n\r\nx\r\nbad word\r\nmore\r\n', CHECKS);
  assert.equal(said, '550 5.7.1 word');
  assert.deepEqual(log, [
    'ID: reject: body bad word from local; from=<me@example.org>: 5.7.1 word',
  ]);
});

test('a table that is down refuses for now', async () => {
  for (const name of ['header_checks', 'body_checks', 'mime_header_checks']) {
    const { said } = await clean('Content-Type: x\r\n\r\nbody\r\n', { [name]: 'fail:x' });
    assert.match(said, /^451 4\.3\.0/);
  }
  const canonical = { canonical_maps: 'fail:x' };
  assert.match((await clean('A: 1\r\n\r\n', canonical)).said, /^451 4\.3\.0/);
  const local = await clean(
    'From: a@b\r\n\r\n',
    { ...canonical, canonical_classes: 'header_sender' },
    { isLocal: true },
  );
  assert.match(local.said, /^451 4\.3\.0/);
});

test('mail of our own is not checked', async () => {
  assert.equal((await clean('X-No: x\r\n\r\n', CHECKS, { isInternal: true })).said, 'ok');
});

test('receive_override_options switches rules and mappings off', async () => {
  const main = {
    ...CHECKS,
    always_bcc: 'log@far.example',
    canonical_maps: 'inline:{you@far.example=x@y}',
    virtual_alias_maps: 'inline:{you@far.example=x@y}',
  };
  const addresses = async (options: string): Promise<string> => {
    const { verdict } = await clean('X-No: x\r\n\r\n', {
      ...main,
      receive_override_options: options,
    });
    return verdict.ok
      ? verdict.value.recipients.map(({ address }) => address).join(' ')
      : 'refused';
  };
  assert.equal(await addresses(''), 'refused');
  assert.equal(await addresses('no_header_body_checks'), 'x@y log@far.example');
  assert.equal(await addresses('no_header_body_checks, no_address_mappings'), 'you@far.example');
});

test('a header that never ends takes no memory beyond its limit', async () => {
  const field = `X-Long: ${'y'.repeat(100)}\r\n${` ${'z'.repeat(100)}\r\n`.repeat(200)}`;
  const { text } = await clean([...(field.match(/[\s\S]{1,997}/g) ?? []), '\r\nbody\r\n'], {
    header_size_limit: '2000',
  });
  assert.ok(text.length < 2200, `${text.length}`);
  assert.match(text, /^X-Long: y+\r\n( z+\r\n)+\r\nbody\r\n$/);
});

test('any bytes in any pieces are stored without a crash, as one piece would be', async () => {
  const main = { ...CHECKS, mime_header_checks: 'pcre:{{/^x/ IGNORE}}' };
  const unit = fc.constantFrom(
    'a',
    ':',
    ' ',
    '\r\n',
    '\r\n\r\n',
    '--b',
    'Content-Type: multipart/mixed; boundary=b',
    '\xff',
    '"',
    '<',
    'From: ',
    'x',
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit, maxLength: 8 }), { maxLength: 6 }),
      async (pieces) => {
        const whole = await clean(pieces.join(''), main, { isLocal: true });
        assert.equal((await clean(pieces, main, { isLocal: true })).text, whole.text);
        assert.ok(whole.text.endsWith('\r\n'));
      },
    ),
    { numRuns: 150 },
  );
});

test('characterSet() reads C escapes', () => {
  const matches = (text: string, subject: string): boolean => {
    const set = characterSet(text);
    assert.ok(set.ok && set.value);
    return subject.search(set.value) >= 0;
  };
  assert.ok(matches('\\0', 'a\0b'));
  assert.ok(matches('\\200-x', '\x80'));
  assert.ok(matches('a-c', '-'));
  assert.ok(!matches('a-c', 'b'));
  assert.ok(matches('\\n\\\\', '\\'));
  assert.ok(!characterSet('\\').ok);
  assert.ok(!characterSet('\\777').ok);
});
