/**
 * One SMTP session on the wire: greeting, command lines in, replies out, limits, log lines, end.
 *
 * It is smtp-server's SMTPConnection with its parser, timers, greeting and handlers replaced; what
 * stays is the life of the socket (close, STARTTLS upgrade, implicit TLS). What the commands do is
 * in commands.ts, mail-commands.ts, data-commands.ts and auth.ts.
 *
 * Commands run strictly one after another. Replies are gathered and leave in one write when the
 * input at hand is used up. There is no timer per command: the server's one ticker calls `onTick`.
 *
 * @see smtpd(8), RFC 5321
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { TLSSocket } from 'node:tls';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
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
import { CommandCounts } from './command-counts.ts';
import { COMMANDS, type Command } from './commands.ts';
import type { SmtpdParts } from './parts.ts';
import type { PosternServer } from './server.ts';
import { PosternStream } from './stream.ts';
import type { Transaction } from './transaction.ts';

type LineHandler = (line: string) => void | Promise<void>;

const PIPELINED = reply(554, '5.5.0', 'Error: SMTP protocol synchronization');
const GOODBYE = formatReply(reply(221, '2.7.0', 'Error: I can break rules, too. Goodbye.'));

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
  hasPipelined = false;

  #out = '';
  #isFlushPlanned = false;
  #isBusy = true;
  #isCounted = false;
  #isQuitting = false;
  #lineHandler: LineHandler | undefined;
  #lastCommand = 'CONNECT';
  #errors = 0;
  #errorsBefore = 0;
  #junk = 0;
  #sinceTick: number;
  #bytesBefore = 0;
  readonly #counts = new CommandCounts();

  constructor(
    server: PosternServer,
    socket: ConstructorParameters<typeof SMTPConnection>[1],
    options: ConstructorParameters<typeof SMTPConnection>[2],
  ) {
    super(server, socket, { ...options, id: options?.id ?? 'session' });
    this.host = server;
    this.parts = server.parts;
    this.#sinceTick = server.tick;
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
    const { name, address, port } = this.peer;
    const shown = this.parts.config.smtpd_client_port_logging ? `:${port}` : '';
    return `${name}[${address}]${shown}`;
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

  // --- Beginning ---------------------------------------------------------------------------

  override _createParser(): PosternStream {
    const stream = new PosternStream({ decodeStrings: true });
    stream.lineLimit = this._server.options.maxCommandLength ?? 2048;
    stream.oncommand = (line, next) => this._onCommand(line, next);
    stream.onIdle = () => this.flush();
    stream.onTooLong = () => this.#lineTooLong();
    stream.onBareNewline = () => this.#bareNewline();
    stream.onInputEnd = () => this.#inputEnded();
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

  // --- Commands ----------------------------------------------------------------------------

  /** The next line is not a command but the answer to a challenge. */
  expectLine(handler: LineHandler, limit: number): void {
    this.#lineHandler = handler;
    if (this.stream) this.stream.lineLimit = limit;
  }

  override _onCommand(line: Buffer, next: () => void = () => undefined): void {
    if (this._closing || this._closed || this._upgrading) {
      next();
      return;
    }
    if (!this._ready) {
      this.#syncError('CONNECT', line);
      next();
      return;
    }
    this.#isBusy = true;
    this.#errorsBefore = this.#errors;
    const result = this.#dispatch(line);
    if (!(result instanceof Promise)) {
      this.finish(next);
      return;
    }
    this.#planFlush();
    void result.then(() => this.finish(next));
  }

  #dispatch(line: Buffer): void | Promise<void> {
    const handler = this.#lineHandler;
    if (handler) {
      this.#lineHandler = undefined;
      if (this.stream) this.stream.lineLimit = this.parts.config.line_length_limit;
      return handler(line.toString('latin1'));
    }
    const { config } = this.parts;
    if (this.#errors >= config.smtpd_hard_error_limit) {
      this.parts.logger.info(`too many errors after ${this.#lastCommand} from ${this.client}`);
      this.hangUp(421, '4.7.0', 'Error: too many errors');
      return undefined;
    }
    if (!isAscii(line) && !isUtf8(line)) {
      this.send_(reply(500, '5.5.2', 'Error: bad UTF-8 syntax'));
      return undefined;
    }
    const text = line.toString('utf8').trimEnd();
    const space = text.search(/[ \t]/);
    const verb = (space < 0 ? text : text.slice(0, space)).toUpperCase();
    const command = COMMANDS.get(verb);
    if (!command) return this.#unknown(verb, text);
    return this.#run(verb, command, space < 0 ? '' : text.slice(space + 1).trim(), line);
  }

  #run(verb: string, command: Command, rest: string, line: Buffer): void | Promise<void> {
    this.#lastCommand = verb;
    const { config } = this.parts;
    const name = verb.toLowerCase();
    this.#counts.tried(name);
    const errors = this.#errors;
    if (command.endsGroup || this.session_.protocol === 'SMTP') {
      const isViolation = this.stream?.hasMoreInput === true;
      if (isViolation && (config.smtpd_forbid_unauth_pipelining || verb === 'STARTTLS')) {
        this.#syncError(verb, line);
        return undefined;
      }
      if (isViolation) this.hasPipelined = true;
    }
    if (command.isJunk) {
      this.#junk += 1;
      if (this.#junk > config.smtpd_junk_command_limit) this.#errors += 1;
    }
    if (this.isDenied && verb !== 'QUIT') {
      this.send_(reply(503, '5.7.0', `Error: access denied for ${this.client}`));
      return undefined;
    }
    if (this.parts.tlsLevel === 'encrypt' && !this.secure && !command.isPreTls) {
      this.send_(reply(530, '5.7.0', 'Must issue a STARTTLS command first'));
      return undefined;
    }
    const count = (): void => {
      if (this.#errors === errors) this.#counts.done(name);
    };
    const result = command.run(this, rest);
    if (result instanceof Promise) return result.then(count);
    count();
    return undefined;
  }

  #unknown(verb: string, text: string): void {
    this.#counts.tried('unknown');
    if (text !== '' && (this.host.forbidden.has(verb) || !/^[A-Z]/.test(verb))) {
      const { logger } = this.parts;
      logger.warning(`non-SMTP command from ${this.client}: ${printable(text).slice(0, 100)}`);
      this.write(GOODBYE);
      this.end();
      return;
    }
    this.#lastCommand = 'UNKNOWN';
    const what = text === '' ? 'bad syntax' : 'command not recognized';
    this.send_(reply(500, '5.5.2', `Error: ${what}`));
  }

  /** A command that was counted as done has failed after all. */
  noteFailure(name: string): void {
    this.#counts.failed(name);
  }

  /** A body is complete: what follows is the server's work, ended by `finish`. */
  beginFinish(): void {
    this.#isBusy = true;
    this.#errorsBefore = this.#errors;
    this.#planFlush();
  }

  /** The command has been answered: delay after many errors, wait for a slow reader, go on. */
  finish(next: () => void): void {
    const { config } = this.parts;
    const isError = this.#errors > this.#errorsBefore;
    if (isError && this.#errors > config.smtpd_soft_error_limit && !this._closing) {
      setTimeout(() => this.#resume(next), config.smtpd_error_sleep_time * 1000);
      return;
    }
    this.#resume(next);
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
    this.#errors = 0;
    this.#junk = 0;
  }

  // --- Replies -----------------------------------------------------------------------------

  send_(answer: Reply): void {
    if (answer.code >= 400) this.#errors += 1;
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

  /** The server stops: a session that is waiting for its client ends now. */
  dismiss(): void {
    const isIdle = !this.#isBusy && !this.transaction && !this._upgrading && !this.#lineHandler;
    if (!isIdle || this._closing || this._closed) return;
    this.hangUp(421, '4.3.2', 'Service shutting down');
  }

  /** Reply bytes made before. */
  write(text: string): void {
    this.#out += text;
  }

  flush(): void {
    if (this.#out === '') return;
    const out = this.#out;
    this.#out = '';
    if (this._upgrading || this._socket.destroyed || !this._socket.writable) return;
    this._socket.write(out, 'utf8');
  }

  #planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    setImmediate(() => {
      this.#isFlushPlanned = false;
      // A delayed reply stays until its command is done.
      if (!this.#isBusy || this.#errors === this.#errorsBefore) this.flush();
    });
  }

  /** The library's own replies (shutting down) take this way. */
  override send(code: number, data?: string | string[] | null): void {
    const text = Array.isArray(data) ? data.join(' ') : (data ?? '');
    const cls = code >= 500 ? 5 : code >= 400 ? 4 : 2;
    const status: EnhancedStatus = `${cls}.3.2`;
    this.send_(reply(code, status, `${this.parts.config.myhostname} ${text}`));
    this.flush();
  }

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

  #syncError(after: string, data: Buffer): void {
    const input = printable(data.toString('latin1')).slice(0, 100);
    this.parts.logger.info(
      `improper command pipelining after ${after} from ${this.client}: ${input}`,
    );
    this._ready = true;
    this.send_(PIPELINED);
    this.end();
  }

  #lineTooLong(): void {
    this.parts.logger.warning(`command line too long from ${this.client}`);
    this.hangUp(421, '4.7.0', 'Error: command line too long');
  }

  #bareNewline(): void {
    const { config } = this.parts;
    if (config.smtpd_forbid_bare_newline !== 'reject' || this.standing.maySendBareNewline) return;
    this.refuseBareNewline(this.#lastCommand);
  }

  refuseBareNewline(after: string): void {
    const { config, logger } = this.parts;
    logger.info(`disconnect: bare <LF> received after ${after} from ${this.client}`);
    const code = config.smtpd_forbid_bare_newline_reject_code;
    const text = `${config.myhostname} Error: bare <LF> received`;
    this.send_(reply(code, code >= 500 ? '5.5.2' : '4.5.2', text));
    this.end();
  }

  logRejection(where: string, answer: Reply, extra: { readonly recipient?: string } = {}): void {
    const id = this.transaction?.draft?.id ?? 'NOQUEUE';
    const text = `${answer.code} ${answer.status ?? ''} ${answer.lines.join(' ')}`;
    this.parts.logger.info(
      `${id}: reject: ${where} from ${this.client}: ${printable(text)}; ${this.context(extra.recipient)}`,
    );
  }

  /** `from=<> to=<> proto=ESMTP helo=<x>`, with what is known. */
  context(recipient?: string): string {
    const { helo, protocol, login } = this.session_;
    const words: string[] = [];
    if (this.transaction) words.push(`from=<${this.transaction.sender}>`);
    if (recipient !== undefined) words.push(`to=<${recipient}>`);
    words.push(`proto=${protocol}`);
    if (helo !== '') words.push(`helo=<${helo}>`);
    if (login) words.push(`sasl_username=<${login.username}>`);
    return printable(words.join(' '));
  }

  facts(recipient?: string): MailFacts {
    return {
      session: this.session_,
      isNameTemporary: this.isNameTemporary,
      recipientCount: this.transaction?.recipients.length ?? 0,
      ...(this.transaction ? { sender: this.transaction.sender } : {}),
      ...(recipient === undefined ? {} : { recipient }),
    };
  }

  /** The one reset of a mail transaction. */
  dropTransaction(): void {
    const { transaction } = this;
    this.transaction = undefined;
    transaction?.bdat?.reception.abort();
    transaction?.draft?.abort();
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

  #noteTls(socket: TLSSocket): void {
    const cipher = socket.getCipher();
    const protocol = socket.getProtocol() ?? 'TLS';
    const bits = cipherBits(cipher.standardName ?? cipher.name);
    const serverName = serverNameOf(socket);
    this.groups = [];
    this.session_ = {
      peer: this.peer,
      helo: '',
      protocol: 'SMTP',
      tls: {
        protocol,
        cipher: cipher.name,
        cipherBits: bits,
        ...(serverName === undefined ? {} : { serverName }),
      },
    };
    if (this.parts.config.smtpd_tls_loglevel < 1) return;
    this.parts.logger.info(
      `Anonymous TLS connection established from ${this.client}: ${protocol} with cipher ${cipher.name} (${bits}/${bits} bits)`,
    );
  }

  // --- End ---------------------------------------------------------------------------------

  /** Timers of the library are off; the server's ticker does their work. */
  override _armTimeout(): void {
    // Nothing: see onTick.
  }

  /** Once a second, from the server. `now` counts seconds. */
  onTick(now: number): void {
    const { config } = this.parts;
    const waited = now - this.#sinceTick;
    if (this._upgrading) {
      if (waited > config.smtpd_starttls_timeout) this._socket.destroy();
      return;
    }
    if (this._closing || this._closed || this.#isBusy) return;
    const earned = config.smtpd_per_request_deadline
      ? (this._socket.bytesRead - this.#bytesBefore) / config.smtpd_min_data_rate
      : 0;
    if (waited <= config.smtpd_timeout + earned) return;
    this.parts.logger.info(`timeout after ${this.#where()} from ${this.client}`);
    this.hangUp(421, '4.4.2', 'Error: timeout exceeded');
  }

  /** A part of a body came in: without a deadline for the whole, the clock starts again. */
  noteProgress(): void {
    if (!this.parts.config.smtpd_per_request_deadline) this.#startRequest();
  }

  #startRequest(): void {
    this.#sinceTick = this.host.tick;
    this.#bytesBefore = this._socket.bytesRead;
  }

  #where(): string {
    const { stream } = this;
    if (!stream?.isReceivingBody) return this.#lastCommand;
    return `${this.#lastCommand} (${stream.receivedBytes} bytes)`;
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
    this.parts.logger.info(`disconnect from ${this.client}${this.#counts.summary()}`);
  }
}

const cipherBits = (name: string): number =>
  /128/.test(name) ? 128 : /256|CHACHA20/i.test(name) ? 256 : 128;

function serverNameOf(socket: TLSSocket): string | undefined {
  const name: unknown = Reflect.get(socket, 'servername');
  return typeof name === 'string' && name !== '' ? name.toLowerCase() : undefined;
}
