/**
 * From what a client sent to what is stored: the header seen once, the body passed through.
 *
 * One `Cleaning` a message. Pieces are in stored form already (CRLF line ends, no stray CR or LF,
 * not dot-stuffed). The header is held until its end, at most header_size_limit; then trace field,
 * header and missing fields go to the draft in one piece, and the body follows uncopied. `finish`
 * does the envelope and says what the queue entry needs, or what to tell the client.
 *
 * The draft belongs to the caller, who commits or aborts it.
 *
 * @see cleanup(8)
 */
import type { Reply } from '../mail/reply.ts';
import { reply } from '../mail/reply.ts';
import type { Content, Envelope, RecipientState } from '../mail/stages.ts';
import type { Draft } from '../queue/store.ts';
import { rewriteSender } from '../rewrite/rewrite.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { cleanHeader, type HeaderFacts } from './headers.ts';
import { Meter } from './meter.ts';
import { cleanRecipients, type RecipientParts } from './recipients.ts';

export type Source = {
  readonly draft: Pick<Draft, 'id' | 'write'>;
  /** The Received: field (or fields) to put first, CRLF at the end; may be `''`. */
  readonly trace: string;
  /** The sender, for a missing From. Internal form. */
  readonly sender: string;
  /** A client in local_header_rewrite_clients, or a local submission: missing fields are added. */
  readonly isLocal: boolean;
  readonly atMs: number;
  /** Our own bounce or notice: no always_bcc, no hop limit. */
  readonly isInternal?: boolean;
};

export type Cleaned = HeaderFacts & {
  readonly content: Content;
  readonly sender: string;
  readonly recipients: readonly RecipientState[];
};

/** `reason` is for the log: why the client gets a temporary refusal. */
export type CleanupFault = { readonly reply: Reply; readonly reason: string };

export interface Cleanup {
  begin(source: Source): Cleaning;
}

export interface Cleaning {
  /** As Draft.write: true, or a promise to await before the next piece. */
  write(piece: Buffer): true | Promise<void>;
  /** The last piece has been written. */
  finish(envelope: Envelope): Promise<Result<Cleaned, CleanupFault>>;
  /** Bytes stored so far. */
  readonly wireBytes: number;
}

export function openCleanup(parts: RecipientParts): Cleanup {
  const drops = new Set(splitList(parts.config.message_drop_headers.toLowerCase()));
  return { begin: (source) => new MessageCleaning(parts, drops, source) };
}

const BLANK_LINE = Buffer.from('\r\n\r\n', 'latin1');
const LF = 0x0a;
const CRLF = Buffer.from('\r\n', 'latin1');

const NO_HEADER: HeaderFacts = { hops: 0, messageId: '', from: [], deliveredTo: [] };

class MessageCleaning implements Cleaning {
  readonly #parts: RecipientParts;
  readonly #drops: ReadonlySet<string>;
  readonly #source: Source;
  readonly #meter = new Meter();
  /** Pieces of the header so far; undefined once it has been stored. */
  #held: Buffer[] | undefined = [];
  #heldBytes = 0;
  #facts: HeaderFacts = NO_HEADER;

  constructor(parts: RecipientParts, drops: ReadonlySet<string>, source: Source) {
    this.#parts = parts;
    this.#drops = drops;
    this.#source = source;
  }

  get wireBytes(): number {
    return this.#meter.wireBytes;
  }

  write(piece: Buffer): true | Promise<void> {
    if (!this.#held) return this.#store(piece);
    const isEnd = this.#endsHeader(piece);
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    if (!isEnd && this.#heldBytes < this.#parts.config.header_size_limit) return true;
    return this.#storeHeader();
  }

  async finish(envelope: Envelope): Promise<Result<Cleaned, CleanupFault>> {
    const { config } = this.#parts;
    if (this.#held) {
      if (this.#held.at(-1)?.at(-1) !== LF && this.#heldBytes > 0) this.#held.push(CRLF);
      await this.#storeHeader();
    }
    if (!this.#meter.endsLine) await this.#store(CRLF);
    const isInternal = this.#source.isInternal === true;
    if (!isInternal && this.#facts.hops >= config.hopcount_limit) {
      return fault(reply(554, '5.4.6', 'Error: too many hops'), 'too many hops');
    }
    const recipients = await cleanRecipients(envelope.recipients, !isInternal, this.#parts);
    if (!recipients.ok) {
      return fault(reply(451, '4.6.0', 'Alias expansion error'), recipients.error);
    }
    return ok({
      ...this.#facts,
      content: this.#meter.content(),
      sender: rewriteSender(envelope.sender, config),
      recipients: recipients.value,
    });
  }

  /** Whether the blank line is in this piece, or begins in the one before. */
  #endsHeader(piece: Buffer): boolean {
    if (piece.includes(BLANK_LINE)) return true;
    const before = this.#held?.at(-1);
    if (!before) return piece[0] === 0x0d || !isHeaderStart(piece);
    const seam = Buffer.concat([before.subarray(-3), piece.subarray(0, 3)]);
    return seam.includes(BLANK_LINE);
  }

  #storeHeader(): true | Promise<void> {
    const { draft, trace, sender, isLocal, atMs } = this.#source;
    const { config } = this.#parts;
    const held = this.#held ?? [];
    const bytes = held.length === 1 ? (held[0] ?? CRLF) : Buffer.concat(held);
    this.#held = undefined;
    // Only the examined part becomes text; a body that came in the same piece stays as it is.
    const end = bytes.indexOf(BLANK_LINE);
    const isCut = end < 0 && this.#heldBytes >= config.header_size_limit;
    const examined = end < 0 ? headEnd(bytes) : end + BLANK_LINE.length;
    const text = markMailbox(bytes.toString('latin1', 0, examined));
    const adds = !isCut && (isLocal || config.always_add_missing_headers);
    const missing = adds
      ? { queueId: draft.id, myhostname: config.myhostname, sender, atMs }
      : undefined;
    const { header, bodyStart, ...facts } = cleanHeader(text, this.#drops, missing);
    this.#facts = facts;
    // A header cut off by its limit goes on in what follows: no blank line may be put there.
    const blank = isCut && bodyStart === text.length ? '' : '\r\n';
    const head = Buffer.from(header + blank + text.slice(bodyStart), 'latin1');
    const first = this.#store(
      trace === '' ? head : Buffer.concat([Buffer.from(trace, 'utf8'), head]),
    );
    if (examined === bytes.length) return first;
    const body = bytes.subarray(examined);
    return first === true ? this.#store(body) : this.#storeAfter(first, body);
  }

  async #storeAfter(ready: Promise<void>, piece: Buffer): Promise<void> {
    await ready;
    await this.#store(piece);
  }

  #store(piece: Buffer): true | Promise<void> {
    this.#meter.add(piece);
    return this.#source.draft.write(piece);
  }
}

const MAILBOX = /^>*From /;

/** A mailbox separator in front is no header: Postfix keeps it as `Mailbox-Line:`. */
const markMailbox = (text: string): string => (MAILBOX.test(text) ? `Mailbox-Line: ${text}` : text);

/** Behind the last whole line, so that no line is read in halves. */
const headEnd = (bytes: Buffer): number => {
  const end = bytes.lastIndexOf(LF);
  return end < 0 ? bytes.length : end + 1;
};

/** Whether a message can start with a header: nothing of it is held when it cannot. */
const isHeaderStart = (piece: Buffer): boolean =>
  /^(?:[!-9;-~]+[ \t]*(?::|$)|>*From )/.test(piece.toString('latin1', 0, 200)) ||
  piece.length < 200;

const fault = (answer: Reply, reason: string): Result<Cleaned, CleanupFault> =>
  err({ reply: answer, reason });
