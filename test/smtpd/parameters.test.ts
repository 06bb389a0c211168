/** Every parameter that is declared for the SMTP server is read by code: none is taken and ignored. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AUTH_PARAMS } from '../../src/conf/params-auth.ts';
import { POLICY_PARAMS } from '../../src/conf/params-policy.ts';
import { SMTPD_PARAMS } from '../../src/conf/params-smtpd.ts';
import { TLS_PARAMS } from '../../src/conf/params-tls.ts';

const SOURCE = join(import.meta.dirname, '../../src');
/** Read under a name that is put together: `smtpd_${stage}_restrictions`. */
const COMPOSED = /^smtpd_\w+_restrictions$/;

const isCode = (file: string): boolean => file.endsWith('.ts') && !/(^|\/)conf\//.test(file);
const code = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter(isCode)
  .map((file) => readFileSync(join(SOURCE, file), 'utf8'))
  .join('\n')
  .replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
const words = new Set(code.match(/\b[a-z]\w+\b/gi));

for (const [file, params] of Object.entries({
  SMTPD_PARAMS,
  AUTH_PARAMS,
  TLS_PARAMS,
  POLICY_PARAMS,
})) {
  test(`${file}: each is read outside conf/`, () => {
    const unread = Object.keys(params).filter((name) => !COMPOSED.test(name) && !words.has(name));
    assert.deepEqual(unread, []);
  });
}
