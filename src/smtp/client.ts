/**
 * The second half of a session: mail transactions, MAIL FROM to the last reply, one after another.
 *
 * Sends command lines that the caller has quoted and checked, and keeps the reply to every
 * recipient. LMTP differs in one place: a reply for each recipient after the message.
 *
 * @see RFC 5321 section 3.3, RFC 2033 (LMTP), RFC 2920 (PIPELINING)
 */
import { type Dsn, dsn } from '../mail/dsn.ts';
import { writeBody } from './body.ts';
import type { SendStream } from './connection.ts';
import { Handshake } from './handshake.ts';
import { QUIT } from './session.ts';
import {
  type Failure,
  isPositive,
  type RemoteReply,
  remoteReply,
  type Transaction,
  type TransactionResult,
} from './transaction.ts';
import { ConversionFault } from './wire.ts';

export class SmtpClient extends Handshake {
  /** Messages sent or tried: reuse statistics. */
  transactions = 0;
  #work: Work | undefined;

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
        isBodyDue: false,
        isResetting: false,
        finish: resolve,
      };
      if (this.failure || this._destroyed) return this.#finish(this.lost());
      super.send({}, transaction, (error) => {
        if (!error) return;
        this.fail(this.lost());
        this.#finish(this.failure);
      });
    });
  }

  /** Free for another message. */
  get isIdle(): boolean {
    return (
      !this._destroyed &&
      !this._closing &&
      !this._socket.destroyed &&
      !this.isQuitSent &&
      this.#work === undefined
    );
  }

  // ---- envelope --------------------------------------------------------------------------------

  override _setEnvelope(): void {
    const work = this.#work;
    if (!work) return;
    const { mail, rcpt } = work.transaction.commands;
    this._responseActions.push(this._actionMAIL);
    this.enter('sending MAIL FROM', this.settings.limits.mail, 'MAIL FROM');
    if (!this.extensions.has('PIPELINING')) {
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
      this.enter('sending RCPT TO', this.settings.limits.rcpt, 'RCPT TO');
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
    if (!this.extensions.has('PIPELINING')) this.#next(work);
    else if (work.rcpt.length === work.sent) {
      this.enter('sending DATA command', this.settings.limits.dataInit, 'DATA');
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

  /** Without PIPELINING: the next command once its predecessor is answered. */
  #next(work: Work): void {
    const { rcpt } = work.transaction.commands;
    const command = rcpt[work.sent];
    if (command !== undefined) {
      work.sent += 1;
      this.enter('sending RCPT TO', this.settings.limits.rcpt, 'RCPT TO');
      this._responseActions.push(this._actionRCPT);
      this._sendCommand(command);
      return;
    }
    if (work.accepted.length === 0) {
      this.#finish();
      return;
    }
    this.enter('sending DATA command', this.settings.limits.dataInit, 'DATA');
    this._responseActions.push(this._actionDATA);
    this._sendCommand('DATA');
  }

  // ---- message ---------------------------------------------------------------------------------

  /** The base hands the message to a stream; ours writes it to the socket as it is. */
  override _createSendStream(): SendStream {
    const work = this.#work;
    if (this.settings.lmtp) {
      const perRecipient = (reply: string): void => this._actionLMTPStream('', false, reply);
      for (const _ of work?.accepted ?? []) this._responseActions.push(perRecipient);
    } else this._responseActions.push(this._actionSMTPStream);
    return { write: () => this.#writeMessage(), end: () => undefined, outByteCount: 0 };
  }

  #writeMessage(): void {
    const work = this.#work;
    if (!work) return;
    const { body, hasDotLines, quit } = work.transaction;
    const { dataTransfer, dataDone } = this.settings.limits;
    this.enter('sending message body', dataTransfer, 'end of DATA');
    const isQuit = quit && this.extensions.has('PIPELINING');
    if (isQuit) this.isQuitSent = true;
    work.isBodyDue = true;
    const atEnd = (): void => {
      work.isBodyDue = false;
      this.enter(
        'sending end of data -- message may be sent more than once',
        dataDone,
        'end of DATA',
      );
    };
    const pending = writeBody(this._socket, body, hasDotLines, isQuit ? QUIT : undefined, () =>
      this.extend(),
    );
    if (!pending) {
      atEnd();
      return;
    }
    void pending.then((fault) => {
      if (!fault) return atEnd();
      // No final dot was sent: the server discards what it has when the connection goes.
      work.bodyFault = bodyDsn(fault);
      this.fail(this.lost());
    });
  }

  // ---- final replies ---------------------------------------------------------------------------

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

  // ---- the end of a transaction ----------------------------------------------------------------

  #finish(failure?: Failure): void {
    const work = this.#work;
    if (!work) return;
    if (!failure && this.#mustReset(work)) return this.#reset(work);
    this.#work = undefined;
    this._pendingSend = false;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const { mail, rcpt, data, done, bodyFault } = work;
    work.finish({
      rcpt,
      done,
      ...(mail ? { mail } : {}),
      ...(data ? { data } : {}),
      ...(failure && !work.isResetting ? { failure } : {}),
      ...(bodyFault === undefined ? {} : { bodyFault }),
    });
    // A final reply in the midst of the message: what is still to come would be read as commands.
    if (work.isBodyDue) this._socket.destroy();
  }

  /** The server still has this transaction open, and the session is to be used again. */
  #mustReset({ isResetting, transaction, mail, data }: Work): boolean {
    const isOpen = isPositive(mail) && data?.code !== 354;
    return isOpen && !isResetting && !transaction.quit && !this._destroyed && !this.isQuitSent;
  }

  #reset(work: Work): void {
    work.isResetting = true;
    this.enter('sending final RSET', this.settings.limits.reset, 'RSET');
    this._responseActions.push((reply) => {
      this.#finish();
      if (!reply.startsWith('2')) this.close();
    });
    this._sendCommand('RSET');
  }

  protected override ended(failure: Failure): void {
    super.ended(failure);
    this.#finish(failure);
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
  bodyFault?: Dsn;
  /** The body is on its way. */
  isBodyDue: boolean;
  isResetting: boolean;
  readonly finish: (result: TransactionResult) => void;
};

/** The source of the body gave up: it may say what to tell the sender. */
const bodyDsn = (fault: Error): Dsn =>
  fault instanceof ConversionFault
    ? fault.dsn
    : dsn('4.3.0', `cannot read the message: ${fault.message}`);
