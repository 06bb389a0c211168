/** Security levels of the client against Debian's Postfix as the server, and how it logs them. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makeConfig } from '../../src/conf/config.ts';
import { openResolver } from '../../src/dns/resolver.ts';
import { deliver } from '../../src/smtp/deliver.ts';
import { tlsPolicies } from '../../src/smtp/tls-policy.ts';
import { freePorts, makeDirectory, removeDirectory, startPostfix } from '../support/instance.ts';
import { makeCertificates } from '../support/postfix-pair.ts';
import { needs, needsRoot } from '../support/programs.ts';
import { makeParts, request, settings, tlsOf, told } from './parts.ts';

const directory = makeDirectory('tls-levels-');
const certs = await makeCertificates(directory, ['localhost', 'mx.example.net']);
const [port = 0, wrapped = 0, asking = 0] = await freePorts(3);
const leaf = new X509Certificate(readFileSync(certs.certFile));
const skip = { ...needs('postfix'), ...needsRoot() };

let server: Awaited<ReturnType<typeof startPostfix>> | undefined;
before(async () => {
  if (skip.skip !== undefined) return;
  server = await startPostfix({
    main: {
      mydestination: 'oracle.example.net',
      smtpd_tls_security_level: 'may',
      smtpd_tls_cert_file: certs.certFile,
      smtpd_tls_key_file: certs.keyFile,
      smtpd_tls_CAfile: certs.caFile,
      smtpd_tls_loglevel: '1',
      smtpd_relay_restrictions: 'permit_mynetworks, reject',
      mynetworks: '127.0.0.0/8',
      default_transport: 'discard',
    },
    master: `127.0.0.1:${port} inet n - n - - smtpd
127.0.0.1:${wrapped} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.1:${asking} inet n - n - - smtpd -o smtpd_tls_req_ccert=yes -o smtpd_tls_security_level=encrypt
`,
  });
});
after(async () => {
  await server?.stop();
  removeDirectory(directory);
});

const LOCALHOST = { addressesOf: () => ['127.0.0.1'], nameOf: () => undefined };
const CA = { smtp_tls_CAfile: certs.caFile };
const SESSION = `localhost[127.0.0.1]:P: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange`;
const UNVERIFIED = 'deferred 4.7.5 Server certificate not verified';

type Case = readonly [
  what: string,
  main: Readonly<Record<string, string>>,
  outcome: string,
  log: readonly string[],
];
const CASES: readonly Case[] = [
  ['none', {}, 'sent', []],
  ['may', { smtp_tls_security_level: 'may' }, 'sent', ['Untrusted']],
  ['encrypt, authority known', { smtp_tls_security_level: 'encrypt', ...CA }, 'sent', ['Trusted']],
  ['verify', { smtp_tls_security_level: 'verify', ...CA }, 'sent', ['Verified']],
  [
    'verify, authority unknown',
    { smtp_tls_security_level: 'verify' },
    UNVERIFIED,
    ['untrusted issuer', 'Untrusted'],
  ],
  [
    'verify, another name',
    { smtp_tls_security_level: 'verify', smtp_tls_verify_cert_match: 'other.example', ...CA },
    UNVERIFIED,
    ['Trusted'],
  ],
  [
    'secure, name as told',
    { smtp_tls_security_level: 'secure', smtp_tls_secure_cert_match: 'mx.example.net', ...CA },
    'sent',
    ['Verified'],
  ],
  [
    'secure, a subdomain of what is told',
    { smtp_tls_security_level: 'secure', smtp_tls_secure_cert_match: '.example.net', ...CA },
    'sent',
    ['Verified'],
  ],
  [
    'fingerprint of the certificate',
    {
      smtp_tls_security_level: 'fingerprint',
      smtp_tls_fingerprint_cert_match: leaf.fingerprint256,
    },
    'sent',
    ['Verified'],
  ],
  [
    'fingerprint of another one',
    {
      smtp_tls_security_level: 'fingerprint',
      smtp_tls_fingerprint_cert_match: leaf.fingerprint256.replace(/^../, '00'),
      ...CA,
    },
    UNVERIFIED,
    ['Trusted'],
  ],
];

/** The first words of each log line about TLS; the rest must be as Postfix writes it. */
const statuses = (log: readonly string[]): string[] =>
  log.map((line) => {
    if (line.startsWith('certificate verification failed for localhost[127.0.0.1]:')) {
      return /untrusted issuer/.exec(line)?.[0] ?? line;
    }
    const [status = '', rest = ''] = line.split(' TLS connection established to ');
    assert.ok(rest.replace(`:${port}:`, ':P:').startsWith(SESSION), line);
    return status;
  });

for (const [what, main, outcome, log] of CASES) {
  test(`${what}: ${outcome}`, skip, async () => {
    const parts = makeParts({
      tlsFor: tlsOf(main),
      settings: settings({ native: true, useDns: false }),
      resolver: openResolver({ servers: [], hosts: LOCALHOST }),
    });
    const report = await deliver(request(`[localhost]:${port}`, ['a@far.example']), parts);
    const [first = ''] = told(report);
    assert.equal(first.startsWith('sent') ? 'sent' : first, outcome);
    assert.deepEqual(statuses(parts.log), log);
  });
}

test('TLS from the first byte needs a level that requires it', skip, async () => {
  const wrapperMode = settings({ wrapperMode: true });
  const may = makeParts({
    settings: wrapperMode,
    tlsFor: tlsOf({ smtp_tls_security_level: 'may' }),
  });
  const refused = await deliver(request(`[127.0.0.1]:${wrapped}`, ['a@far.example']), may);
  assert.deepEqual(told(refused), ['deferred 4.3.0 server unavailable or unable to receive mail']);
  const tlsFor = tlsOf({ smtp_tls_security_level: 'encrypt' });
  const sent = await deliver(
    request(`[127.0.0.1]:${wrapped}`, ['a@far.example']),
    makeParts({ settings: wrapperMode, tlsFor }),
  );
  assert.match(told(sent)[0] ?? '', /^sent/);
});

test('a certificate of the client is shown where one is asked for', skip, async () => {
  const own = {
    smtp_tls_cert_file: certs.certFile,
    smtp_tls_key_file: certs.keyFile,
    smtp_tls_security_level: 'encrypt',
  };
  const to = request(`[127.0.0.1]:${asking}`, ['a@far.example']);
  const withOne = await deliver(to, makeParts({ tlsFor: tlsOf(own) }));
  // The test certificate is one of a server: that it came is what counts.
  assert.match(told(withOne)[0] ?? '', /Client certificate not trusted$/);
  const chain = { smtp_tls_chain_files: join(directory, 'both.pem') };
  assert.throws(() => tlsOf(chain), /both\.pem/);
  const without = await deliver(
    to,
    makeParts({ tlsFor: tlsOf({ smtp_tls_security_level: 'encrypt' }) }),
  );
  assert.match(told(without)[0] ?? '', /No client certificate presented$/);
});

const POLICIES: readonly [table: Readonly<Record<string, string>>, key: string, outcome: RegExp][] =
  [
    [{ [`[localhost]:${port}`]: 'secure match=mx.example.net' }, `[localhost]:${port}`, /^sent/],
    [
      { [`[localhost]:${port}`]: 'secure match=other.example:third.example' },
      `[localhost]:${port}`,
      /^deferred 4\.7\.5 Server certificate not verified/,
    ],
    [{ [`[localhost]:${port}`]: 'none' }, `[localhost]:${port}`, /^sent/],
    [{ localhost: 'secure match=other.example' }, `[localhost]:${port}`, /^sent/],
    [
      { [`[localhost]:${port}`]: 'encrypt protocols=TLSv1.9' },
      `[localhost]:${port}`,
      /^deferred 4\.7\.0 client TLS configuration problem/,
    ],
    [
      { [`[localhost]:${port}`]: 'dane' },
      `[localhost]:${port}`,
      /^deferred 4\.7\.0 client TLS configuration problem/,
    ],
  ];
for (const [table, key, outcome] of POLICIES) {
  test(`policy ${JSON.stringify(table)}: ${outcome.source}`, skip, async () => {
    const config = makeConfig(
      new Map([
        ['smtp_tls_security_level', 'may'],
        ['smtp_tls_CAfile', certs.caFile],
      ]),
    );
    assert.ok(config.ok);
    const maps = {
      find: async (name: string) => {
        const value = table[name];
        return value === undefined
          ? ({ kind: 'absent' } as const)
          : ({ kind: 'found', value } as const);
      },
    };
    const tlsFor = tlsPolicies(config.value, maps as never, () => undefined);
    assert.ok(tlsFor.ok);
    const parts = makeParts({
      tlsFor: tlsFor.value,
      settings: settings({ native: true, useDns: false }),
      resolver: openResolver({ servers: [], hosts: LOCALHOST }),
    });
    const report = await deliver(request(key, ['a@far.example']), parts);
    assert.match(told(report)[0] ?? '', outcome);
  });
}

test('a policy of a domain holds for its subdomains, the nearest one wins', async () => {
  const config = makeConfig(new Map());
  assert.ok(config.ok);
  const asked: string[] = [];
  const find = async (name: string) => {
    asked.push(name);
    return name === '.example.com'
      ? ({ kind: 'found', value: 'encrypt' } as const)
      : ({ kind: 'absent' } as const);
  };
  const tlsFor = tlsPolicies(config.value, { find } as never, () => undefined);
  assert.ok(tlsFor.ok);
  const tls = await tlsFor.value('a.b.Example.com');
  assert.equal(tls.ok && tls.value.level, 'encrypt');
  assert.deepEqual(asked, ['a.b.example.com', '.b.example.com', '.example.com']);
});
