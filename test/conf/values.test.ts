import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig, makeConfig } from '../../src/conf/config.ts';
import type { Config } from '../../src/conf/params.ts';

const GOOD: readonly [
  name: keyof Config & string,
  text: string,
  value: string | number | boolean,
][] = [
  ['smtpd_helo_required', 'YES', true],
  ['minimal_backoff_time', '2m', 120],
  ['minimal_backoff_time', '90', 90],
  ['maximal_queue_lifetime', '2', 172_800],
  ['maximal_queue_lifetime', '1W', 604_800],
  ['message_size_limit', ' +5 ', 5],
  ['relayhost', '', ''],
  ['inet_protocols', 'IPv4, ipv6', 'IPv4, ipv6'],
];
for (const [name, text, value] of GOOD) {
  test(`${name} = ${text} is ${value}`, () => {
    const made = makeConfig(new Map([[name, text]]));
    assert.ok(made.ok);
    assert.equal(made.value[name], value);
  });
}

const BAD: readonly [name: string, text: string, words: string, remedy: RegExp][] = [
  [
    'message_size_limit',
    '10M',
    'bad numerical configuration: message_size_limit = 10M',
    /whole number/,
  ],
  ['message_size_limit', '-1', 'invalid message_size_limit parameter value -1 < 0', /from 0/],
  [
    'message_size_limit',
    '3000000000',
    'invalid message_size_limit parameter value 3000000000 > 2147483647',
    /to/,
  ],
  [
    'message_size_limit',
    '99999999999999999999',
    'bad numerical configuration: message_size_limit',
    /whole/,
  ],
  [
    'smtpd_helo_required',
    'maybe',
    'bad boolean configuration: smtpd_helo_required = maybe',
    /yes or no/,
  ],
  [
    'minimal_backoff_time',
    '5x',
    'parameter minimal_backoff_time: bad time value or unit: 5x',
    /a unit/,
  ],
  ['minimal_backoff_time', '0', 'invalid minimal_backoff_time: 0 (min 1)', /at least 1s/],
  ['compatibility_level', '3.x', 'malformed compatibility level syntax: "3.x"', /numbers/],
  ['inet_protocols', 'ipv5', 'unknown inet_protocols value in "ipv5"', /ipv4, ipv6 or all/],
  ['mynetworks_style', 'near', 'bad mynetworks_style value: near', /host, subnet, class/],
  ['myhostname', '', 'bad string length 0 < 1: myhostname = ', /value/],
  ['relayhost', '${x', 'parameter relayhost: truncated macro reference: "${x"', /brace/],
  ['mydestination', '$', 'parameter mydestination: empty macro name: "$"', /dollar/],
];
for (const [name, text, words, remedy] of BAD) {
  test(`${name} = ${text} is refused: ${words}`, () => {
    const made = makeConfig(new Map([[name, text]]));
    assert.ok(!made.ok);
    assert.equal(made.error.length, 1);
    assert.ok(made.error[0]?.text.startsWith(words), made.error[0]?.text);
    assert.match(made.error[0]?.text.slice(words.length) ?? '', remedy);
  });
}

const scratch = mkdtempSync(join(tmpdir(), 'postern-values-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('a faulty reference is a fault of the line that has it, once, whoever refers to it', () => {
  const file = join(scratch, 'main.cf');
  writeFileSync(file, '# c\nmy_hub = [${hub\nrelayhost = $my_hub\nmydestination = $my_hub, a\n');
  const loaded = loadConfig(scratch);
  assert.ok(!loaded.ok);
  const texts = loaded.error.map(({ text }) => text);
  assert.deepEqual(
    texts.filter((text) => text.startsWith(`${file}, line 2: parameter my_hub: truncated`)),
    texts.slice(0, 1),
  );
  assert.equal(texts.length, 1);
  assert.equal(loaded.error[0]?.line, 2);
});

test('a fault of an -o option names the option', () => {
  writeFileSync(join(scratch, 'main.cf'), 'relayhost = x\n');
  const loaded = loadConfig(scratch, new Map([['relayhost', '${x']]));
  assert.ok(!loaded.ok);
  assert.match(loaded.error[0]?.text ?? '', /^-o option: parameter relayhost: truncated/);
});

test('? and : ask for the value as it is written, not for what it expands to', () => {
  const made = makeConfig(
    new Map([
      ['hollow', '$nothing'],
      ['relayhost', '${hollow?set}${nothing:unset}'],
    ]),
  );
  assert.ok(made.ok && made.value.relayhost === 'setunset');
});

test('raw values are not expanded, neither alone nor inside another', () => {
  const made = makeConfig(
    new Map([
      ['luser_relay', '$user@x'],
      ['relayhost', '[$luser_relay]'],
    ]),
  );
  assert.ok(made.ok);
  assert.equal(made.value.luser_relay, '$user@x');
  assert.equal(made.value.relayhost, '[$user@x]');
});
