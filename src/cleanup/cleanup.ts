/**
 * From what a client sent to what is stored: the header field by field, the body passed through.
 *
 * One `Cleaning` a message. Pieces are in stored form already (CRLF line ends, no stray CR or LF,
 * not dot-stuffed). A header is held until its end and cleaned in one go; the body follows uncopied.
 * Where the body must be looked at (body_checks, MIME headers, strict_*), and for a header longer
 * than header_size_limit, the message is walked line by line instead (`walked.ts`). `finish` does the
 * envelope and says what the queue entry needs, or what to tell the client.
 *
 * The draft belongs to the caller, who commits or aborts it.
 *
 * @see cleanup(8)
 */
import { after, type MaybePromise } from '../lookup/maps.ts';
import { fieldText, scanHeader } from '../mail/header.ts';
import type { Reply } from '../mail/reply.ts';
import type { Content, Envelope, RecipientState } from '../mail/stages.ts';
import type { Draft } from '../queue/store.ts';
import { rewriteSender } from '../rewrite/rewrite.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { FieldCleaner, type HeaderFacts } from './fields.ts';
import { Meter } from './meter.ts';
import { cleanEnvelope, type RecipientParts } from './recipients.ts';
import { fieldSettings, mustWalk } from './settings.ts';
import { ContentVerdict, type Provenance } from './verdict.ts';
import { WalkedContent } from './walked.ts';

export type Source = {
  readonly draft: Pick<Draft, 'id' | 'write'>;
  /** The Received: field (or fields) to put first, CRLF at the end; may be `''`. */
  readonly trace: string;
  /** The sender, for a missing From. Internal form. */
  readonly sender: string;
  /**
   * A client in local_header_rewrite_clients, or a local submission: header addresses are completed
   * and rewritten, missing fields added.
   */
  readonly isLocal: boolean;
  readonly atMs: number;
  /** Our own bounce or notice: no copies, no hop limit, no checks. */
  readonly isInternal?: boolean;
  /** Of the submitting user, for a missing From. */
  readonly fullName?: string;
  /** For the log; without it the message comes from `local`. */
  readonly from?: Omit<Provenance, 'sender'>;
};

export type Cleaned = HeaderFacts & {
  readonly content: Content;
  readonly sender: string;
  readonly recipients: readonly RecipientState[];
  /** A rule says DISCARD: say 250 and store nothing. */
  readonly isDiscarded: boolean;
  /** A rule says HOLD. */
  readonly isHeld: boolean;
  /** FILTER and REDIRECT of the last rule that said so. */
  readonly filter?: string;
  readonly redirect?: string;
};

/** `reason` is for the log: why the client is refused; already logged when `isLogged`. */
export type CleanupFault = {
  readonly reply: Reply;
  readonly reason: string;
  readonly isLogged: boolean;
};

export interface Cleanup {
  begin(source: Source): Cleaning;
}

export interface Cleaning {
  /** As Draft.write: true, or a promise to await before the next piece. */
  write(piece: Buffer): true | Promise<void>;
  /** The last piece has been written. `copies`: further recipients (BCC of an access table). */
  finish(envelope: Envelope, copies?: readonly string[]): Promise<Result<Cleaned, CleanupFault>>;
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

class MessageCleaning implements Cleaning {
  readonly #parts: RecipientParts;
  readonly #source: Source;
  readonly #meter = new Meter();
  readonly #verdict: ContentVerdict;
  readonly #fields: FieldCleaner;
  /** Pieces of the header so far; undefined once it has been stored. */
  #held: Buffer[] | undefined = [];
  #heldBytes = 0;
  /** Line by line from here on. */
  #walked: WalkedContent | undefined;

  constructor(parts: RecipientParts, drops: ReadonlySet<string>, source: Source) {
    this.#parts = parts;
    this.#source = source;
    const sender = rewriteSender(source.sender, parts.config);
    const from = { client: 'local', ...source.from, sender };
    const settings = fieldSettings(parts, drops, source);
    const asks = settings.checks !== undefined;
    this.#verdict = new ContentVerdict(source.draft.id, from, parts.log, asks);
    this.#fields = new FieldCleaner({ ...settings, verdict: this.#verdict });
    if (mustWalk(parts, source)) this.#walk();
  }

  get wireBytes(): number {
    return this.#meter.wireBytes;
  }

  write(piece: Buffer): true | Promise<void> {
    if (this.#verdict.refusal) return true;
    if (this.#walked) return this.#walked.write(piece);
    if (!this.#held) return this.#store(piece);
    const isEnd = this.#endsHeader(piece);
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    if (isEnd) return settled(this.#storeHeader());
    if (this.#heldBytes < this.#parts.config.header_size_limit) return true;
    return this.#walk().write(this.#takeHeld());
  }

  async finish(
    envelope: Envelope,
    copies: readonly string[] = [],
  ): Promise<Result<Cleaned, CleanupFault>> {
    if (!this.#verdict.refusal) await this.#finishContent();
    const verdict = this.#verdict;
    if (verdict.refusal && !verdict.isDiscarded) {
      const { reply: answer, reason, isRule } = verdict.refusal;
      return err({ reply: answer, reason, isLogged: isRule === true });
    }
    const isInternal = this.#source.isInternal === true;
    const more = [...copies, ...verdict.copies];
    const cleaned = await cleanEnvelope(envelope, more, !isInternal, this.#parts);
    if (!cleaned.ok) return err({ ...cleaned.error, isLogged: false });
    return ok({
      ...this.#fields.facts,
      ...cleaned.value,
      content: this.#meter.content(),
      isDiscarded: verdict.isDiscarded,
      isHeld: verdict.isHeld,
      ...(verdict.filter === undefined ? {} : { filter: verdict.filter }),
      ...(verdict.redirect === undefined ? {} : { redirect: verdict.redirect }),
    });
  }

  async #finishContent(): Promise<void> {
    if (this.#walked) await this.#walked.end();
    else if (this.#held) {
      if (this.#held.at(-1)?.at(-1) !== LF && this.#heldBytes > 0) this.#held.push(CRLF);
      await this.#storeHeader();
    }
    if (!this.#meter.endsLine && !this.#verdict.refusal) await this.#store(CRLF);
  }

  #walk(): WalkedContent {
    const { trace } = this.#source;
    this.#walked = new WalkedContent({
      parts: this.#parts,
      trace: Buffer.from(trace, 'utf8').toString('latin1'),
      fields: this.#fields,
      verdict: this.#verdict,
      seesBody: mustWalk(this.#parts, this.#source),
      store: (piece) => this.#store(piece),
    });
    return this.#walked;
  }

  #takeHeld(): Buffer {
    const held = this.#held ?? [];
    this.#held = undefined;
    return held.length === 1 ? (held[0] ?? CRLF) : Buffer.concat(held);
  }

  /** Whether the blank line is in this piece, or begins in the one before. */
  #endsHeader(piece: Buffer): boolean {
    if (piece.includes(BLANK_LINE)) return true;
    const before = this.#held?.at(-1);
    if (!before) return piece[0] === 0x0d || !isHeaderStart(piece);
    const seam = Buffer.concat([before.subarray(-3), piece.subarray(0, 3)]);
    return seam.includes(BLANK_LINE);
  }

  #storeHeader(): MaybePromise<void> {
    const bytes = this.#takeHeld();
    // Only the examined part becomes text; a body that came in the same piece stays as it is.
    const end = bytes.indexOf(BLANK_LINE);
    const examined = end < 0 ? headEnd(bytes) : end + BLANK_LINE.length;
    const trace = Buffer.from(this.#source.trace, 'utf8').toString('latin1');
    const text = trace + openingLines(bytes.toString('latin1', 0, examined));
    const { fields, end: headerEnd, isBlankMissing } = scanHeader(text);
    const cleaned = this.#cleanFields(text, fields, 0);
    const ended = after(cleaned, () => (this.#verdict.refusal ? undefined : this.#fields.end()));
    return after(ended, () => {
      if (this.#verdict.refusal) return undefined;
      const bodyStart = isBlankMissing ? headerEnd : headerEnd + blankLength(text, headerEnd);
      const head = `${this.#fields.take()}\r\n${text.slice(bodyStart)}`;
      const first = this.#store(Buffer.from(head, 'latin1'));
      if (examined === bytes.length) return unlessDone(first);
      const body = bytes.subarray(examined);
      if (first === true) return unlessDone(this.#store(body));
      return first.then(() => unlessDone(this.#store(body)));
    });
  }

  #cleanFields(
    text: string,
    fields: ReturnType<typeof scanHeader>['fields'],
    from: number,
  ): MaybePromise<void> {
    for (let at = from; at < fields.length; at += 1) {
      const field = fields[at];
      if (!field || this.#verdict.refusal) return undefined;
      const done = this.#fields.field(fieldText(text, field), 'primary');
      if (done instanceof Promise) return done.then(() => this.#cleanFields(text, fields, at + 1));
    }
    return undefined;
  }

  #store(piece: Buffer): true | Promise<void> {
    this.#meter.add(piece);
    return this.#source.draft.write(piece);
  }
}

const settled = (done: MaybePromise<void>): true | Promise<void> =>
  done instanceof Promise ? done : true;
const unlessDone = (taken: true | Promise<void>): MaybePromise<void> =>
  taken === true ? undefined : taken;

const blankLength = (text: string, at: number): number => (text.startsWith('\r\n', at) ? 2 : 0);

const MAILBOX = /^>*From /;

/**
 * The start of a message as its sender gave it: mailbox separators become `X-Mailbox-Line:` fields, and
 * a blank at the start begins the body.
 */
function openingLines(text: string): string {
  if (!/^(?:>*From |[ \t])/.test(text)) return text;
  let opening = '';
  let at = 0;
  while (MAILBOX.test(text.slice(at, at + 200))) {
    const end = text.indexOf('\n', at);
    const next = end < 0 ? text.length : end + 1;
    opening += `X-Mailbox-Line: ${text.slice(at, next)}`;
    at = next;
  }
  return `${opening}${/^[ \t]/.test(text.slice(at, at + 1)) ? '\r\n' : ''}${text.slice(at)}`;
}

/** Behind the last whole line, so that no line is read in halves. */
const headEnd = (bytes: Buffer): number => {
  const end = bytes.lastIndexOf(LF);
  return end < 0 ? bytes.length : end + 1;
};

/** Whether a message can start with a header: nothing of it is held when it cannot. */
const isHeaderStart = (piece: Buffer): boolean =>
  /^(?:[!-9;-~]+[ \t]*(?::|$)|>*From )/.test(piece.toString('latin1', 0, 200)) ||
  piece.length < 200;
