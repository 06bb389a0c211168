/**
 * A message looked at line by line: body_checks, headers of parts and of enclosed messages, strict MIME
 * rules, characters that are refused or taken out.
 *
 * Streaming: it holds one line, and of a header field what `MimeWalk` holds. Lines longer than
 * line_length_limit are looked at in pieces. When only a long header made the walk necessary, the body
 * behind it passes as it is.
 *
 * @see header_checks(5), Postfix cleanup_message(3)
 */
import { after, type MaybePromise } from '../lookup/maps.ts';
import { readBytes, writeBytes } from '../mail/bytes.ts';
import { type MimeEvent, type MimeFault, MimeWalk } from '../mail/mime.ts';
import { parseCheckAction } from './check-action.ts';
import type { FieldCleaner } from './fields.ts';
import type { RecipientParts } from './recipients.ts';
import { isStrict } from './settings.ts';
import { NO_TABLES } from './tables.ts';
import type { ContentVerdict } from './verdict.ts';

export type WalkedParts = {
  readonly parts: RecipientParts;
  /** latin1. */
  readonly trace: string;
  readonly fields: FieldCleaner;
  readonly verdict: ContentVerdict;
  /** Lines of the body are looked at too. */
  readonly seesBody: boolean;
  readonly store: (piece: Buffer) => true | Promise<void>;
};

const BODY = { subject: 'body', parameter: 'body_checks' } as const;
const CONTENT = { subject: 'content', parameter: 'character reject' } as const;

const FAULT_TEXTS: Readonly<Record<MimeFault, string>> = {
  nesting: 'MIME nesting exceeds safety limit',
  'header-8bit': 'improper use of 8-bit data in message header',
  'body-8bit': 'improper use of 8-bit data in message body',
  'encoding-domain': 'invalid message/* or multipart/* encoding domain',
  'header-not-ended': 'primary header was terminated with non-empty line',
};

export class WalkedContent {
  readonly #with: WalkedParts;
  readonly #walk: MimeWalk;
  readonly #lineLimit: number;
  #rest = '';
  /** Events of the trace fields, which come before the first line. */
  #early: MimeEvent[];
  #isFirst = true;
  #isInBody = false;
  #isHeaderBroken = false;
  #out: string[] = [];

  constructor(parts: WalkedParts) {
    this.#with = parts;
    const { config } = parts.parts;
    this.#lineLimit = config.line_length_limit;
    this.#walk = new MimeWalk({
      header_size_limit: config.header_size_limit,
      mime_nesting_limit: config.mime_nesting_limit,
      mime_boundary_length_limit: config.mime_boundary_length_limit,
      isMime: parts.seesBody && !config.disable_mime_input_processing,
      onFault: (fault, text) => this.#onFault(fault, text),
    });
    const events: MimeEvent[] = [];
    for (const line of parts.trace.split('\r\n').slice(0, -1)) this.#walk.line(line, events);
    this.#early = events;
  }

  write(piece: Buffer): true | Promise<void> {
    const { verdict, store, seesBody } = this.#with;
    if (this.#isInBody && !seesBody) return store(piece);
    const text =
      this.#rest === '' ? piece.toString('latin1') : this.#rest + piece.toString('latin1');
    const done = this.#lines(text, 0);
    const flushed = after(done, (): MaybePromise<void> => {
      if (verdict.refusal) return undefined;
      const taken = this.#flush();
      return taken === true ? undefined : taken;
    });
    return flushed instanceof Promise ? flushed : true;
  }

  async end(): Promise<void> {
    const { verdict } = this.#with;
    if (this.#rest !== '') await this.#line(this.#rest, false);
    this.#rest = '';
    if (verdict.refusal) return;
    const events = this.#early.splice(0);
    this.#walk.end(events);
    await this.#handle(events, 0);
    if (!verdict.refusal) await this.#flush();
  }

  /** Every whole line of `text` from `from` on; the rest is kept. */
  #lines(text: string, from: number): MaybePromise<void> {
    const { verdict, seesBody } = this.#with;
    let at = from;
    for (;;) {
      if (verdict.refusal) return undefined;
      if (this.#isInBody && !seesBody) {
        this.#out.push(text.slice(at));
        this.#rest = '';
        return undefined;
      }
      const end = text.indexOf('\r\n', at);
      const stop = end < 0 ? text.length : end;
      const isCut = stop - at > this.#lineLimit;
      if (end < 0 && !isCut) {
        this.#rest = text.slice(at);
        return undefined;
      }
      const next = isCut ? at + this.#lineLimit : end + 2;
      const done = this.#line(text.slice(at, isCut ? next : end), isCut);
      at = next;
      if (done instanceof Promise) return done.then(() => this.#lines(text, next));
    }
  }

  #line(given: string, isCut: boolean): MaybePromise<void> {
    const { verdict, parts } = this.#with;
    const { rejects, strips } = parts.tables ?? NO_TABLES;
    let line = given;
    if (verdict.asks && rejects && line.search(rejects) >= 0) {
      verdict.apply(parseCheckAction('REJECT disallowed character', CONTENT), CONTENT, line);
      return undefined;
    }
    if (verdict.asks && strips) line = line.replaceAll(strips, '');
    const events = this.#early.splice(0);
    if (this.#isFirst && /^>*From /.test(line)) line = `X-Mailbox-Line: ${line}`;
    else if (this.#isFirst) {
      this.#isFirst = false;
      if (/^[ \t]/.test(line)) this.#walk.line('', events);
    }
    this.#walk.line(line, events, isCut);
    return events.length === 0 ? undefined : this.#handle(events, 0);
  }

  #handle(events: readonly MimeEvent[], from: number): MaybePromise<void> {
    for (let at = from; at < events.length; at += 1) {
      const event = events[at];
      if (!event || this.#with.verdict.refusal) return undefined;
      const done = this.#event(event);
      if (done instanceof Promise) return done.then(() => this.#handle(events, at + 1));
    }
    return undefined;
  }

  #event(event: MimeEvent): MaybePromise<void> {
    const { fields } = this.#with;
    switch (event.kind) {
      case 'field':
        return after(fields.field(event.text, event.headerClass), () => {
          this.#out.push(fields.take());
        });
      case 'header-end':
        return after(fields.end(), () => {
          this.#out.push(fields.take());
          if (this.#isHeaderBroken) {
            this.#out.push('MIME-Error: message header was not terminated by empty line\r\n');
          }
          this.#isInBody = true;
          // Without a body there is no line that stands for the blank one.
          if (this.#walk.isOver) this.#out.push('\r\n');
        });
      case 'body':
        return this.#bodyLine(event);
    }
  }

  #bodyLine({ text, offset, isCut }: Extract<MimeEvent, { kind: 'body' }>): MaybePromise<void> {
    const { verdict, parts } = this.#with;
    const { bodyChecks } = parts.tables ?? NO_TABLES;
    const limit = parts.config.body_checks_size_limit;
    const end = isCut ? '' : '\r\n';
    const asks = verdict.asks && !bodyChecks.isEmpty && (limit === 0 || offset < limit);
    if (!asks) {
      this.#out.push(text, end);
      return undefined;
    }
    return after(verdict.ask(bodyChecks, text), (found) => {
      if (found.kind === 'absent') this.#out.push(text, end);
      else if (found.kind !== 'found') {
        verdict.fail(`body_checks map lookup problem: ${found.reason}`);
      } else {
        const action = parseCheckAction(found.value, BODY);
        const fate = verdict.apply(action, BODY, readBytes(text));
        if (fate.kind === 'replace') this.#out.push(writeBytes(fate.text, text), end);
        else if (fate.kind === 'prepend')
          this.#out.push(writeBytes(fate.text, text), '\r\n', text, end);
        else if (fate.kind === 'keep') this.#out.push(text, end);
      }
    });
  }

  #flush(): true | Promise<void> {
    if (this.#out.length === 0) return true;
    const piece = Buffer.from(this.#out.join(''), 'latin1');
    this.#out = [];
    return piece.length === 0 ? true : this.#with.store(piece);
  }

  #onFault(fault: MimeFault, text: string): void {
    const { parts, verdict, seesBody } = this.#with;
    const { config } = parts;
    if (!seesBody) return;
    if (fault === 'header-not-ended') {
      this.#isHeaderBroken = config.non_empty_end_of_header_action === 'add_header';
      if (config.non_empty_end_of_header_action !== 'reject') return;
    }
    const isOn: Readonly<Record<MimeFault, boolean>> = {
      nesting:
        isStrict(config) ||
        `${config.header_checks}${config.mime_header_checks}${config.nested_header_checks}` !== '',
      'header-8bit': config.strict_8bitmime || config.strict_7bit_headers,
      'body-8bit': config.strict_8bitmime || config.strict_8bitmime_body,
      'encoding-domain': config.strict_mime_encoding_domain,
      'header-not-ended': true,
    };
    if (isOn[fault]) verdict.refuseMime(FAULT_TEXTS[fault], readBytes(text));
  }
}
