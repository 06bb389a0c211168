/**
 * What the content of one message has led to: refused, discarded, held, filtered, redirected, copied.
 * Every decision is logged as Postfix logs it, with where the message comes from.
 *
 * @see Postfix cleanup_act(3)
 */
import type { Logger } from '../log/maillog.ts';
import type { Maps, MaybePromise } from '../lookup/maps.ts';
import type { Lookup } from '../lookup/table.ts';
import { matchBudget } from '../lookup/types/match-budget.ts';
import { externalAddress } from '../mail/address.ts';
import { isRaw, readBytes } from '../mail/bytes.ts';
import { type Reply, reply } from '../mail/reply.ts';
import type { CheckAction, CheckContext } from './check-action.ts';

/** Where a message comes from, for the log. */
export type Provenance = {
  /** `host[address]`, or `local`. */
  readonly client: string;
  readonly sender: string;
  /** The last recipient so far. */
  readonly recipient?: string | undefined;
  readonly protocol?: string;
  readonly helo?: string;
};

export type CleanupLog = Pick<Logger, 'info' | 'warning'>;

export type Refusal = {
  readonly reply: Reply;
  /** For the log. */
  readonly reason: string;
  /** A rule of the site said so, and that has been logged. */
  readonly isRule?: true;
};

/** What becomes of the line that was checked. */
export type LineFate =
  | { readonly kind: 'keep' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'replace' | 'prepend'; readonly text: string };

const KEEP: LineFate = { kind: 'keep' };
const DROP: LineFate = { kind: 'drop' };

export class ContentVerdict {
  readonly copies: string[] = [];
  refusal: Refusal | undefined;
  isDiscarded = false;
  isHeld = false;
  filter: string | undefined;
  redirect: string | undefined;
  /** Time that the patterns of all rules may take for this message. */
  readonly budget = matchBudget();
  /** Rules are still asked: no decision has made them pointless. */
  asks: boolean;
  readonly #queueId: string;
  readonly #from: Provenance;
  readonly #log: CleanupLog | undefined;

  constructor(queueId: string, from: Provenance, log: CleanupLog | undefined, asks: boolean) {
    this.#queueId = queueId;
    this.#from = from;
    this.#log = log;
    this.asks = asks;
  }

  /** What a table says about a line of content. */
  ask(maps: Maps, line: string): MaybePromise<Lookup> {
    const options = { budget: this.budget, isBytes: isRaw(line) };
    return maps.find(readBytes(line), options);
  }

  apply(action: CheckAction, { subject }: CheckContext, line: string): LineFate {
    const note = (word: string, text: string): void => this.#note(word, subject, line, text);
    switch (action.kind) {
      case 'reject':
        this.refusal = { reply: action.reply, reason: action.text, isRule: true };
        this.asks = false;
        note('reject', action.text);
        return KEEP;
      case 'log':
        note(action.word, action.text);
        if (action.word === 'pass') this.asks = false;
        return KEEP;
      case 'discard':
        note('discard', action.text);
        this.isDiscarded = true;
        this.asks = false;
        return KEEP;
      case 'hold':
        if (!this.isHeld && !this.isDiscarded) note('hold', action.text);
        this.isHeld = true;
        return KEEP;
      case 'filter':
        note('filter', action.text);
        this.filter = action.text;
        return KEEP;
      case 'redirect':
        note('redirect', action.text);
        this.redirect = action.text;
        this.asks = false;
        return KEEP;
      case 'bcc':
        note('bcc', action.text);
        this.copies.push(action.text);
        return KEEP;
      case 'strip':
        note('strip', action.text);
        return DROP;
      case 'prepend':
      case 'replace':
        note(action.kind, action.text);
        return { kind: action.kind, text: action.text };
      case 'ignore':
        return DROP;
      case 'dunno':
        return KEEP;
      case 'bad':
        this.#log?.warning(`${this.#queueId}: ${action.warning}`);
        return KEEP;
    }
  }

  /** A table that cannot answer: the message is not accepted now. */
  fail(reason: string): void {
    this.refusal ??= {
      reply: reply(451, '4.3.0', 'Error: queue file write error'),
      reason: `${reason} -- message not accepted, try again later`,
    };
  }

  /** A message that is not what MIME allows. */
  refuseMime(what: string, text: string): void {
    this.refusal ??= { reply: reply(550, '5.6.0', what), reason: what, isRule: true };
    const { client, sender, recipient = 'unknown' } = this.#from;
    const ends = `from=<${externalAddress(sender)}> to=<${externalAddress(recipient)}>`;
    this.#log?.info(
      `${this.#queueId}: reject: mime-error ${what}: ${text.slice(0, 100)} from ${client}; ${ends}`,
    );
  }

  #note(word: string, subject: string, line: string, text: string): void {
    const { client, sender, recipient, protocol, helo } = this.#from;
    const to = recipient === undefined ? '' : ` to=<${externalAddress(recipient)}>`;
    const proto = protocol === undefined ? '' : ` proto=${protocol}`;
    const name = helo === undefined || helo === '' ? '' : ` helo=<${helo}>`;
    const why = text === '' ? '' : `: ${text}`;
    this.#log?.info(
      `${this.#queueId}: ${word}: ${subject} ${line.slice(0, 200)} from ${client};` +
        ` from=<${externalAddress(sender)}>${to}${proto}${name}${why}`,
    );
  }
}
