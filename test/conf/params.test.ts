/**
 * The tables of parameters: none twice, none that nobody reads, none of Postfix missing, and the
 * page about them up to date.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeConfig } from '../../src/conf/config.ts';
import {
  DEPRECATED_PARAMETERS,
  REMOVED_PARAMETERS,
  replacementOf,
} from '../../src/conf/deprecated-params.ts';
import { meaningOf } from '../../src/conf/not-implemented.ts';
import { type Config, PARAMS } from '../../src/conf/params.ts';
import { LEGACY_PARAMETERS, POSTFIX_PARAMETERS } from '../../src/conf/postfix-params.ts';
import { references } from '../../src/util/expand.ts';
import { PAGE, parametersPage } from '../support/parameters-page.ts';

const SRC = join(import.meta.dirname, '../../src');
const NAMES = Object.keys(PARAMS);

/** Names that are put together where they are read; the text must stand in that file. */
const COMPOSED: readonly [names: RegExp, file: string, text: string][] = [
  [/^smtpd_\w+_restrictions$/, 'restrict/restrict.ts', '`smtpd_${stage}_restrictions`'],
  [/^(local|virtual)_destination_\w+$/, 'qmgr/transports.ts', '`${transport}_${suffix}`'],
];

const sourceOf = (file: string): string =>
  readFileSync(join(SRC, file), 'utf8').replaceAll(/^\s*(\/?\*|\/\/).*$/gm, '');

test('every parameter that counts as implemented is read by some code', () => {
  const tables =
    /^conf\/(params[\w-]*|postfix-params|postfix-rows-[\w-]*|compatibility|deprecated-params|service-params|not-implemented)\.ts$/;
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !tables.test(file),
  );
  const words = new Set(files.flatMap((file) => sourceOf(file).match(/\w+/g) ?? []));
  const isRead = (name: string): boolean =>
    words.has(name) ||
    COMPOSED.some(([names, file, text]) => names.test(name) && sourceOf(file).includes(text));
  const read = NAMES.filter(isRead);
  // What the value of another refers to is read with it, such as an old name.
  const indirect = new Set(
    read.flatMap((name) => references(PARAMS[name as keyof typeof PARAMS].default).names),
  );
  assert.deepEqual(
    NAMES.filter((name) => !isRead(name) && !indirect.has(name)),
    [],
  );
});

test('every name of a composed parameter stands where it is said to be read', () => {
  for (const [, file, text] of COMPOSED) assert.ok(sourceOf(file).includes(text), file);
});

test('no parameter is declared by two areas', () => {
  const declared = readdirSync(join(SRC, 'conf'))
    .filter((file) => /^params-\w+\.ts$/.test(file))
    .flatMap((file) => [...sourceOf(`conf/${file}`).matchAll(/^ {2}'?(\w+)'?: [\w.]+[(,]/gm)])
    .map(([, name = '']) => name);
  const twice = declared.filter((name, at) => declared.indexOf(name) !== at);
  assert.deepEqual(twice, []);
  assert.deepEqual(new Set(declared), new Set(NAMES));
});

test('every default is a value of its own type', () => {
  for (const level of ['0', '1', '2', '3.6', '3.11']) {
    const made = makeConfig(new Map([['compatibility_level', level]]));
    assert.ok(made.ok, made.ok ? '' : made.error.map(({ text }) => text).join('\n'));
  }
});

test('each parameter of Postfix is implemented, or it is said what its absence means', () => {
  const silent = [...POSTFIX_PARAMETERS.keys()].filter(
    (name) => !Object.hasOwn(PARAMS, name) && meaningOf(name).length < 10,
  );
  assert.deepEqual(silent, []);
  assert.ok(POSTFIX_PARAMETERS.size > 860);
});

test('what is removed is not known, and what is deprecated is', () => {
  for (const name of REMOVED_PARAMETERS.keys()) {
    assert.ok(!POSTFIX_PARAMETERS.has(name) || name.startsWith('tls_legacy'), name);
    assert.ok(replacementOf(name));
  }
  for (const name of DEPRECATED_PARAMETERS.keys()) {
    const isKnown = POSTFIX_PARAMETERS.has(name) || LEGACY_PARAMETERS.has(name);
    assert.ok(isKnown || Object.hasOwn(PARAMS, name), name);
  }
});

const LEVELS: readonly [level: string, name: keyof Config & string, value: string | boolean][] = [
  ['0', 'append_dot_mydomain', true],
  ['1', 'append_dot_mydomain', false],
  ['0', 'smtputf8_enable', false],
  ['1', 'smtputf8_enable', true],
  ['0', 'smtpd_relay_restrictions', ''],
  ['1', 'mynetworks_style', 'subnet'],
  ['2', 'mynetworks_style', 'host'],
  ['1', 'relay_domains', 'd.example'],
  ['2', 'relay_domains', ''],
  ['3', 'smtpd_relay_before_recipient_restrictions', false],
  ['3.6', 'smtpd_relay_before_recipient_restrictions', true],
  ['3.5.9', 'smtp_tls_fingerprint_digest', 'md5'],
  ['3.6', 'smtp_tls_fingerprint_digest', 'sha256'],
  ['3.10', 'smtp_tls_security_level', ''],
  ['3.11', 'smtp_tls_security_level', 'may'],
];
for (const [level, name, value] of LEVELS) {
  test(`at compatibility_level ${level} the default of ${name} is "${value}"`, () => {
    const raw = new Map([
      ['mydestination', 'd.example'],
      ['compatibility_level', level],
    ]);
    const made = makeConfig(raw);
    assert.ok(made.ok);
    assert.equal(made.value[name], value);
  });
}

test('docs/parameters.md is what the descriptors say: run npm run docs:parameters', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), parametersPage());
});
