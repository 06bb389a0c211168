/**
 * What every step of an SMTP session shares: the socket, one reply to one command, the stage with
 * its time limit, and the end.
 *
 * nodemailer's SMTPConnection, made to measure for relaying: it takes over a connected socket, and
 * a failure is a value: no method rejects, no event is emitted. `handshake.ts` adds the greeting to
 * the login, `client.ts` the mail transactions.
 *
 * @see RFC 5321 section 4.5.3.2 (limits)
 */
import type { Socket } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { Logger } from '../log/maillog.ts';
import { dsn } from '../mail/dsn.ts';
import type { Trust } from '../tls/client.ts';
import { OpenConnection } from './connection.ts';
import type { Deadlines } from './deadline.ts';
import { type ReplyReader, readReplies } from './reply-reader.ts';
import { type Failure, remoteReply } from './transaction.ts';

/** Milliseconds by stage; Infinity: no limit. */
export type StageLimits = {
  readonly helo: number;
  readonly starttls: number;
  readonly mail: number;
  readonly rcpt: number;
  readonly dataInit: number;
  readonly dataTransfer: number;
  readonly dataDone: number;
  readonly reset: number;
  readonly quit: number;
};

export type ClientSettings = {
  readonly host: string;
  readonly port: number;
  /** `host[address]`, for messages. */
  readonly where: string;
  /** `host[address]:port`, for the log. */
  readonly relay: string;
  readonly helo: string;
  readonly lmtp: boolean;
  /** `esmtp`: EHLO when the greeting has that word. */
  readonly hello: 'always' | 'never' | 'esmtp';
  /** A 5xx greeting counts as temporary (smtp_skip_5xx_greeting). */
  readonly isGreetingSoft: boolean;
  /** Our own name, where meeting it means that the mail loops: with `nexthop` for the message. */
  readonly loop?: {
    readonly myhostname: string;
    readonly nexthop: string;
    readonly isBestHost: boolean;
  };
  /** `none`: never; `may`: when offered; `must`: or fail; `wrapper`: from the first byte. */
  readonly tls: 'none' | 'may' | 'must' | 'wrapper';
  readonly tlsOptions: ConnectionOptions;
  /** What the certificate proves, once the handshake is over. */
  readonly judge: (socket: TLSSocket) => Trust;
  readonly tlsLogLevel: number;
  readonly notesStarttlsOffer: boolean;
  readonly discardKeywords: ReadonlySet<string>;
  readonly limits: StageLimits;
  /** Wait for the reply to QUIT (smtp_skip_quit_response = no). */
  readonly waitsForQuit: boolean;
  readonly deadlines: Deadlines;
  readonly logger: Pick<Logger, 'info' | 'warning'>;
};

export const QUIT = Buffer.from('QUIT\r\n');
const NEVER = 2 ** 31 - 1;

export class Session extends OpenConnection {
  deadlineMs = Number.POSITIVE_INFINITY;
  failure: Failure | undefined;
  protected readonly settings: ClientSettings;
  protected readonly reader: ReplyReader;
  protected extensions: ReadonlyMap<string, string> = new Map();
  protected isQuitSent = false;
  #isQuitAnswered = false;
  /** Only the reply to QUIT is waited for. */
  #isLeaving = false;
  #stage = 'receiving the initial server greeting';
  #command = '';
  #limitMs = Number.POSITIVE_INFINITY;

  constructor(socket: Socket, settings: ClientSettings) {
    super({
      connection: socket,
      host: settings.host,
      port: settings.port,
      name: settings.helo,
      lmtp: settings.lmtp,
      secure: settings.tls === 'wrapper',
      ignoreTLS: settings.tls === 'none',
      requireTLS: settings.tls === 'must',
      opportunisticTLS: settings.tls === 'may',
      tls: settings.tlsOptions,
      connectionTimeout: NEVER,
      greetingTimeout: NEVER,
      socketCloseTimeout: 2_000,
    });
    this.settings = settings;
    this.reader = readReplies(
      (reply) => this.#dispatch(reply),
      (reason) => this.fail({ kind: 'protocol', stage: this.#stage, reason }),
    );
  }

  offers(keyword: string): boolean {
    return this.extensions.has(keyword);
  }

  /** From Deadlines. */
  expire(): void {
    if (this.upgrading) this.fail(this.tlsFault('Connection timed out'));
    else this.fail({ kind: 'timeout', stage: this.#stage });
  }

  // ---- bytes in, commands out ------------------------------------------------------------------

  override _setupConnectionHandlers(): void {
    this._socket.on('error', this._onSocketError);
  }

  override _startPhase(): void {
    // Limits are kept by Deadlines, for every stage.
  }

  override _onData(chunk: Buffer): void {
    if (this._destroyed) return;
    this.extend();
    this.reader.take(chunk);
  }

  override _sendCommand(command: string): void {
    if (!this._destroyed) this._socket.write(`${command}\r\n`, 'utf8');
  }

  #dispatch(reply: string): void {
    const action = this._responseActions.shift();
    if (action) action.call(this, reply);
    else if (this.isQuitSent) {
      this.#isQuitAnswered = true;
      if (this.#isLeaving) this.#leave();
      return;
    } else if (!reply.startsWith('421')) {
      this.fail({ kind: 'protocol', stage: this.#stage, reason: 'reply to no command' });
      return;
    }
    if (reply.startsWith('421') && !this._destroyed) this.fail(this.refused(reply));
  }

  // ---- stages and their limits -----------------------------------------------------------------

  /** `stage` and `command` in Postfix's words, for what is said when it fails. */
  protected enter(stage: string, limitMs: number, command: string): void {
    this.#stage = stage;
    this.#command = command;
    this.#limitMs = limitMs;
    this.extend();
  }

  protected extend(): void {
    this.deadlineMs = this.settings.deadlines.nowMs() + this.#limitMs;
  }

  // ---- the end ---------------------------------------------------------------------------------

  override _onClose(): void {
    if (this._destroyed) return;
    this.fail(this.upgrading ? this.tlsFault('lost connection') : this.lost());
  }

  override _onError(error: Error, _type: string, reply: unknown): void {
    if (this._destroyed) return;
    if (typeof reply === 'string' && reply !== '') {
      this.fail(this.refused(reply));
      return;
    }
    this.fail(this.upgrading ? this.tlsFault(error.message) : this.lost(error.message));
  }

  /** Say QUIT and close. The answer is waited for where smtp_skip_quit_response = no. */
  override close(): void {
    if (!this._closing && !this.failure && !this.isQuitSent && !this.upgrading) {
      this.isQuitSent = true;
      if (this._socket.writable) this._socket.write(QUIT);
    }
    const isAnswerDue = this.isQuitSent && !this.#isQuitAnswered && !this._destroyed;
    if (this.settings.waitsForQuit && isAnswerDue && !this.failure) {
      this.#isLeaving = true;
      this.enter('sending QUIT', this.settings.limits.quit, 'QUIT');
      return;
    }
    this.#leave();
  }

  #leave(): void {
    this.settings.deadlines.remove(this);
    super.close();
  }

  /** The session is over. Whoever waits for something is told. */
  protected fail(failure: Failure): void {
    if (this.failure) return;
    if (this.#isLeaving) {
      this.#leave();
      return;
    }
    this.failure = failure;
    const isPolite = failure.kind === 'refused' || failure.kind === 'diagnosed';
    if (isPolite && !this.upgrading && this._socket.writable && !this.isQuitSent) {
      this._socket.write(QUIT);
    }
    this.settings.deadlines.remove(this);
    if (failure.kind === 'timeout' || failure.kind === 'protocol') this._socket.destroy();
    super.close();
    this.ended(failure);
  }

  /** Overridden by each step: answer who waits. */
  protected ended(_failure: Failure): void {}

  protected lost(reason?: string): Failure {
    return { kind: 'lost', stage: this.#stage, ...(reason === undefined ? {} : { reason }) };
  }

  protected refused(reply: string): Failure {
    return {
      kind: 'refused',
      stage: this.#stage,
      command: this.#command,
      reply: remoteReply(reply),
    };
  }

  /** The handshake failed: nothing can be said on this connection any more. */
  protected tlsFault(reason: string): Failure {
    this.settings.logger.info(`SSL_connect error to ${this.settings.relay}: ${printable(reason)}`);
    return {
      kind: 'handshake',
      stage: 'STARTTLS',
      dsn: dsn('4.7.5', 'Cannot start TLS: handshake failure'),
    };
  }
}

/** One line, as what OpenSSL says may be several. */
const printable = (text: string): string => text.replaceAll(/[^\x20-\x7e]+/g, ' ').trim();
