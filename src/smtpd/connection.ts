/**
 * One SMTP session on the wire, in the order in which it lives: greeting, command lines in, replies
 * out, TLS, end.
 *
 * It is smtp-server's SMTPConnection with its parser, timers, greeting and handlers replaced; what
 * stays is the life of the socket (close, STARTTLS upgrade, implicit TLS). What the commands do is
 * in commands.ts, mail-commands.ts, data-commands.ts and auth.ts; who may come is in admission.ts,
 * how long and how often in patience.ts, why it
 * ends in goodbye.ts.
 *
 * Commands run strictly one after another. Replies are gathered and leave in one write when the
 * input at hand is used up. There is no timer per command: the server's one ticker calls `onTick`.
 *
 * @see smtpd(8), RFC 5321
 */
import { TLSSocket } from 'node:tls';
import { printable } from '../log/maillog.ts';
import { type EnhancedStatus, formatReply, type Reply, reply } from '../mail/reply.ts';
import type { Peer, Session } from '../mail/stages.ts';
import { type ClientName, UNKNOWN_NAME } from '../net/client-name.ts';
import { clientBlock } from '../net/limits.ts';
import type { MailFacts } from '../restrict/facts.ts';
import {
  clientRefusal,
  connectionRefusal,
  countEvent,
  STRANGER,
  type Standing,
  standingOf,
} from './admission.ts';
import { CommandLoop, type LineHandler } from './command-loop.ts';
import { endBareNewline, endLongLine, endTimeout, endUnsynchronized } from './goodbye.ts';
import { SMTPConnection } from './library.ts';
import type { SmtpdParts } from './parts.ts';
import { Patience } from './patience.ts';
import { ReplyQueue } from './reply-queue.ts';
import type { PosternServer } from './server.ts';
import { clientText, contextText, replyText, tlsText } from './session-log.ts';
import { PosternStream } from './stream.ts';
import { tlsSummaryOf } from './tls-summary.ts';
import type { Transaction } from './transaction.ts';

const CRLF = Buffer.from('\r\n');

export class PosternConnection extends SMTPConnection {
  readonly host: PosternServer;
  readonly parts: SmtpdParts;
  peer: Peer;
  isNameTemporary = false;
  groups: readonly string[] = [];
  session_: Session;
  transaction: Transaction | undefined;
  /** Set when the client itself is refused: every command gets this answer. */
  isDenied = false;
  standing: Standing = STRANGER;
  /** The client sent on behind the command under way, and was let: reject_unauth_pipelining. */
  hasPipelined = false;

  #isBusy = true;
  #isCounted = false;
  #isQuitting = false;
  readonly #patience: Patience;
  readonly #replies = new ReplyQueue(
    (text) => this.#sendBytes(text),
    () => this.#isBusy && this.#patience.hasErred,
  );
  readonly #commands: CommandLoop;

  constructor(
    server: PosternServer,
    socket: ConstructorParameters<typeof SMTPConnection>[1],
    options: ConstructorParameters<typeof SMTPConnection>[2],
  ) {
    super(server, socket, { ...options, id: options?.id ?? 'session' });
    this.host = server;
    this.parts = server.parts;
    this.#patience = new Patience(server.parts.config, server.tick);
    this.#commands = new CommandLoop(this, this.#patience);
    this.peer = {
      address: this.remoteAddress,
      port: this.remotePort,
      name: 'unknown',
      reverseName: 'unknown',
      localAddress: this.localAddress,
      localPort: this.localPort,
    };
    this.session_ = { peer: this.peer, helo: '', protocol: 'SMTP' };
  }

  get stream(): PosternStream | undefined {
    return this._parser instanceof PosternStream ? this._parser : undefined;
  }

  get client(): string {
    return clientText(this.peer, this.parts.config.smtpd_client_port_logging);
  }

  /** The block of addresses that anvil counts as this client. */
  get clientBlock(): string {
    const { smtpd_client_ipv4_prefix_length: v4, smtpd_client_ipv6_prefix_length: v6 } =
      this.parts.config;
    return clientBlock(this.peer.address, v4, v6);
  }

  changeSession(change: Partial<Session>): void {
    this.session_ = { ...this.session_, ...change };
  }

  facts(recipient?: string): MailFacts {
    return {
      session: this.session_,
      isNameTemporary: this.isNameTemporary,
      hasPipelined: this.hasPipelined,
      recipientCount: this.transaction?.recipients.length ?? 0,
      ...(this.transaction ? { sender: this.transaction.sender } : {}),
      ...(recipient === undefined ? {} : { recipient }),
    };
  }

  // --- Beginning ---------------------------------------------------------------------------

  override _createParser(): PosternStream {
    const stream = new PosternStream({ decodeStrings: true });
    stream.lineLimit = this._server.options.maxCommandLength ?? 2048;
    stream.oncommand = (line, next) => this._onCommand(line, next);
    stream.onIdle = () => this.flush();
    stream.onTooLong = () => endLongLine(this);
    stream.onBareNewline = () => this.#bareNewline();
    stream.onInputEnd = () => this.#inputEnded();
    stream.onInput = () => this.#noteInput();
    stream.on('error', () => this._socket.destroy());
    return stream;
  }

  override init(): void {
    this._setListeners(() => this.connectionReady());
  }

  override connectionReady(): void {
    const { names } = this.parts;
    const found = names.lookup(this.remoteAddress);
    if (found instanceof Promise) void found.then((name) => this.#welcome(name));
    else void this.#welcome(found);
  }

  async #welcome(name: ClientName = UNKNOWN_NAME): Promise<void> {
    this.peer = { ...this.peer, name: name.name, reverseName: name.reverseName };
    this.isNameTemporary = name.retry;
    this.changeSession({ peer: this.peer });
    if (this._closed || this._closing) return;
    this.parts.logger.info(`connect from ${this.client}`);
    this.#isCounted = true;
    this.standing = await standingOf(this);
    if (this._closed || this._closing) return;
    if (this._socket instanceof TLSSocket) this.#noteTls(this._socket);
    const refusal = (await connectionRefusal(this)) ?? (await clientRefusal(this));
    if (this._closed) return;
    this._ready = true;
    this.#isBusy = false;
    this.#startRequest();
    if (refusal) this.send_(refusal);
    else this._sendGreeting();
    this.flush();
  }

  override _sendGreeting(): void {
    this.write(this.host.greeting);
  }

  /** A command line ended in LF alone. */
  #bareNewline(): void {
    const { config } = this.parts;
    if (config.smtpd_forbid_bare_newline !== 'reject' || this.standing.maySendBareNewline) return;
    endBareNewline(this, this.#commands.last);
  }

  // --- Commands ----------------------------------------------------------------------------

  /** The next line is not a command but the answer to a challenge. */
  expectLine(handler: LineHandler, limit: number): void {
    this.#commands.expectLine(handler);
    if (this.stream) this.stream.lineLimit = limit;
  }

  override _onCommand(line: Buffer, next: () => void = () => undefined): void {
    if (this._closing || this._closed || this._upgrading) {
      next();
      return;
    }
    if (!this._ready) {
      this._ready = true;
      endUnsynchronized(this, 'CONNECT', Buffer.concat([line, CRLF]));
      next();
      return;
    }
    this.#isBusy = true;
    this.#patience.beginCommand();
    const result = this.#commands.take(line);
    if (!(result instanceof Promise)) {
      this.finish(next);
      return;
    }
    this.#replies.flushLater();
    void result.then(() => this.finish(next));
  }

  /** A command that was counted as done has failed after all. */
  noteFailure(name: string): void {
    this.#commands.counts.failed(name);
  }

  /** A body is complete: what follows is the server's work, ended by `finish`. */
  beginFinish(): void {
    this.#isBusy = true;
    this.#patience.beginCommand();
    this.#replies.flushLater();
  }

  /** The command has been answered: delay after many errors, wait for a slow reader, go on. */
  finish(next: () => void): void {
    const { delayMs } = this.#patience;
    if (delayMs > 0 && !this._closing) setTimeout(() => this.#resume(next), delayMs);
    else this.#resume(next);
  }

  #resume(next: () => void): void {
    this.#isBusy = false;
    this.#startRequest();
    if (this._closing || this._closed || !this._socket.writableNeedDrain) {
      next();
      return;
    }
    this._socket.once('drain', next);
  }

  /** The message was accepted: the client has earned new patience. */
  clearErrors(): void {
    this.#patience.forgive();
  }

  /** The one reset of a mail transaction. */
  dropTransaction(): void {
    const { transaction } = this;
    this.transaction = undefined;
    transaction?.bdat?.reception.abort();
    transaction?.draft?.abort();
  }

  // --- Replies -----------------------------------------------------------------------------

  send_(answer: Reply): void {
    this.#patience.noteReply(answer.code);
    const footer = this.parts.config.smtpd_reject_footer;
    const lines: Reply['lines'] =
      footer !== '' && answer.code >= 400 ? [...answer.lines, footer] : answer.lines;
    this.write(formatReply({ ...answer, lines }));
    if (answer.code === 421 || answer.code === 521) this.end();
  }

  /** A refusal that is not the client's fault and no error. */
  sendQuietly(answer: Reply): void {
    this.write(formatReply(answer));
  }

  /** Reply bytes made before. */
  write(text: string): void {
    this.#replies.add(text);
  }

  flush(): void {
    this.#replies.flush();
  }

  #sendBytes(text: string): void {
    if (this._upgrading || this._socket.destroyed || !this._socket.writable) return;
    this._socket.write(text, 'utf8');
  }

  /** The library's own replies (shutting down) take this way. */
  override send(code: number, data?: string | string[] | null): void {
    const text = Array.isArray(data) ? data.join(' ') : (data ?? '');
    const cls = code >= 500 ? 5 : code >= 400 ? 4 : 2;
    const status: EnhancedStatus = `${cls}.3.2`;
    this.send_(reply(code, status, `${this.parts.config.myhostname} ${text}`));
    this.flush();
  }

  /** Sender and recipient are those of the transaction, the latter where there is only one. */
  logRejection(
    where: string,
    answer: Reply,
    about?: { readonly sender?: string; readonly recipient?: string },
  ): void {
    this.logRefusal(where, replyText(answer), about);
  }

  logRefusal(
    where: string,
    text: string,
    about: { readonly sender?: string; readonly recipient?: string } = {},
  ): void {
    const id = this.transaction?.draft?.id ?? 'NOQUEUE';
    const [only, ...more] = this.transaction?.recipients ?? [];
    const recipient = about.recipient ?? (more.length === 0 ? only?.address : undefined);
    const sender = about.sender ?? this.transaction?.sender;
    const context = contextText(this.session_, {
      ...(sender === undefined ? {} : { sender }),
      ...(recipient === undefined ? {} : { recipient }),
    });
    this.parts.logger.info(`${id}: reject: ${where} from ${this.client}: ${text}; ${context}`);
  }

  context(recipient: string): string {
    const sender = this.transaction?.sender;
    return contextText(this.session_, { recipient, ...(sender === undefined ? {} : { sender }) });
  }

  // --- Replies that end the session ----------------------------------------------------------

  hangUp(code: 421 | 521 | 554, status: EnhancedStatus, text: string): void {
    this.send_(reply(code, status, `${this.parts.config.myhostname} ${text}`));
    this.end();
  }

  /** Say what there is to say and close. The log has no "lost connection" for it. */
  end(): void {
    this.#isQuitting = true;
    this.flush();
    this.close();
  }

  /** The server stops: a session that is waiting for its client ends now. */
  dismiss(): void {
    const isIdle =
      !this.#isBusy && !this.transaction && !this._upgrading && !this.#commands.awaitsAnswer;
    if (!isIdle || this._closing || this._closed) return;
    this.hangUp(421, '4.3.2', 'Service shutting down');
  }

  // --- TLS ---------------------------------------------------------------------------------

  override upgrade(callback: () => void, secureCallback?: () => void): void {
    this.flush();
    this.dropTransaction();
    this.#startRequest();
    super.upgrade(callback, () => {
      if (this._socket instanceof TLSSocket) this.#noteTls(this._socket);
      this.#isBusy = false;
      this.#startRequest();
      secureCallback?.();
    });
  }

  /** The session begins anew: nothing said in the clear is kept. */
  #noteTls(socket: TLSSocket): void {
    const tls = tlsSummaryOf(socket);
    this.groups = [];
    this.session_ = { peer: this.peer, helo: '', protocol: 'SMTP', tls };
    if (this.parts.config.smtpd_tls_loglevel >= 1)
      this.parts.logger.info(tlsText(this.client, tls));
  }

  // --- Time --------------------------------------------------------------------------------

  /** Timers of the library are off; the server's ticker does their work. */
  override _armTimeout(): void {
    // Nothing: see onTick.
  }

  /** Once a second, from the server. `now` counts seconds. */
  onTick(now: number): void {
    if (this._upgrading) {
      if (this.#patience.isHandshakeOverdue(now)) this._socket.destroy();
      return;
    }
    if (this._closing || this._closed || this.#isBusy) return;
    if (!this.#patience.isOverdue(now, this._socket.bytesRead)) return;
    endTimeout(this, this.#where());
  }

  #noteInput(): void {
    this.#patience.noteInput(this.host.tick);
  }

  #startRequest(): void {
    this.#patience.startRequest(this.host.tick, this._socket.bytesRead);
  }

  // --- End ---------------------------------------------------------------------------------

  #where(): string {
    const { stream } = this;
    if (!stream?.isReceivingBody) return this.#commands.last;
    return `${this.#commands.last} (${stream.receivedBytes} bytes)`;
  }

  /** The client has closed its side and all it sent has been answered. */
  #inputEnded(): void {
    this.flush();
    this.close();
  }

  override _onError(error: Error): void {
    if (this._upgrading) {
      this.parts.logger.info(`SSL_accept error from ${this.client}: ${printable(error.message)}`);
    }
    this._socket.destroy();
  }

  override _onClose(): void {
    const isFirst = !this._closed;
    const where = this.#where();
    super._onClose();
    if (!isFirst || !this.#isCounted) return;
    const id = this.transaction?.draft ? `${this.transaction.draft.id}: ` : '';
    if (!this.#isQuitting) {
      this.parts.logger.info(`${id}lost connection after ${where} from ${this.client}`);
    }
    this.dropTransaction();
    if (this.parts.config.smtpd_client_connection_count_limit > 0)
      void countEvent(this, 'disconnect');
    this.parts.logger.info(`disconnect from ${this.client}${this.#commands.counts.summary()}`);
  }
}
