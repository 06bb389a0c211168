/** An SMTP server in this process, over a real socket, with everything behind it faked. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { openMechanisms } from '../../src/auth/mechanisms.ts';
import { openCleanup } from '../../src/cleanup/cleanup.ts';
import type { Config } from '../../src/conf/params.ts';
import type { Logger } from '../../src/log/maillog.ts';
import { mapsOf, NO_MAPS } from '../../src/lookup/maps.ts';
import { NO, YES } from '../../src/lookup/match-list.ts';
import { ABSENT, type Lookup } from '../../src/lookup/table.ts';
import type { QueueEntry } from '../../src/mail/stages.ts';
import { UNKNOWN_NAME } from '../../src/net/client-name.ts';
import type { AddressResolver } from '../../src/restrict/facts.ts';
import { compileRestrictions } from '../../src/restrict/restrict.ts';
import type { Classified } from '../../src/rewrite/resolve.ts';
import type { SmtpdParts } from '../../src/smtpd/parts.ts';
import { PosternServer } from '../../src/smtpd/server.ts';
import type { ServerTlsOptions } from '../../src/tls/server.ts';
import { testConfig } from '../support/config.ts';
import { type MemoryStore, memoryStore } from '../support/memory-store.ts';

export type Harness = {
  readonly server: PosternServer;
  readonly store: MemoryStore;
  readonly log: string[];
  readonly arrived: QueueEntry[];
  readonly port: number;
  readonly config: Config;
  /** Stored bodies by arrival. */
  readonly body: (at?: number) => Promise<string>;
  readonly client: () => Promise<Client>;
  readonly close: () => Promise<void>;
};

export type HarnessOptions = {
  readonly main?: Readonly<Record<string, string>>;
  readonly parts?: Partial<SmtpdParts>;
  /** `memory:name` tables for access checks. */
  readonly tables?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly tls?: ServerTlsOptions;
  readonly isTrusted?: boolean;
};

export const DOMAINS: Readonly<
  Record<string, Extract<Classified, { kind: 'resolved' }>['addressClass']>
> = {
  'example.org': 'local',
  'mail.example.org': 'local',
  'boxes.example': 'virtual-mailbox',
  'relay.example': 'relay',
};

/** A small resolver: users `user`, `root`, `postmaster` exist; `down@` cannot be told. */
export const fakeResolver: AddressResolver = {
  classify(address) {
    const at = address.lastIndexOf('@');
    const local = at < 0 ? address : address.slice(0, at);
    const domain =
      at < 0
        ? 'example.org'
        : address
            .slice(at + 1)
            .toLowerCase()
            .replace(/\.$/, '');
    return {
      kind: 'resolved',
      address: `${local}@${domain}`,
      domain,
      addressClass: DOMAINS[domain] ?? 'default',
      isRouted: /[@%!]/.test(local),
    };
  },
  recipientExists({ address }) {
    const local = address.slice(0, address.lastIndexOf('@')).toLowerCase();
    if (local === 'down') return { kind: 'retry', reason: 'table is down' };
    if (['user', 'root', 'postmaster', 'other', 'a b', '"'].includes(local)) return { kind: 'yes' };
    return { kind: 'no', table: 'local recipient table' };
  },
};

export async function startSmtpd(options: HarnessOptions = {}): Promise<Harness> {
  const config = testConfig({
    smtpd_relay_restrictions: 'permit_sasl_authenticated, reject_unauth_destination',
    ...options.main,
  });
  const log: string[] = [];
  const logger: Logger = {
    info: (text) => void log.push(text),
    warning: (text) => void log.push(`warning: ${text}`),
    error: (text) => void log.push(`error: ${text}`),
    fatal: (text) => void log.push(`fatal: ${text}`),
    panic: (text) => void log.push(`panic: ${text}`),
    flush: () => undefined,
  };
  const store = memoryStore();
  const arrived: QueueEntry[] = [];
  const match = options.isTrusted ? YES : NO;
  const restrictions = compileRestrictions({
    config,
    resolver: fakeResolver,
    myNetworks: () => match,
    ownAddresses: new Set(['192.0.2.1']),
    openMaps: (parameter, spec) => {
      const table = options.tables?.[spec.replace(/^memory:/, '')];
      if (!table) return `no table ${spec}`;
      const lookup = (key: string): Lookup => {
        const value = table[key];
        if (value === '!down') return { kind: 'retry', reason: 'table is down' };
        return value === undefined ? ABSENT : { kind: 'found', value };
      };
      return mapsOf(parameter, [{ type: 'memory', name: spec, keys: 'fixed', lookup }]);
    },
    domainExists: (domain) => (domain.endsWith('.invalid') ? 'no' : 'yes'),
    addressesOf: () => [],
  });
  if (!restrictions.ok) throw new Error(restrictions.error);
  const no = () => NO;
  const mechanisms = openMechanisms(config, () => true);
  if (!mechanisms.ok) throw new Error(mechanisms.error);
  const parts: SmtpdParts = {
    config,
    service: 'smtp',
    logger,
    cleanupLogger: logger,
    store,
    cleanup: openCleanup({
      config,
      virtualAliases: NO_MAPS,
      addressContext: { recipient_delimiter: '', isLocal: no },
    }),
    restrictions: restrictions.value,
    arrived: (entry) => void arrived.push(entry),
    onBroken: () => undefined,
    mechanisms: mechanisms.value,
    names: { lookup: () => UNKNOWN_NAME },
    tlsLevel: 'none',
    clients: { isUnlimited: no, maySendBareNewline: no, mayXclient: no, isSaslException: no },
    rewritesHeaders: () => false,
    nowMs: Date.now,
    ...options.parts,
  };
  const server = new PosternServer(parts, options.tls);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const clients: Client[] = [];
  return {
    server,
    store,
    log,
    arrived,
    port,
    config,
    body: async (at = arrived.length - 1) => {
      const entry = arrived[at];
      if (!entry) throw new Error(`no message ${at}`);
      const body = await store.openBody(entry);
      return body.ok ? (body.value.bytes ?? Buffer.alloc(0)).toString('latin1') : '';
    },
    client: async () => {
      const client = new Client(connectTcp({ port, host: '127.0.0.1', noDelay: true }));
      clients.push(client);
      return client;
    },
    close: async () => {
      for (const client of clients) client.socket.destroy();
      for (const connection of server.connections) connection._socket.destroy();
      await server.drain();
    },
  };
}

/** A client that reads whole replies. */
export class Client {
  socket: Socket | TLSSocket;
  #text = '';
  #waiting: (() => void) | undefined;
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.#attach();
  }

  #attach(): void {
    const wake = (): void => {
      this.#waiting?.();
      this.#waiting = undefined;
    };
    this.socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('utf8');
      wake();
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
      wake();
    });
    this.socket.on('end', () => {
      this.isClosed = true;
      wake();
    });
  }

  /** The next reply, lines joined by LF; `''` when the connection is closed. */
  async reply(): Promise<string> {
    for (;;) {
      const found = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(this.#text);
      if (found) {
        this.#text = this.#text.slice(found[0].length);
        return found[0].trimEnd().replaceAll('\r\n', '\n');
      }
      if (this.isClosed) return '';
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  write(text: string): void {
    this.socket.write(text, 'latin1');
  }

  async say(line: string): Promise<string> {
    this.socket.write(`${line}\r\n`, 'utf8');
    return this.reply();
  }

  async startTls(): Promise<void> {
    this.socket.removeAllListeners();
    const socket = connectTls({ socket: this.socket, rejectUnauthorized: false });
    this.socket = socket;
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    this.#attach();
  }
}

/** One session with a server of its own. */
export async function playSession(transcript: string, options?: HarnessOptions): Promise<void> {
  const smtpd = await startSmtpd(options);
  try {
    await play(await smtpd.client(), transcript);
  } finally {
    await smtpd.close();
  }
}

/** Play a transcript: `C:` lines are sent, `S:` lines (regular expressions or texts) are expected. */
export async function play(client: Client, transcript: string): Promise<void> {
  for (const line of transcript
    .trim()
    .split('\n')
    .map((each) => each.trim())) {
    if (line.startsWith('C: ')) client.socket.write(`${line.slice(3)}\r\n`, 'utf8');
    else if (line === 'C:') client.write('\r\n');
    else if (line === 'S:') {
      const got = await client.reply();
      if (got !== '') throw new Error(`expected the end\n     got ${got}`);
    } else if (line.startsWith('S: ')) {
      const got = await client.reply();
      const want = line.slice(3);
      const flat = got.replaceAll('\n', '|');
      const fits = want.endsWith('*') ? flat.startsWith(want.slice(0, -1)) : flat === want;
      if (!fits) throw new Error(`expected ${want}\n     got ${flat}`);
    } else if (line !== '') throw new Error(`bad transcript line: ${line}`);
  }
}
