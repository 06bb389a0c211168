/**
 * One header field after the other: checked, counted, rewritten, dropped or kept. Facts about the
 * header are gathered on the way.
 *
 * Fields come and go as text with folded lines joined by LF; `take` hands over what is to be stored.
 * Work is done at once unless a table answers later.
 *
 * @see cleanup(8), header_checks(5), Postfix cleanup_message(3)
 */
import { after, type Maps, type MaybePromise } from '../lookup/maps.ts';
import { readBytes, writeBytes } from '../mail/bytes.ts';
import { FIELD_KINDS, refolded } from '../mail/header.ts';
import type { HeaderClass } from '../mail/mime.ts';
import { reply } from '../mail/reply.ts';
import { parseAddressList } from '../mail/tok822.ts';
import { parseCheckAction } from './check-action.ts';
import { type HeaderRewriting, rewriteField } from './header-addresses.ts';
import { type MissingFacts, missingFields } from './missing.ts';
import type { ContentVerdict } from './verdict.ts';

export type HeaderFacts = {
  /** Received: fields, ours included. */
  readonly hops: number;
  /** Message-ID with its angles; `''` when there is none. */
  readonly messageId: string;
  /** Addresses of the header From, internal form; undefined when it cannot be parsed. */
  readonly from: readonly string[] | undefined;
  readonly deliveredTo: readonly string[];
};

export type FieldSettings = {
  /** Absent when nothing is checked. */
  readonly checks?: Readonly<Record<HeaderClass, Maps>>;
  /** Absent for clients whose headers are not touched. */
  readonly rewriting?: HeaderRewriting;
  /** Absent when nothing is to be added. */
  readonly missing?: Omit<MissingFacts, 'sender'> & { readonly sender: () => MaybePromise<string> };
  readonly drops: ReadonlySet<string>;
  readonly verdict: ContentVerdict;
  /** 0: none. */
  readonly hopLimit: number;
  readonly header_size_limit: number;
};

/** Fields that count as known beside those of FIELD_KINDS. */
const KNOWN: ReadonlySet<string> = new Set([
  'content-length',
  'delivered-to',
  'date',
  'message-id',
  'received',
]);
const PARAMETERS: Readonly<Record<HeaderClass, string>> = {
  primary: 'header_checks',
  mime: 'mime_header_checks',
  nested: 'nested_header_checks',
};

export class FieldCleaner {
  readonly #settings: FieldSettings;
  readonly #seen = new Set<string>();
  readonly #from: string[] = [];
  readonly #deliveredTo: string[] = [];
  #out: string[] = [];
  #isFromBad = false;
  #hops = 0;
  #messageId = '';

  constructor(settings: FieldSettings) {
    this.#settings = settings;
  }

  get facts(): HeaderFacts {
    return {
      hops: this.#hops,
      messageId: this.#messageId,
      from: this.#isFromBad ? undefined : this.#from,
      deliveredTo: this.#deliveredTo,
    };
  }

  /** Stored form of the fields so far; they are handed over once. */
  take(): string {
    const text = this.#out.join('');
    this.#out = [];
    return text;
  }

  /** `Name: value`; the class that the place gives it. */
  field(text: string, place: HeaderClass): MaybePromise<void> {
    const { checks, verdict } = this.#settings;
    const name = nameOf(text);
    if (name === 'received') this.#hops += 1;
    const headerClass = FIELD_KINDS.get(name)?.isMime ? 'mime' : place;
    const maps = checks?.[headerClass];
    if (!maps || maps.isEmpty || !verdict.asks) return this.#checked(text, name, headerClass);
    return after(verdict.ask(maps, text), (found) => {
      if (found.kind === 'absent') return this.#checked(text, name, headerClass);
      if (found.kind !== 'found') {
        verdict.fail(`${PARAMETERS[headerClass]} map lookup problem: ${found.reason}`);
        return undefined;
      }
      const context = { subject: 'header', parameter: PARAMETERS[headerClass] } as const;
      const fate = verdict.apply(parseCheckAction(found.value, context), context, readBytes(text));
      if (fate.kind === 'drop') return undefined;
      if (fate.kind === 'replace') {
        const replaced = writeBytes(fate.text, text);
        return this.#checked(replaced, nameOf(replaced), headerClass);
      }
      if (fate.kind === 'prepend') this.#store(writeBytes(fate.text, text));
      return this.#checked(text, name, headerClass);
    });
  }

  /** The header of the message is over: add what is missing. */
  end(): MaybePromise<void> {
    const { missing } = this.#settings;
    if (!missing) return undefined;
    return after(missing.sender(), (sender) => {
      const added = missingFields(this.#seen, { ...missing, sender });
      for (const field of added.fields) this.#store(field);
      if (added.messageId !== undefined) this.#messageId = added.messageId;
      if (added.addsFrom) this.#from.push(sender);
    });
  }

  #checked(text: string, name: string, headerClass: HeaderClass): MaybePromise<void> {
    const { drops, rewriting, verdict } = this.#settings;
    const kind = FIELD_KINDS.get(name);
    const isKnown = kind !== undefined || KNOWN.has(name) || drops.has(name);
    if (!isKnown || headerClass !== 'primary') {
      this.#store(text);
      return undefined;
    }
    this.#seen.add(name);
    this.#note(name, text);
    const keeps = !drops.has(name);
    if (!kind?.addresses || !rewriting) {
      if (keeps) this.#store(text);
      return undefined;
    }
    if (!keeps) return undefined;
    return after(rewriteField(text, `header_${kind.addresses}`, rewriting), (rewritten) => {
      if (rewritten.ok) this.#store(rewritten.value);
      else verdict.fail(rewritten.error);
    });
  }

  #note(name: string, text: string): void {
    const { hopLimit, verdict } = this.#settings;
    switch (name) {
      case 'received':
        if (hopLimit > 0 && this.#hops >= hopLimit) {
          verdict.refusal ??= {
            reply: reply(554, '5.4.0', 'Error: too many hops'),
            reason: 'message rejected: hopcount exceeded',
          };
        }
        return;
      case 'message-id':
        if (this.#messageId === '') this.#messageId = unfolded(text);
        return;
      case 'delivered-to':
        this.#deliveredTo.push(unfolded(text));
        return;
      case 'from': {
        const addresses = parseAddressList(unfolded(text));
        if (addresses) this.#from.push(...addresses);
        else this.#isFromBad = true;
        return;
      }
    }
  }

  #store(text: string): void {
    const { header_size_limit } = this.#settings;
    const whole = text.length > header_size_limit ? shortened(text, header_size_limit) : text;
    this.#out.push(`${whole.includes('\n') ? refolded(whole) : whole}\r\n`);
  }
}

const nameOf = (text: string): string => text.slice(0, text.indexOf(':')).trimEnd().toLowerCase();

/** The value unfolded, outer blanks dropped, as text. */
const unfolded = (text: string): string =>
  readBytes(
    text
      .slice(text.indexOf(':') + 1)
      .replaceAll('\n', '')
      .trim(),
  );

/** A field that is too long loses its end: at a line end, unless that would lose a tenth. */
function shortened(text: string, limit: number): string {
  const end = text.lastIndexOf('\n', limit);
  return text.slice(0, end > 0.9 * limit ? end : limit);
}
