/**
 * The content of one message on its way to the queue: stored-form bytes through cleanup into the
 * draft, then the entry, then one durable commit. `250 ... queued as` is said after it, never before.
 *
 * Whatever ends a reception without a commit aborts the draft.
 */

import type { Cleaned, Cleaning } from '../cleanup/cleanup.ts';
import { printable } from '../log/maillog.ts';
import { protocolWord, type ReceivedFacts, receivedField } from '../mail/received.ts';
import { type Reply, reply } from '../mail/reply.ts';
import type { QueueEntry, RecipientState, Session } from '../mail/stages.ts';
import type { Draft, StoreFault } from '../queue/store.ts';
import type { Effect, MailFacts } from '../restrict/facts.ts';
import type { SmtpdParts } from './parts.ts';
import type { BodyFacts, BodySink } from './stream.ts';
import { envelopeOf, type Transaction } from './transaction.ts';

export type Outcome = {
  readonly reply: Reply;
  /** For the `reject:` line; absent when the reply is no refusal by a rule. */
  readonly isRejection: boolean;
};

const NOTHING_TAKEN = true as const;
const TOO_BIG = reply(552, '5.3.4', 'Error: message file too big');

export class Reception implements BodySink {
  readonly draft: Draft;
  readonly #parts: SmtpdParts;
  readonly #session: Session;
  readonly #groups: readonly string[];
  readonly #transaction: Transaction;
  readonly #cleaning: Cleaning;
  readonly #atMs: number;
  readonly #maxBytes: number;
  #isTooBig = false;
  #isOver = false;

  constructor(
    parts: SmtpdParts,
    session: Session,
    groups: readonly string[],
    transaction: Transaction,
    draft: Draft,
    isLocal: boolean,
  ) {
    this.#parts = parts;
    this.#session = session;
    this.#groups = groups;
    this.#transaction = transaction;
    this.draft = draft;
    this.#atMs = parts.nowMs();
    const limit = parts.config.message_size_limit;
    // Line ends count once in the limit and twice in what is stored.
    this.#maxBytes = limit === 0 ? Number.MAX_SAFE_INTEGER : 2 * limit;
    this.#cleaning = parts.cleanup.begin({
      draft,
      trace: prepended(transaction.effects) + this.#received(),
      sender: transaction.sender,
      isLocal,
      atMs: this.#atMs,
      from: {
        client: `${session.peer.name}[${session.peer.address}]`,
        recipient: transaction.recipients.at(-1)?.address,
        protocol: session.protocol,
        helo: session.helo,
      },
    });
  }

  /** Called by the stream. */
  write(piece: Buffer): true | Promise<void> {
    if (this.#isTooBig || this.#isOver) return NOTHING_TAKEN;
    if (this.#cleaning.wireBytes + piece.length > this.#maxBytes) {
      this.#isTooBig = true;
      this.draft.abort();
      return NOTHING_TAKEN;
    }
    return this.#cleaning.write(piece);
  }

  get receivedBytes(): number {
    return this.#cleaning.wireBytes;
  }

  abort(): void {
    this.#isOver = true;
    this.draft.abort();
  }

  /** The whole message is here: decide, store, answer. */
  async finish(facts: BodyFacts, mailFacts: MailFacts): Promise<Outcome> {
    const outcome = await this.#finish(facts, mailFacts);
    this.abort();
    return outcome;
  }

  async #finish(facts: BodyFacts, mailFacts: MailFacts): Promise<Outcome> {
    if (this.#isTooBig) return { reply: TOO_BIG, isRejection: true };
    const { config, restrictions, logger, cleanupLogger } = this.#parts;
    const { effects: said } = this.#transaction;
    const copies = said.flatMap((effect) => (effect.kind === 'bcc' ? [effect.address] : []));
    const cleaned = await this.#cleaning.finish(envelopeOf(this.#transaction), copies);
    if (!cleaned.ok) {
      const { reason, isLogged } = cleaned.error;
      if (!isLogged) cleanupLogger.warning(`${this.draft.id}: ${printable(reason)}`);
      return { reply: cleaned.error.reply, isRejection: true };
    }
    const { content, messageId } = cleaned.value;
    if (messageId !== '') {
      cleanupLogger.info(`${this.draft.id}: message-id=${printable(messageId)}`);
    }
    if (config.message_size_limit > 0 && content.sizeBytes > config.message_size_limit) {
      return { reply: TOO_BIG, isRejection: true };
    }
    const effects = [...this.#transaction.effects];
    if (!restrictions.isEmpty('end_of_data')) {
      const sized = { ...mailFacts, sizeBytes: content.sizeBytes };
      const decided = await restrictions.evaluate('end_of_data', sized);
      for (const warning of decided.warnings) logger.warning(printable(warning));
      if (decided.refusal) return { reply: decided.refusal, isRejection: true };
      effects.push(...decided.effects);
    }
    const refusal = await this.#policyRefusal(cleaned.value.from);
    if (refusal) return { reply: refusal, isRejection: true };
    if (facts.hasBareNewline && config.smtpd_forbid_bare_newline === 'note') {
      logger.info(`${this.draft.id}: bare <LF> received from ${this.#session.peer.address}`);
    }
    return this.#store(cleaned.value, effects);
  }

  async #policyRefusal(from: readonly string[] | undefined): Promise<Reply | undefined> {
    const { verdict } = this.#transaction;
    if (!verdict || !this.#parts.policy) return undefined;
    return this.#parts.policy.checkHeader(this.#session, this.#groups, verdict, from);
  }

  async #store(cleaned: Cleaned, effects: readonly Effect[]): Promise<Outcome> {
    const { logger } = this.#parts;
    const queued = reply(250, '2.0.0', `Ok: queued as ${this.draft.id}`);
    const discard = effects.find(({ kind }) => kind === 'discard');
    if (discard?.kind === 'discard') {
      logger.info(`${this.draft.id}: discard: ${printable(discard.text)}`);
      return { reply: queued, isRejection: false };
    }
    if (cleaned.isDiscarded) return { reply: queued, isRejection: false };
    const entry = this.#entry(cleaned, effects);
    const stored = await this.draft.commit(entry);
    if (!stored.ok) return { reply: this.#faultReply(stored.error), isRejection: false };
    this.#parts.arrived(entry);
    return { reply: queued, isRejection: false };
  }

  #faultReply(fault: StoreFault): Reply {
    this.#parts.logger.warning(`${this.draft.id}: queue write: ${printable(fault.reason)}`);
    if (fault.kind === 'broken') this.#parts.onBroken(fault);
    return storeReply(fault);
  }

  #entry(cleaned: Cleaned, effects: readonly Effect[]): QueueEntry {
    const { peer, helo, login } = this.#session;
    const { options, verdict } = this.#transaction;
    const asked = last(effects, 'filter');
    const filter = cleaned.filter ?? (asked?.kind === 'filter' ? asked.destination : undefined);
    return {
      id: this.draft.id,
      arrivedMs: this.#atMs,
      sender: cleaned.sender,
      envid: options.envid,
      ret: options.ret,
      smtputf8: options.smtputf8,
      recipients: redirected(cleaned, effects),
      content: cleaned.content,
      origin: {
        client: { name: peer.name, address: peer.address, port: peer.port },
        helo,
        protocol: protocolWord({ session: this.#session, smtputf8: options.smtputf8 }),
        ...(login ? { login } : {}),
      },
      ...(verdict ? { verdict } : {}),
      dueMs: this.#atMs,
      onHold: cleaned.isHeld || effects.some(({ kind }) => kind === 'hold'),
      attempts: 0,
      warned: false,
      ...(filter === undefined ? {} : { filter }),
    };
  }

  #received(): string {
    const { config } = this.#parts;
    const [only, ...more] = this.#transaction.recipients;
    const facts: ReceivedFacts = {
      session: this.#session,
      myhostname: config.myhostname,
      mail_name: config.mail_name,
      queueId: this.draft.id,
      recipient: more.length === 0 ? only?.address : undefined,
      smtputf8: this.#transaction.options.smtputf8,
      atMs: this.#atMs,
      showsTls: config.smtpd_tls_received_header,
      showsLogin: config.smtpd_sasl_authenticated_header,
      hidesClient: config.smtpd_hide_client_session,
    };
    return receivedField(facts);
  }
}

/** What a client hears about the queue's trouble. */
export const storeReply = (fault: StoreFault): Reply =>
  fault.kind === 'no-space'
    ? reply(452, '4.3.1', 'Insufficient system storage')
    : reply(451, '4.3.0', 'Error: queue file write error');

const last = (effects: readonly Effect[], kind: Effect['kind']): Effect | undefined =>
  effects.findLast((effect) => effect.kind === kind);

/** PREPEND fields, in the order of the rules, above Received:. */
function prepended(effects: readonly Effect[]): string {
  return effects
    .flatMap((effect) => (effect.kind === 'prepend' ? [`${printable(effect.header)}\r\n`] : []))
    .join('');
}

/** REDIRECT: all recipients become one; what the content's rules say comes after access tables. */
function redirected(
  { recipients, redirect }: Cleaned,
  effects: readonly Effect[],
): readonly RecipientState[] {
  const asked = last(effects, 'redirect');
  const address = redirect ?? (asked?.kind === 'redirect' ? asked.address : undefined);
  if (address === undefined) return recipients;
  return [{ address, original: address, orcpt: '', notify: [], state: 'pending' }];
}
