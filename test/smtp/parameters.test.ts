/** No parameter of the client is declared and ignored; as lmtp it has its own. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeConfig } from '../../src/conf/config.ts';
import { LMTP_PARAMS } from '../../src/conf/params-lmtp.ts';
import { SMTP_PARAMS } from '../../src/conf/params-smtp.ts';
import { TLS_PARAMS } from '../../src/conf/params-tls.ts';
import { lmtpView } from '../../src/smtp/lmtp-view.ts';
import { deliverySettings } from '../../src/smtp/settings.ts';

const ROOT = join(import.meta.dirname, '../../src');
/** Read as the default of another one. */
const BY_EXPANSION = new Set(['fallback_relay']);

test('every parameter of the client is read somewhere outside of conf/', () => {
  const source = globSync('**/*.ts', { cwd: ROOT })
    .filter((file) => !file.startsWith('conf/'))
    .map((file) => readFileSync(join(ROOT, file), 'utf8'))
    .join('\n')
    // What a comment says about a parameter reads nothing.
    .replaceAll(/\/\*\*[\s\S]*?\*\/|\/\/.*/g, '');
  const words = new Set(source.match(/\w+/g));
  const names = [SMTP_PARAMS, LMTP_PARAMS, TLS_PARAMS].flatMap((each) => Object.keys(each));
  const ours = names.filter((name) => !name.startsWith('smtpd_') && !name.startsWith('tls_'));
  assert.deepEqual(
    ours.filter((name) => !words.has(name) && !BY_EXPANSION.has(name)),
    [],
  );
});

test('each parameter of lmtp takes the place of that of smtp, and no other', () => {
  const set = new Map<string, string>();
  for (const [name, { type }] of Object.entries(LMTP_PARAMS)) {
    if (type === 'text') set.set(name, `of-${name}`);
  }
  const config = makeConfig(set);
  assert.ok(config.ok);
  const view = lmtpView(config.value);
  for (const name of set.keys()) {
    const twin = name
      .replace('lmtp_lhlo_name', 'smtp_helo_name')
      .replace('lmtp_discard_lhlo', 'smtp_discard_ehlo')
      .replace('lmtp_', 'smtp_');
    assert.equal(Reflect.get(view, twin), `of-${name}`);
  }
});

const VALUES: readonly [main: Readonly<Record<string, string>>, lmtp: boolean, expected: object][] =
  [
    [{ smtp_skip_quit_response: 'no' }, false, { waitsForQuit: true }],
    [{}, false, { waitsForQuit: false, hello: 'always', isGreetingSoft: true, lineLimit: 998 }],
    [{}, true, { waitsForQuit: true, defaultPort: 24, connectMs: Number.POSITIVE_INFINITY }],
    [{ smtp_always_send_ehlo: 'no' }, false, { hello: 'esmtp' }],
    [{ smtp_never_send_ehlo: 'yes' }, false, { hello: 'never' }],
    [
      { smtp_skip_5xx_greeting: 'no', smtp_line_length_limit: '0' },
      false,
      { isGreetingSoft: false, lineLimit: 0 },
    ],
    [{ disable_mime_output_conversion: 'yes' }, false, { converts8bit: false }],
    [
      { smtp_tls_loglevel: '2', smtp_tls_note_starttls_offer: 'yes' },
      false,
      { tlsLogLevel: 2, notesStarttlsOffer: true },
    ],
    [{ smtp_address_preference: 'ipv6' }, false, { preferred: 6, families: [6, 4] }],
    [{ smtp_sasl_auth_soft_bounce: 'no' }, false, { isLoginSoft: false }],
    [
      { smtp_connection_cache_time_limit: '7s', lmtp_connection_cache_time_limit: '9s' },
      true,
      {
        cacheLimits: { idleMs: 9_000, reuseMs: 300_000, reuseCount: 0 },
      },
    ],
  ];
for (const [main, lmtp, expected] of VALUES) {
  test(`${lmtp ? 'lmtp' : 'smtp'} ${JSON.stringify(main)}`, () => {
    const config = makeConfig(new Map(Object.entries(main)));
    assert.ok(config.ok);
    const settings = deliverySettings(config.value, lmtp);
    assert.ok(settings.ok);
    for (const [name, value] of Object.entries(expected)) {
      assert.deepEqual(Reflect.get(settings.value, name), value, name);
    }
  });
}

test('each time limit is that of its stage, for smtp and for lmtp', () => {
  const stages = {
    helo: 'helo_timeout',
    starttls: 'starttls_timeout',
    mail: 'mail_timeout',
    rcpt: 'rcpt_timeout',
    dataInit: 'data_init_timeout',
    dataTransfer: 'data_xfer_timeout',
    dataDone: 'data_done_timeout',
    reset: 'rset_timeout',
    quit: 'quit_timeout',
  } as const;
  const names = Object.values(stages);
  for (const protocol of ['smtp', 'lmtp']) {
    const main = names.map((name, i): [string, string] => [
      `${protocol}_${protocol === 'lmtp' ? name.replace('helo', 'lhlo') : name}`,
      `${i + 1}s`,
    ]);
    const config = makeConfig(new Map(main));
    assert.ok(config.ok);
    const settings = deliverySettings(config.value, protocol === 'lmtp');
    assert.ok(settings.ok);
    const expected = Object.keys(stages).map((stage, i) => [stage, (i + 1) * 1_000]);
    assert.deepEqual(settings.value.limits, Object.fromEntries(expected));
  }
});
