/**
 * The first half of a session: greeting, EHLO (HELO, LHLO), STARTTLS and EHLO again, AUTH.
 *
 * @see RFC 5321 section 3.1, RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 2033 section 4.1 (LHLO)
 */
import { TLSSocket } from 'node:tls';
import { dsn } from '../mail/dsn.ts';
import type { EnhancedStatus } from '../mail/reply.ts';
import { handshakeSummary } from '../tls/summary.ts';
import { statusOf } from './outcome.ts';
import { Session } from './session.ts';
import { type Failure, remoteReply } from './transaction.ts';

export class Handshake extends Session {
  openedMs = 0;
  #onReady: ((failure: Failure | undefined) => void) | undefined;

  /** Greeting, EHLO (or HELO, LHLO) and STARTTLS. Once. */
  open(): Promise<Failure | undefined> {
    this.openedMs = this.settings.deadlines.nowMs();
    this.settings.deadlines.add(this);
    this.enter('receiving the initial server greeting', this.settings.limits.helo, '');
    return new Promise((resolve) => {
      this.#onReady = resolve;
      this.connect();
    });
  }

  // ---- greeting --------------------------------------------------------------------------------

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
    this.enter('receiving the initial server greeting', this.settings.limits.helo, '');
    socket.resume();
  }

  override _actionGreeting(reply: string): void {
    const { lmtp, hello, isGreetingSoft, loop, relay, logger } = this.settings;
    if (!reply.startsWith('2')) {
      this.fail({ ...this.refused(reply), isSoft: isGreetingSoft });
      return;
    }
    const words = reply.slice(4).split(/\s+/);
    if (loop && words[0]?.toLowerCase() === loop.myhostname.toLowerCase()) {
      logger.warning(`host ${relay} greeted me with my own hostname ${loop.myhostname}`);
    }
    const isEsmtp = words.slice(1).some((word) => word.toUpperCase() === 'ESMTP');
    if (lmtp) this.#hello('LHLO');
    else this.#hello(hello === 'always' || (hello === 'esmtp' && isEsmtp) ? 'EHLO' : 'HELO');
  }

  // ---- EHLO ------------------------------------------------------------------------------------

  #hello(verb: 'EHLO' | 'LHLO' | 'HELO'): void {
    this.enter(`performing the ${verb} handshake`, this.settings.limits.helo, '');
    this._responseActions.push(
      verb === 'EHLO' ? this._actionEHLO : verb === 'LHLO' ? this._actionLHLO : this._actionHELO,
    );
    this._sendCommand(`${verb} ${this.name}`);
  }

  override _actionLHLO(reply: string): void {
    if (reply.startsWith('2')) this._actionEHLO(reply);
    else this.fail(this.refused(reply));
  }

  override _actionEHLO(reply: string): void {
    if (reply.startsWith('421')) {
      this.fail(this.refused(reply));
      return;
    }
    if (!reply.startsWith('2')) {
      this.#hello('HELO');
      return;
    }
    this._parseEhloExtensions(reply);
    if (this.#isLoop(reply)) return;
    const { tls, host, limits, notesStarttlsOffer, logger } = this.settings;
    const isOffered = this.extensions.has('STARTTLS');
    if (!this.secure && isOffered && tls !== 'none') {
      this.enter('receiving the STARTTLS response', limits.starttls, 'STARTTLS');
      this._responseActions.push(this._actionSTARTTLS);
      this._sendCommand('STARTTLS');
      return;
    }
    if (!this.secure && isOffered && notesStarttlsOffer) {
      logger.info(`Host offered STARTTLS: [${host}]`);
    }
    this.#greeted();
  }

  override _actionHELO(reply: string): void {
    if (reply.startsWith('2')) this.#greeted();
    else this.fail(this.refused(reply));
  }

  /** The last word on encryption: nothing goes on in the clear where it must not. */
  #greeted(): void {
    const { tls, where } = this.settings;
    if (this.secure || tls === 'none' || tls === 'may') {
      this.#answerReady(undefined);
      return;
    }
    this.#failTls('4.7.4', `TLS is required, but was not offered by host ${where}`);
  }

  #isLoop(reply: string): boolean {
    const { loop, relay, logger } = this.settings;
    const [name = ''] = (reply.split('\n')[0] ?? '').slice(4).split(/[\s=]/);
    if (!loop || name.toLowerCase() !== loop.myhostname.toLowerCase()) return false;
    logger.warning(`host ${relay} replied to HELO/EHLO with my own hostname ${loop.myhostname}`);
    const status = loop.isBestHost ? '5.4.6' : '4.4.6';
    const reason = `mail for ${loop.nexthop} loops back to myself`;
    this.fail({ kind: 'diagnosed', stage: 'EHLO', dsn: dsn(status, reason) });
    return true;
  }

  override _parseEhloExtensions(reply: string): void {
    const extensions = new Map<string, string>();
    const lines = reply.split('\n');
    for (let i = 1; i < lines.length; i += 1) {
      const words = (lines[i] ?? '').slice(4).trim();
      const end = words.search(/[ =]/);
      const keyword = (end < 0 ? words : words.slice(0, end)).toUpperCase();
      if (this.settings.discardKeywords.has(keyword)) continue;
      extensions.set(keyword, end < 0 ? '' : words.slice(end + 1).trim());
    }
    this.extensions = extensions;
    this._supportedExtensions = [...extensions.keys()];
    this.allowsAuth = extensions.has('AUTH');
    this._supportedAuth = (extensions.get('AUTH') ?? '').toUpperCase().split(/[\s=]+/);
  }

  /** Value of SIZE=: 0 when there is no limit. */
  get sizeLimit(): number {
    return Number(this.extensions.get('SIZE') ?? 0) || 0;
  }

  // ---- STARTTLS --------------------------------------------------------------------------------

  override _actionSTARTTLS(reply: string): void {
    const { tls, lmtp, where } = this.settings;
    if (reply.startsWith('2')) {
      this._upgradeConnection((error) => {
        if (error) this.fail(this.tlsFault(error.message));
        else if (!this.failure) this.#hello(lmtp ? 'LHLO' : 'EHLO');
      });
      return;
    }
    if (tls === 'must') {
      const said = remoteReply(reply);
      const text = `TLS is required, but host ${where} refused to start TLS: ${said.text}`;
      this.#failTls(statusOf(said, false), text);
      return;
    }
    // RFC 3207 section 4: credentials stay out of a session that failed to encrypt.
    this._supportedAuth = [];
    this.allowsAuth = false;
    this.#greeted();
  }

  /** Nothing heard before the handshake counts after it (RFC 3207 section 6). */
  override _upgradeConnection(callback: (error: Error | null) => void): void {
    this.enter('STARTTLS', this.settings.limits.starttls, 'STARTTLS');
    this.reader.forget();
    this.extensions = new Map();
    this._supportedExtensions = [];
    this._supportedAuth = [];
    this._responseActions = [];
    super._upgradeConnection((error) => {
      if (!error && this._socket instanceof TLSSocket) this.#checkCertificate(this._socket);
      callback(error);
    });
  }

  /** Log what the handshake came to. The level may ask for more than that. */
  #checkCertificate(socket: TLSSocket): void {
    const { judge, relay, tlsLogLevel, logger } = this.settings;
    const { status, isEnough, chainFault } = judge(socket);
    if (!isEnough && chainFault !== undefined) {
      logger.info(`certificate verification failed for ${relay}: ${chainText(chainFault, socket)}`);
    }
    if (tlsLogLevel > 0) {
      const summary = handshakeSummary(socket);
      logger.info(`${status} TLS connection established to ${relay}: ${summary}`);
    }
    if (!isEnough) this.#failTls('4.7.5', 'Server certificate not verified');
  }

  #failTls(status: EnhancedStatus, reason: string): void {
    this.fail({ kind: 'diagnosed', stage: 'STARTTLS', dsn: dsn(status, reason) });
  }

  // ---- AUTH ------------------------------------------------------------------------------------

  get mechanisms(): readonly string[] {
    return this._supportedAuth;
  }

  /** Log in by PLAIN or LOGIN. */
  authenticate(user: string, pass: string, method: string): Promise<Failure | undefined> {
    this.enter('performing the EHLO handshake', this.settings.limits.helo, `AUTH ${method}`);
    return new Promise((resolve) => {
      this.#onReady = resolve;
      super.login({ user, pass, method }, (error) => {
        if (error) this.fail(this.refused(replyOf(error)));
        else this.#answerReady(undefined);
      });
    });
  }

  #answerReady(failure: Failure | undefined): void {
    const answer = this.#onReady;
    this.#onReady = undefined;
    answer?.(failure);
  }

  protected override ended(failure: Failure): void {
    this.#answerReady(failure);
  }
}

function replyOf(error: Error): string {
  const reply: unknown = Reflect.get(error, 'response');
  return typeof reply === 'string' && reply !== '' ? reply : `454 ${error.message}`;
}

/** OpenSSL's code in the words of Postfix's log. */
function chainText(code: string, socket: TLSSocket): string {
  switch (code) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return 'self-signed certificate';
    case 'CERT_HAS_EXPIRED':
      return 'certificate has expired';
    case 'CERT_NOT_YET_VALID':
      return 'certificate not yet valid';
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return `untrusted issuer ${issuerOf(socket)}`;
    default:
      return code;
  }
}

/** `/O=Example/CN=Authority` */
function issuerOf(socket: TLSSocket): string {
  const issuer = socket.getPeerX509Certificate()?.issuer ?? '';
  const name = issuer.split('\n').map((part) => `/${part}`);
  return name.join('').replaceAll(/[^\x20-\x7e]/g, '?');
}
