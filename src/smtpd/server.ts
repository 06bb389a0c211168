/**
 * One service row's SMTP server: smtp-server's SMTPServer with our connections in it.
 *
 * It owns the listening sockets of the row, the one ticker that all timeouts hang on, the texts that
 * are the same for all sessions, and the TLS keys in use.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { printable } from '../log/maillog.ts';
import type { ServerTlsOptions } from '../tls/server.ts';
import { splitList } from '../util/text.ts';
import { announcedMechanisms } from './auth.ts';
import { PosternConnection } from './connection.ts';
import { type SMTPConnectionOptions, SMTPServer, TLS_SOCKET_OPTIONS } from './library.ts';
import type { SmtpdParts } from './parts.ts';

const TICK_MS = 1000;
const DRAIN_POLL_MS = 20;
let lastSession = 0;

// The library's list of options that reach its TLS sockets lacks ALPN: without it a browser that is
// tricked into talking to us would get through (ALPACA).
// SNICallback, set to nothing, takes the place of the library's, which costs a pause of each
// handshake to look up the one certificate that there is.
for (const name of ['ALPNCallback', 'SNICallback']) {
  if (!TLS_SOCKET_OPTIONS.includes(name)) TLS_SOCKET_OPTIONS.push(name);
}

export class PosternServer extends SMTPServer {
  readonly parts: SmtpdParts;
  /** Seconds since the server was made. */
  tick = 0;
  readonly greeting: string;
  readonly forbidden: ReadonlySet<string>;
  readonly discards: ReadonlySet<string>;
  #hasKeys: boolean;
  #ticker: NodeJS.Timeout | undefined;

  constructor(parts: SmtpdParts, tls?: ServerTlsOptions) {
    const { config } = parts;
    super({
      // With keys given nothing falls back to the package's public test certificate.
      ...(tls ?? {}),
      SNICallback: undefined,
      secure: config.smtpd_tls_wrappermode,
      name: config.myhostname,
      logger: false,
      authOptional: true,
      disableReverseLookup: true,
      disabledCommands: ['WIZ', 'SHELL', 'KILL'],
      maxCommandLength: config.line_length_limit,
      socketTimeout: config.smtpd_starttls_timeout * 1000,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
    });
    this.parts = parts;
    this.#hasKeys = tls !== undefined;
    this.greeting = `220 ${printable(config.smtpd_banner)}\r\n`;
    this.forbidden = new Set(splitList(config.smtpd_forbidden_commands.toUpperCase()));
    this.discards = new Set(splitList(config.smtpd_discard_ehlo_keywords.toUpperCase()));
  }

  get hasKeys(): boolean {
    return this.#hasKeys;
  }

  /** New keys hold for handshakes that begin after this. */
  useKeys(tls: ServerTlsOptions): void {
    this.updateSecureContext(tls);
    this.#hasKeys = true;
  }

  override connect(socket: Socket, socketOptions?: SMTPConnectionOptions | null): void {
    this.#startTicker();
    const connection = new PosternConnection(this, socket, socketOptions);
    this.connections.add(connection);
    connection.init();
  }

  /** No PROXY header here; and an id that costs no random bytes. */
  override _handleProxy(
    _socket: Socket,
    callback: (error: Error | null, options?: SMTPConnectionOptions & { id: string }) => void,
  ): void {
    lastSession += 1;
    callback(null, { id: String(lastSession) });
  }

  /** Errors of handshakes and of the listener; those of sessions are logged by the session. */
  override _onError(error: Error): void {
    const from = peerOf(error);
    this.parts.logger.info(`SSL_accept error from ${from}: ${printable(error.message)}`);
  }

  override onClose(): void {
    // The session has logged its end.
  }

  /** Listen on all addresses of the row; the fault of the first one that cannot be had. */
  async listenOn(
    addresses: readonly { readonly host: string; readonly port: number }[],
  ): Promise<string | undefined> {
    for (const [at, { host, port }] of addresses.entries()) {
      const server = at === 0 ? this.server : this.#sibling();
      const fault = await listen(server, host, port);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  /** A further socket whose connections go the way of the first one's. */
  #sibling(): Server {
    const options = { allowHalfOpen: true, noDelay: true, keepAlive: true };
    const sibling = createServer(options, (socket) => this.server.emit('connection', socket));
    this.#siblings.push(sibling);
    return sibling;
  }
  readonly #siblings: Server[] = [];

  /** A reply to EHLO, in Postfix's order of keywords. */
  ehloReply(connection: PosternConnection): string {
    const offersTls = this.parts.tlsLevel !== 'none' && this.hasKeys && !connection.secure;
    const mechanisms = announcedMechanisms(connection);
    const { mayXclient } = connection.standing;
    const key = `${offersTls} ${mechanisms} ${mayXclient}`;
    const known = this.#ehloReplies.get(key);
    if (known !== undefined) return known;
    const made = this.#makeEhloReply({ offersTls, mechanisms, mayXclient });
    this.#ehloReplies.set(key, made);
    return made;
  }
  /** There are only so many different ones. */
  readonly #ehloReplies = new Map<string, string>();

  #makeEhloReply(offer: {
    readonly offersTls: boolean;
    readonly mechanisms: string;
    readonly mayXclient: boolean;
  }): string {
    const { config } = this.parts;
    const limit = config.message_size_limit;
    const words = [
      'PIPELINING',
      limit > 0 ? `SIZE ${limit}` : 'SIZE',
      ...(config.disable_vrfy_command ? [] : ['VRFY']),
      ...(offer.offersTls ? ['STARTTLS'] : []),
      ...(offer.mechanisms !== '' ? [`AUTH ${offer.mechanisms}`] : []),
      ...(offer.mechanisms !== '' && config.broken_sasl_auth_clients
        ? [`AUTH=${offer.mechanisms}`]
        : []),
      ...(offer.mayXclient
        ? ['XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT']
        : []),
      'ENHANCEDSTATUSCODES',
      '8BITMIME',
      'DSN',
      ...(config.smtputf8_enable ? ['SMTPUTF8'] : []),
      'CHUNKING',
    ].filter((word) => !this.discards.has(word.split(/[ =]/)[0] ?? ''));
    const lines = [config.myhostname, ...words];
    return lines.map((line, at) => `250${at < lines.length - 1 ? '-' : ' '}${line}\r\n`).join('');
  }

  /**
   * Stop accepting. Sessions go on until their clients end them, as under Postfix's reload; resolves
   * when the last one is gone.
   */
  async drain(): Promise<void> {
    const servers = [this.server, ...this.#siblings].filter(({ listening }) => listening);
    for (const server of servers) server.close();
    while (this.connections.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    clearInterval(this.#ticker);
  }

  /** The server stops: sessions that are waiting for their clients get 421. */
  dismissIdle(): void {
    for (const connection of this.connections) {
      if (connection instanceof PosternConnection) connection.dismiss();
    }
  }

  #startTicker(): void {
    if (this.#ticker) return;
    this.#ticker = setInterval(() => {
      this.tick += 1;
      for (const connection of this.connections) {
        if (connection instanceof PosternConnection) connection.onTick(this.tick);
      }
    }, TICK_MS);
    this.#ticker.unref();
  }
}

/** IPv6 sockets take IPv6 clients only, so that `all` is two sockets that do not collide. */
function listen(server: Server, host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      resolve(`bind ${host} port ${port}: ${BIND_FAULTS[error.code ?? ''] ?? error.message}`);
    server.once('error', failed);
    server.listen({ host, port, ipv6Only: host.includes(':') }, () => {
      server.off('error', failed);
      resolve(undefined);
    });
  });
}

const BIND_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Address already in use: end the program that holds it, or change the row',
  EADDRNOTAVAIL: 'Cannot assign requested address: this machine has no such address',
  EACCES: 'Permission denied: ports below 1024 need root',
};

function peerOf(error: Error): string {
  const meta: unknown = Reflect.get(error, 'meta');
  const address: unknown =
    typeof meta === 'object' && meta ? Reflect.get(meta, 'remoteAddress') : '';
  return `unknown[${typeof address === 'string' && address !== '' ? address : 'unknown'}]`;
}
