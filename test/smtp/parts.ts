/** Deliveries for tests: settings, a request, everything injected. */

import { openResolver } from '../../src/dns/resolver.ts';
import type { DeliveryReport, DeliveryRequest } from '../../src/mail/stages.ts';
import { openSessionCache } from '../../src/smtp/cache.ts';
import { openDeadlines } from '../../src/smtp/deadline.ts';
import type { DeliveryParts } from '../../src/smtp/deliver.ts';
import type { DeliverySettings } from '../../src/smtp/settings.ts';
import { ok } from '../../src/util/result.ts';

export const BODY = 'From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n';
const LIMIT_MS = 5_000;

export const settings = (more: Partial<DeliverySettings> = {}): DeliverySettings => ({
  lmtp: false,
  defaultPort: 25,
  helo: 'mail.example.org',
  sendEhlo: true,
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
  },
  discardKeywords: new Set(),
  softBounce: false,
  tls: { level: 'none', optionsFor: () => ({}) },
  wrapperMode: false,
  plaintextAfterMs: 300_000,
  cacheOnDemand: true,
  saslEnabled: false,
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
