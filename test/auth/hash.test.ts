import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DUMMY_HASH, makeHash, parseHash, verifyHash } from '../../src/auth/hash.ts';

// Made by openssl passwd, htpasswd, argon2(1) and slappasswd; the password is "secret".
const HASHES = {
  'bare SHA-512':
    '$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1',
  '{SHA512-CRYPT}':
    '{SHA512-CRYPT}$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1',
  'bare SHA-256': '$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA',
  '{SHA256-CRYPT}': '{SHA256-CRYPT}$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA',
  '{CRYPT}': '{CRYPT}$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA',
  'scheme in lower case': '{plain}secret',
  '{PLAIN}': '{PLAIN}secret',
  '{SSHA}': `{SSHA}${ssha('secret', 'salt')}`,
};

function ssha(secret: string, salt: string): string {
  const digest = createHash('sha1').update(secret).update(salt).digest();
  return Buffer.concat([digest, Buffer.from(salt)]).toString('base64');
}

import { createHash } from 'node:crypto';
import { hashSync } from 'bcryptjs';

for (const [name, text] of Object.entries(HASHES)) {
  test(`${name}: the right secret matches, others do not`, () => check(text));
}

test('bcrypt in all its prefixes', async () => {
  const made = hashSync('secret', 4);
  for (const prefix of ['$2a$', '$2b$', '$2y$']) {
    await check(prefix + made.slice(4));
    await check(`{BLF-CRYPT}${prefix}${made.slice(4)}`);
  }
});

test('makeHash() makes argon2id with the recommended cost', async () => {
  const made = await makeHash('secret');
  assert.match(made, /^\{ARGON2ID\}\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  await check(made);
  await check(made.replace('{ARGON2ID}', ''));
});

test('the dummy hash is one that costs as much and matches nothing', async () => {
  assert.equal(parseHash(DUMMY_HASH.value).ok, true);
  assert.equal(await verifyHash(DUMMY_HASH, 'secret'), false);
});

const PHC = 'c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g';
const REFUSED: Readonly<Record<string, string>> = {
  '': 'not {SCHEME}hash and not a crypt hash',
  secret: 'not {SCHEME}hash and not a crypt hash',
  $1$salt$hash: 'not {SCHEME}hash and not a crypt hash',
  '{MD5}abc': 'scheme {MD5} is not supported; set a new password',
  '{PLAIN}': 'empty password',
  '{SSHA}abcd': 'damaged SSHA hash',
  '{BLF-CRYPT}$6$a$b': 'damaged SHA-crypt hash',
  '{ARGON2ID}x': 'not a {ARGON2ID} hash',
  [`$argon2id$v=19$m=4194304,t=2,p=1$${PHC}`]: 'argon2 memory above 262144 KiB',
  [`$argon2id$v=19$m=1024,t=4000,p=1$${PHC}`]: 'argon2 passes above 20',
  [`$argon2id$v=19$m=1024,t=2,p=99$${PHC}`]: 'argon2 lanes above 16',
  [`$2b$31$${'a'.repeat(53)}`]: 'bcrypt cost above 15',
  [`$6$rounds=99999999$salt$${'a'.repeat(86)}`]: 'SHA-crypt rounds above 1000000',
};

for (const [text, expected] of Object.entries(REFUSED)) {
  test(`parseHash() refuses ${JSON.stringify(text.slice(0, 32))}: ${expected}`, () => {
    const parsed = parseHash(text);
    assert.equal(parsed.ok ? 'accepted' : parsed.error, expected);
  });
}

async function check(text: string): Promise<void> {
  const parsed = parseHash(text);
  if (!parsed.ok) throw new Error(parsed.error);
  assert.equal(await verifyHash(parsed.value, 'secret'), true, text);
  for (const wrong of ['Secret', 'secre', 'secrets', '']) {
    assert.equal(await verifyHash(parsed.value, wrong), false, `${text} ${wrong}`);
  }
}
