/**
 * One service row's SMTP server: smtp-server's SMTPServer with our connections in it.
 *
 * It owns the listening sockets of the row, the one ticker that all timeouts hang on, the texts that
 * are the same for all sessions, and the TLS keys in use.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { type SMTPConnectionOptions, TLS_SOCKET_OPTIONS } from 'smtp-server/lib/smtp-connection.js';
import { printable } from '../log/maillog.ts';
import type { ServerTlsOptions } from '../tls/server.ts';
import { splitList } from '../util/text.ts';
import { announcesAuth } from './auth.ts';
import { PosternConnection } from './connection.ts';
import type { SmtpdParts } from './parts.ts';

const TICK_MS = 1000;
const DRAIN_POLL_MS = 20;
let lastSession = 0;

// The library's list of options that reach its TLS sockets lacks ALPN: without it a browser that is
// tricked into talking to us would get through (ALPACA).
if (!TLS_SOCKET_OPTIONS.includes('ALPNCallback')) TLS_SOCKET_OPTIONS.push('ALPNCallback');

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

  /** Listen on all addresses of the row; rejects when one cannot be had. */
  async listenOn(
    addresses: readonly { readonly host: string; readonly port: number }[],
  ): Promise<void> {
    for (const [at, { host, port }] of addresses.entries()) {
      const server = at === 0 ? this.server : this.#sibling();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port }, () => {
          server.off('error', reject);
          resolve();
        });
      });
    }
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
    const { config, tlsLevel } = this.parts;
    const limit = config.message_size_limit;
    const words = [
      'PIPELINING',
      limit > 0 ? `SIZE ${limit}` : 'SIZE',
      ...(config.disable_vrfy_command ? [] : ['VRFY']),
      ...(tlsLevel !== 'none' && this.hasKeys && !connection.secure ? ['STARTTLS'] : []),
      ...(announcesAuth(connection) ? ['AUTH PLAIN LOGIN'] : []),
      ...(connection.standing.mayXclient
        ? ['XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT']
        : []),
      'ENHANCEDSTATUSCODES',
      '8BITMIME',
      'DSN',
      ...(config.smtputf8_enable ? ['SMTPUTF8'] : []),
      'CHUNKING',
    ].filter((word) => !this.discards.has(word.split(' ')[0] ?? ''));
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

function peerOf(error: Error): string {
  const meta: unknown = Reflect.get(error, 'meta');
  const address: unknown =
    typeof meta === 'object' && meta ? Reflect.get(meta, 'remoteAddress') : '';
  return `unknown[${typeof address === 'string' && address !== '' ? address : 'unknown'}]`;
}
