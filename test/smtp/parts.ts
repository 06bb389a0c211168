/** Deliveries for tests: settings, a request, everything injected. */
import assert from 'node:assert/strict';
import { makeConfig } from '../../src/conf/config.ts';
import { openResolver } from '../../src/dns/resolver.ts';
import type { DeliveryReport, DeliveryRequest } from '../../src/mail/stages.ts';
import { openSessionCache } from '../../src/smtp/cache.ts';
import { openDeadlines } from '../../src/smtp/deadline.ts';
import type { DeliveryParts } from '../../src/smtp/deliver.ts';
import type { DeliverySettings } from '../../src/smtp/settings.ts';
import { type TlsFor, tlsPolicies } from '../../src/smtp/tls-policy.ts';
import { ok } from '../../src/util/result.ts';

export const BODY = 'From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n';
const LIMIT_MS = 5_000;

export const settings = (more: Partial<DeliverySettings> = {}): DeliverySettings => ({
  lmtp: false,
  defaultPort: 25,
  myhostname: 'mail.example.org',
  relayhost: '',
  helo: 'mail.example.org',
  hello: 'always',
  isGreetingSoft: true,
  families: [4],
  bind4: '',
  bind6: '',
  addressLimit: 5,
  sessionLimit: 2,
  useDns: true,
  native: false,
  fallbackRelay: '',
  connectMs: LIMIT_MS,
  limits: {
    helo: LIMIT_MS,
    starttls: LIMIT_MS,
    mail: LIMIT_MS,
    rcpt: LIMIT_MS,
    dataInit: LIMIT_MS,
    dataTransfer: LIMIT_MS,
    dataDone: LIMIT_MS,
    reset: LIMIT_MS,
    quit: LIMIT_MS,
  },
  discardKeywords: new Set(),
  softBounce: false,
  lineLimit: 998,
  converts8bit: true,
  mimeLimits: {
    header_size_limit: 102_400,
    mime_nesting_limit: 100,
    mime_boundary_length_limit: 2_048,
  },
  waitsForQuit: false,
  tlsLogLevel: 1,
  notesStarttlsOffer: false,
  wrapperMode: false,
  plaintextAfterMs: 300_000,
  cacheOnDemand: true,
  cacheLimits: { idleMs: 2_000, reuseMs: 300_000, reuseCount: 0 },
  saslEnabled: false,
  isLoginSoft: true,
  mechanismsClear: [],
  mechanismsTls: ['PLAIN', 'LOGIN'],
  ...more,
});

export const recipient = (address: string, index: number) => ({
  index,
  address,
  original: address,
  orcpt: '',
  notify: [],
});

export const request = (
  nexthop: string,
  addresses: readonly string[] = ['b@example.com'],
  more: Partial<DeliveryRequest> = {},
  body: string = BODY,
): DeliveryRequest => ({
  id: '4cTest00001',
  transport: 'smtp',
  nexthop,
  sender: 'a@example.org',
  envid: '',
  ret: '',
  smtputf8: false,
  content: {
    wireBytes: Buffer.byteLength(body),
    sizeBytes: Buffer.byteLength(body.replaceAll('\r\n', '\n')),
    has8bit: false,
    hasDotLines: /^\./m.test(body),
  },
  origin: { client: { name: 'x', address: '192.0.2.1', port: 1 }, helo: 'x', protocol: 'ESMTP' },
  arrivedMs: 0,
  activeMs: 0,
  recipients: addresses.map(recipient),
  reuse: false,
  ...more,
});

/** The levels that main.cf lines ask for. */
export function tlsOf(main: Readonly<Record<string, string>>): TlsFor {
  const config = makeConfig(
    new Map([
      ['compatibility_level', '3.11'],
      ['smtp_tls_security_level', 'none'],
      ...Object.entries(main),
    ]),
  );
  assert.ok(config.ok);
  const tlsFor = tlsPolicies(config.value, undefined, () => undefined);
  assert.ok(tlsFor.ok, String(!tlsFor.ok && tlsFor.error));
  return tlsFor.value;
}

const NO_TLS = tlsOf({});

export type TestParts = DeliveryParts & { readonly log: string[] };

export function makeParts(more: Partial<DeliveryParts> = {}, body: string = BODY): TestParts {
  const log: string[] = [];
  const bytes = Buffer.from(body);
  return {
    settings: settings(),
    resolver: openResolver({ servers: [] }),
    deadlines: openDeadlines(20),
    cache: openSessionCache({ idleMs: 2_000, reuseMs: 300_000, reuseCount: 0 }),
    logger: { info: (text) => log.push(text), warning: (text) => log.push(text) },
    tlsFor: NO_TLS,
    openBody: async () =>
      ok({
        content: { wireBytes: bytes.length },
        bytes,
        chunks: (async function* () {
          yield bytes;
        })(),
      }),
    credentialsFor: async () => ok(undefined),
    isOwnAddress: () => false,
    random: () => 0.5,
    now: Date.now,
    ...more,
    log,
  };
}

/** `kind status reason`, one line a recipient in order of index. */
export const told = ({ outcomes, siteFailure }: DeliveryReport): string[] => [
  ...outcomes
    .toSorted((a, b) => a.index - b.index)
    .map(({ kind, dsn }) => `${kind} ${dsn.status} ${dsn.reason}`),
  ...(siteFailure ? ['site failure'] : []),
];
