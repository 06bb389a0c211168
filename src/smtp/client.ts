/**
 * One SMTP or LMTP session as a client: nodemailer's SMTPConnection, made to measure for relaying.
 *
 * Takes over a connected socket. Unlike its base it sends command lines that the caller has
 * quoted and checked, keeps the reply to every recipient, knows the stage it fails in, has a time
 * limit for each stage, and reports a failure as a value: no method rejects, no event is emitted.
 *
 * @see RFC 5321, RFC 2033 (LMTP), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH)
 */
import type { Socket } from 'node:net';
import type { ConnectionOptions, PeerCertificate } from 'node:tls';
import { TLSSocket } from 'node:tls';
import { writeBody } from './body.ts';
import { OpenConnection, type SendStream } from './connection.ts';
import type { Deadlines } from './deadline.ts';
import { type ReplyReader, readReplies } from './reply-reader.ts';
import {
  type Failure,
  isPositive,
  type RemoteReply,
  remoteReply,
  type Transaction,
  type TransactionResult,
} from './transaction.ts';

/** Milliseconds by stage; Infinity: no limit. */
export type StageLimits = {
  readonly helo: number;
  readonly starttls: number;
  readonly mail: number;
  readonly rcpt: number;
  readonly dataInit: number;
  readonly dataTransfer: number;
  readonly dataDone: number;
};

export type ClientSettings = {
  readonly host: string;
  readonly port: number;
  readonly helo: string;
  readonly lmtp: boolean;
  readonly sendEhlo: boolean;
  /** `none`: never; `may`: when offered; `must`: or fail; `wrapper`: from the first byte. */
  readonly tls: 'none' | 'may' | 'must' | 'wrapper';
  readonly tlsOptions: ConnectionOptions;
  /** Hold the certificate against `tlsOptions.checkServerIdentity` even when its chain is unknown. */
  readonly checkIdentity: boolean;
  readonly discardKeywords: ReadonlySet<string>;
  readonly limits: StageLimits;
  readonly deadlines: Deadlines;
};

const QUIT = Buffer.from('QUIT\r\n');
const NEVER = 2 ** 31 - 1;

export class SmtpClient extends OpenConnection {
  /** Commands sent before QUIT: reuse statistics. */
  transactions = 0;
  openedMs = 0;
  deadlineMs = Number.POSITIVE_INFINITY;
  failure: Failure | undefined;
  readonly #settings: ClientSettings;
  readonly #reader: ReplyReader;
  #extensions: ReadonlyMap<string, string> = new Map();
  #stage = 'receiving the initial server greeting';
  #command = '';
  #limitMs = Number.POSITIVE_INFINITY;
  #onReady: ((failure: Failure | undefined) => void) | undefined;
  #work: Work | undefined;
  #isQuitSent = false;

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
    this.#settings = settings;
    this.#reader = readReplies(
      (reply) => this.#dispatch(reply),
      (reason) => this.#fail({ kind: 'protocol', stage: this.#stage, reason }),
    );
  }

  /** Greeting, EHLO (or HELO, LHLO) and STARTTLS. Once. */
  open(): Promise<Failure | undefined> {
    this.openedMs = this.#settings.deadlines.nowMs();
    this.#settings.deadlines.add(this);
    this.#enter('receiving the initial server greeting', this.#settings.limits.helo, '');
    return new Promise((resolve) => {
      this.#onReady = resolve;
      this.connect();
    });
  }

  /** Log in by PLAIN or LOGIN. */
  authenticate(user: string, pass: string, method: string): Promise<Failure | undefined> {
    this.#enter(`sending AUTH ${method}`, this.#settings.limits.helo, `AUTH ${method}`);
    return new Promise((resolve) => {
      this.#onReady = resolve;
      super.login({ user, pass, method }, (error) => {
        this.#answerReady(error ? this.#refused(replyOf(error)) : undefined);
      });
    });
  }

  /** One message. The session can be used again unless the result has a `failure`. */
  transact(transaction: Transaction): Promise<TransactionResult> {
    return new Promise((resolve) => {
      this.transactions += 1;
      this.#work = {
        transaction,
        rcpt: [],
        done: new Array(transaction.commands.rcpt.length).fill(undefined),
        accepted: [],
        sent: 0,
        finals: 0,
        finish: resolve,
      };
      if (this.failure || this._destroyed) return this.#finish(this.#lost());
      super.send({}, transaction, (error) => {
        if (!error) return;
        this.#fail(this.#lost());
        this.#finish(this.failure);
      });
    });
  }

  /** Say QUIT and close; nobody waits for the answer (smtp_skip_quit_response). */
  override close(): void {
    if (!this._closing && !this.failure && !this.#isQuitSent && !this.upgrading) {
      this.#isQuitSent = true;
      if (this._socket.writable) this._socket.write(QUIT);
    }
    this.#settings.deadlines.remove(this);
    super.close();
  }

  /** Free for another message. */
  get isIdle(): boolean {
    return !this._destroyed && !this._closing && !this.#isQuitSent && this.#work === undefined;
  }

  offers(keyword: string): boolean {
    return this.#extensions.has(keyword);
  }

  /** Value of SIZE=: 0 when there is no limit. */
  get sizeLimit(): number {
    return Number(this.#extensions.get('SIZE') ?? 0) || 0;
  }

  get mechanisms(): readonly string[] {
    return this._supportedAuth;
  }

  /** From Deadlines. */
  expire(): void {
    this.#fail(
      this.upgrading ? this.#tlsFault('timed out') : { kind: 'timeout', stage: this.#stage },
    );
  }

  // ---- what the base calls -------------------------------------------------------------------

  override _setupConnectionHandlers(): void {
    this._socket.on('error', this._onSocketError);
  }

  override _startPhase(): void {
    // Limits are kept by Deadlines, for every stage.
  }

  override _onConnect(): void {
    const socket = this._socket;
    this.stage = 'connected';
    if (!this.secure) {
      socket.removeAllListeners('error');
      socket.on('error', this._onSocketError);
      socket.on('data', this._onSocketData);
      socket.once('close', this._onSocketClose);
      socket.once('end', this._onSocketEnd);
    }
    this._responseActions.push(this._actionGreeting);
    this.#enter('receiving the initial server greeting', this.#settings.limits.helo, '');
    socket.resume();
  }

  override _onData(chunk: Buffer): void {
    if (this._destroyed) return;
    this.#extend();
    this.#reader.take(chunk);
  }

  override _onClose(): void {
    if (this._destroyed) return;
    this.#fail(this.upgrading ? this.#tlsFault('connection closed') : this.#lost());
  }

  override _onError(error: Error, _type: string, reply: unknown): void {
    if (this._destroyed) return;
    if (typeof reply === 'string' && reply !== '') {
      this.#fail(this.#refused(reply));
      return;
    }
    this.#fail(this.upgrading ? this.#tlsFault(error.message) : this.#lost(error.message));
  }

  override _sendCommand(command: string): void {
    if (!this._destroyed) this._socket.write(`${command}\r\n`, 'utf8');
  }

  override _actionGreeting(reply: string): void {
    if (!reply.startsWith('220')) {
      this.#fail(this.#refused(reply));
      return;
    }
    const { lmtp, sendEhlo } = this.#settings;
    this.#hello(lmtp ? 'LHLO' : sendEhlo ? 'EHLO' : 'HELO');
  }

  override _actionLHLO(reply: string): void {
    if (!reply.startsWith('2')) {
      this.#fail(this.#refused(reply));
      return;
    }
    this._actionEHLO(reply);
  }

  override _actionEHLO(reply: string): void {
    const { tls } = this.#settings;
    if (!reply.startsWith('2')) {
      if (reply.startsWith('421') || tls === 'must') {
        this.#fail(this.#refused(reply));
        return;
      }
      this.#hello('HELO');
      return;
    }
    this._parseEhloExtensions(reply);
    if (this.secure || tls === 'none') {
      this.#answerReady(undefined);
      return;
    }
    if (this.#extensions.has('STARTTLS')) {
      this.#enter('sending STARTTLS', this.#settings.limits.starttls, 'STARTTLS');
      this._responseActions.push(this._actionSTARTTLS);
      this._sendCommand('STARTTLS');
      return;
    }
    if (tls !== 'must') {
      this.#answerReady(undefined);
      return;
    }
    this.#fail({ kind: 'tls', stage: 'STARTTLS', reason: 'TLS is required, but was not offered' });
  }

  override _actionHELO(reply: string): void {
    if (!reply.startsWith('2')) {
      this.#fail(this.#refused(reply));
      return;
    }
    if (this.#settings.tls === 'must' && !this.secure) {
      const reason = 'TLS is required, but was not offered';
      this.#fail({ kind: 'tls', stage: 'STARTTLS', reason });
      return;
    }
    this.#answerReady(undefined);
  }

  override _actionSTARTTLS(reply: string): void {
    if (reply.startsWith('2')) {
      this._upgradeConnection((error) => {
        if (error) this.#fail(this.#tlsFault(error.message));
        else this.#hello(this.#settings.lmtp ? 'LHLO' : 'EHLO');
      });
      return;
    }
    if (this.#settings.tls === 'must') {
      const reason = `TLS is required, but host refused to start TLS: ${remoteReply(reply).text}`;
      this.#fail({ kind: 'tls', stage: 'STARTTLS', reason });
      return;
    }
    // RFC 3207 section 4: credentials stay out of a session that failed to encrypt.
    this._supportedAuth = [];
    this.allowsAuth = false;
    this.#answerReady(undefined);
  }

  /** Nothing heard before the handshake counts after it (RFC 3207 section 6). */
  override _upgradeConnection(callback: (error: Error | null) => void): void {
    this.#reader.forget();
    this.#extensions = new Map();
    this._supportedExtensions = [];
    this._supportedAuth = [];
    this._responseActions = [];
    super._upgradeConnection((error) => {
      const fault = error ?? this.#identityFault();
      callback(fault ?? null);
    });
  }

  override _parseEhloExtensions(reply: string): void {
    const extensions = new Map<string, string>();
    const lines = reply.split('\n');
    for (let i = 1; i < lines.length; i += 1) {
      const words = (lines[i] ?? '').slice(4).trim();
      const end = words.search(/[ =]/);
      const keyword = (end < 0 ? words : words.slice(0, end)).toUpperCase();
      if (this.#settings.discardKeywords.has(keyword)) continue;
      extensions.set(keyword, end < 0 ? '' : words.slice(end + 1).trim());
    }
    this.#extensions = extensions;
    this._supportedExtensions = [...extensions.keys()];
    this.allowsAuth = extensions.has('AUTH');
    this._supportedAuth = (extensions.get('AUTH') ?? '').toUpperCase().split(/[\s=]+/);
  }

  override _setEnvelope(): void {
    const work = this.#work;
    if (!work) return;
    const { mail, rcpt } = work.transaction.commands;
    this._responseActions.push(this._actionMAIL);
    this.#enter('sending MAIL FROM', this.#settings.limits.mail, 'MAIL FROM');
    if (!this.#extensions.has('PIPELINING')) {
      this._sendCommand(mail);
      return;
    }
    for (let i = 0; i < rcpt.length; i += 1) this._responseActions.push(this._actionRCPT);
    this._responseActions.push(this._actionDATA);
    work.sent = rcpt.length;
    this._socket.write(`${mail}\r\n${rcpt.join('\r\n')}\r\nDATA\r\n`, 'utf8');
  }

  override _actionMAIL(reply: string): void {
    const work = this.#work;
    if (!work) return;
    work.mail = remoteReply(reply);
    if (work.sent > 0) {
      this.#enter('sending RCPT TO', this.#settings.limits.rcpt, 'RCPT TO');
      return;
    }
    if (isPositive(work.mail)) this.#next(work);
    else this.#finish();
  }

  override _actionRCPT(reply: string): void {
    const work = this.#work;
    if (!work) return;
    const answer = remoteReply(reply);
    if (isPositive(answer)) work.accepted.push(work.rcpt.length);
    work.rcpt.push(answer);
    if (!this.#extensions.has('PIPELINING')) this.#next(work);
    else if (work.rcpt.length === work.sent) {
      this.#enter('sending DATA command', this.#settings.limits.dataInit, 'DATA');
    }
  }

  override _actionDATA(reply: string): void {
    const work = this.#work;
    if (!work) return;
    const isGoAhead = reply.startsWith('3');
    if (isGoAhead && (!isPositive(work.mail) || work.accepted.length === 0)) {
      // A server that takes DATA without a transaction: an empty message has nobody to go to.
      if (!isPositive(work.mail)) {
        this.#finish();
        this.close();
        return;
      }
      this._responseActions.push(() => this.#finish());
      this._sendCommand('.');
      return;
    }
    if (!isPositive(work.mail) || work.accepted.length === 0) {
      this.#finish();
      return;
    }
    work.data = remoteReply(reply);
    if (!isGoAhead) {
      this.#finish();
      return;
    }
    const stream = this._createSendStream();
    stream.write(work.transaction);
  }

  /** The base hands the message to a stream; ours writes it to the socket as it is. */
  override _createSendStream(): SendStream {
    const work = this.#work;
    if (this.#settings.lmtp) {
      const perRecipient = (reply: string): void => this._actionLMTPStream('', false, reply);
      for (const _ of work?.accepted ?? []) this._responseActions.push(perRecipient);
    } else this._responseActions.push(this._actionSMTPStream);
    return { write: () => this.#writeMessage(), end: () => undefined, outByteCount: 0 };
  }

  override _actionSMTPStream(reply: string): void {
    const work = this.#work;
    if (!work) return;
    const answer = remoteReply(reply);
    for (const index of work.accepted) work.done[index] = answer;
    this.#finish();
  }

  override _actionLMTPStream(_recipient: unknown, _isFinal: unknown, reply: string): void {
    const work = this.#work;
    if (!work) return;
    const index = work.accepted[work.finals];
    work.finals += 1;
    if (index !== undefined) work.done[index] = remoteReply(reply);
    if (work.finals === work.accepted.length) this.#finish();
  }

  // ---- inside --------------------------------------------------------------------------------

  #dispatch(reply: string): void {
    const action = this._responseActions.shift();
    if (action) action.call(this, reply);
    else if (!reply.startsWith('421') && !this.#isQuitSent) {
      this.#fail({ kind: 'protocol', stage: this.#stage, reason: 'reply to no command' });
      return;
    }
    if (reply.startsWith('421') && !this._destroyed) this.#fail(this.#refused(reply));
  }

  #hello(verb: 'EHLO' | 'LHLO' | 'HELO'): void {
    this.#enter('performing the EHLO handshake', this.#settings.limits.helo, verb);
    this._responseActions.push(
      verb === 'EHLO' ? this._actionEHLO : verb === 'LHLO' ? this._actionLHLO : this._actionHELO,
    );
    this._sendCommand(`${verb} ${this.name}`);
  }

  /** Without PIPELINING: the next command once its predecessor is answered. */
  #next(work: Work): void {
    const { rcpt } = work.transaction.commands;
    const command = rcpt[work.sent];
    if (command !== undefined) {
      work.sent += 1;
      this.#enter('sending RCPT TO', this.#settings.limits.rcpt, 'RCPT TO');
      this._responseActions.push(this._actionRCPT);
      this._sendCommand(command);
      return;
    }
    if (work.accepted.length === 0) {
      this.#finish();
      return;
    }
    this.#enter('sending DATA command', this.#settings.limits.dataInit, 'DATA');
    this._responseActions.push(this._actionDATA);
    this._sendCommand('DATA');
  }

  #writeMessage(): void {
    const work = this.#work;
    if (!work) return;
    const { body, hasDotLines, quit } = work.transaction;
    const { dataTransfer, dataDone } = this.#settings.limits;
    this.#enter('sending message body', dataTransfer, 'end of DATA');
    const isQuit = quit && this.#extensions.has('PIPELINING');
    if (isQuit) this.#isQuitSent = true;
    const atEnd = (): void =>
      this.#enter(
        'sending end of data -- message may be sent more than once',
        dataDone,
        'end of DATA',
      );
    const pending = writeBody(this._socket, body, hasDotLines, isQuit ? QUIT : undefined, () =>
      this.#extend(),
    );
    if (!pending) {
      atEnd();
      return;
    }
    void pending.then((fault) => {
      if (!fault) return atEnd();
      // No final dot was sent: the server discards what it has when the connection goes.
      work.bodyFault = fault.message;
      this.#fail(this.#lost());
    });
  }

  #enter(stage: string, limitMs: number, command: string): void {
    this.#stage = stage;
    this.#command = command;
    this.#limitMs = limitMs;
    this.#extend();
  }

  #extend(): void {
    this.deadlineMs = this.#settings.deadlines.nowMs() + this.#limitMs;
  }

  #answerReady(failure: Failure | undefined): void {
    const answer = this.#onReady;
    this.#onReady = undefined;
    if (failure) this.failure = failure;
    answer?.(failure);
  }

  #finish(failure?: Failure): void {
    const work = this.#work;
    if (!work) return;
    this.#work = undefined;
    this._pendingSend = false;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const { mail, rcpt, data, done, bodyFault } = work;
    work.finish({
      rcpt,
      done,
      ...(mail ? { mail } : {}),
      ...(data ? { data } : {}),
      ...(failure ? { failure } : {}),
      ...(bodyFault === undefined ? {} : { bodyFault }),
    });
  }

  #fail(failure: Failure): void {
    if (this.failure) return;
    this.failure = failure;
    if (failure.kind === 'refused' && this._socket.writable && !this.#isQuitSent) {
      this._socket.write(QUIT);
    }
    this.#settings.deadlines.remove(this);
    if (failure.kind === 'timeout' || failure.kind === 'protocol') this._socket.destroy();
    super.close();
    this.#answerReady(failure);
    this.#finish(failure);
  }

  #lost(reason?: string): Failure {
    return { kind: 'lost', stage: this.#stage, ...(reason === undefined ? {} : { reason }) };
  }

  #refused(reply: string): Failure {
    return {
      kind: 'refused',
      stage: this.#stage,
      command: this.#command,
      reply: remoteReply(reply),
    };
  }

  #tlsFault(reason: string): Failure {
    return { kind: 'tls', stage: 'STARTTLS', reason: `Cannot start TLS: ${reason}` };
  }

  /** Node skips the name check when the chain is not trusted: levels that need it ask here. */
  #identityFault(): Error | undefined {
    const { checkIdentity, tlsOptions, host } = this.#settings;
    const socket = this._socket;
    if (!checkIdentity || !(socket instanceof TLSSocket)) return undefined;
    const certificate: PeerCertificate = socket.getPeerCertificate();
    return tlsOptions.checkServerIdentity?.(host, certificate);
  }
}

type Work = {
  readonly transaction: Transaction;
  readonly rcpt: RemoteReply[];
  readonly done: (RemoteReply | undefined)[];
  /** Positions of accepted recipients. */
  readonly accepted: number[];
  sent: number;
  finals: number;
  mail?: RemoteReply;
  data?: RemoteReply;
  bodyFault?: string;
  readonly finish: (result: TransactionResult) => void;
};

function replyOf(error: Error): string {
  const reply: unknown = Reflect.get(error, 'response');
  return typeof reply === 'string' && reply !== '' ? reply : `454 ${error.message}`;
}
