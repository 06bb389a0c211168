/**
 * One mail transaction, from MAIL to the end of data, and the options of MAIL and RCPT.
 *
 * A `Transaction` is made at MAIL and dropped as a whole: by RSET, HELO, STARTTLS, the end of the
 * message or of the connection. Nothing of it lives anywhere else, so no exit leaves a rest.
 *
 * @see RFC 1870 (SIZE), RFC 6152 (BODY), RFC 3461 (RET ENVID NOTIFY ORCPT), RFC 6531 (SMTPUTF8)
 */
import { type Reply, reply } from '../mail/reply.ts';
import { decodeXtext } from '../mail/smtp-grammar.ts';
import type { Envelope, Notify, PolicyVerdict, Recipient } from '../mail/stages.ts';
import type { Draft } from '../queue/store.ts';
import type { Effect } from '../restrict/facts.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { BodyScanner } from './body-scanner.ts';
import type { Reception } from './receive.ts';

export type MailOptions = Pick<Envelope, 'envid' | 'ret' | 'smtputf8' | 'body'> & {
  readonly sizeBytes: number;
};

export type RecipientOptions = Pick<Recipient, 'orcpt' | 'notify'>;

export type Transaction = {
  readonly sender: string;
  /** As the client wrote it. */
  readonly senderGiven: string;
  readonly options: MailOptions;
  readonly recipients: Recipient[];
  readonly effects: Effect[];
  overshoot: number;
  verdict?: PolicyVerdict;
  /** Opened at the first recipient that is taken. */
  draft?: Draft;
  /** BDAT under way. */
  bdat?: { readonly scanner: BodyScanner; readonly reception: Reception; chunks: number };
  /** A chunk was refused: the rest of the transaction is read and thrown away. */
  isSpoilt: boolean;
};

export function newTransaction(
  sender: string,
  senderGiven: string,
  options: MailOptions,
): Transaction {
  return {
    sender,
    senderGiven,
    options,
    recipients: [],
    effects: [],
    overshoot: 0,
    isSpoilt: false,
  };
}

export const envelopeOf = ({ sender, recipients, options }: Transaction): Envelope => ({
  sender,
  recipients,
  envid: options.envid,
  ret: options.ret,
  smtputf8: options.smtputf8,
  body: options.body,
});

const DEFAULTS: MailOptions = { envid: '', ret: '', smtputf8: false, body: '', sizeBytes: 0 };
const NO_NOTIFY: readonly Notify[] = [];
const PLAIN: RecipientOptions = { orcpt: '', notify: NO_NOTIFY };

const unsupported = (option: string): Reply => reply(555, '5.5.4', `Unsupported option: ${option}`);
const bad = (text: string): Reply => reply(501, '5.5.4', text);

export function parseMailOptions(
  words: readonly string[],
  features: { readonly smtputf8: boolean },
): Result<MailOptions, Reply> {
  if (words.length === 0) return ok(DEFAULTS);
  let options = DEFAULTS;
  for (const word of words) {
    const { name, value } = splitOption(word);
    switch (name) {
      case 'SIZE':
        if (!/^\d{1,15}$/.test(value)) return err(bad('Bad message size syntax'));
        options = { ...options, sizeBytes: Number(value) };
        break;
      case 'BODY':
        if (!/^(?:8BITMIME|7BIT)$/i.test(value)) return err(unsupported(word));
        options = { ...options, body: /^8/.test(value) ? '8BITMIME' : '7BIT' };
        break;
      case 'SMTPUTF8':
        if (value !== '' || !features.smtputf8) return err(unsupported(word));
        options = { ...options, smtputf8: true };
        break;
      case 'RET':
        if (!/^(?:FULL|HDRS)$/i.test(value)) return err(bad('Bad RET parameter syntax'));
        options = { ...options, ret: /^F/i.test(value) ? 'FULL' : 'HDRS' };
        break;
      case 'ENVID': {
        const envid = decodeXtext(value);
        if (!envid || envid.length > 100) return err(bad('Bad ENVID parameter syntax'));
        options = { ...options, envid };
        break;
      }
      case 'AUTH':
        // The submitter's identity (RFC 4954 section 5) is taken and not trusted.
        if (decodeXtext(value) === undefined || value === '') return err(unsupported(word));
        break;
      default:
        return err(unsupported(word));
    }
  }
  return ok(options);
}

export function parseRecipientOptions(words: readonly string[]): Result<RecipientOptions, Reply> {
  if (words.length === 0) return ok(PLAIN);
  let options = PLAIN;
  for (const word of words) {
    const { name, value } = splitOption(word);
    if (name === 'NOTIFY') {
      const notify = parseNotify(value);
      if (!notify) return err(bad('Error: Bad NOTIFY parameter syntax'));
      options = { ...options, notify };
    } else if (name === 'ORCPT') {
      const semicolon = value.indexOf(';');
      const type = value.slice(0, Math.max(0, semicolon));
      const address = decodeXtext(value.slice(semicolon + 1));
      if (!/^[A-Za-z0-9-]+$/.test(type) || !address) {
        return err(bad('Error: Bad ORCPT parameter syntax'));
      }
      options = { ...options, orcpt: `${type};${address}` };
    } else return err(unsupported(word));
  }
  return ok(options);
}

function splitOption(word: string): { readonly name: string; readonly value: string } {
  const equals = word.indexOf('=');
  if (equals < 0) return { name: word.toUpperCase(), value: '' };
  return { name: word.slice(0, equals).toUpperCase(), value: word.slice(equals + 1) };
}

function parseNotify(value: string): readonly Notify[] | undefined {
  const out: Notify[] = [];
  for (const word of value.toUpperCase().split(',')) {
    const known = NOTIFY_WORDS.find((each) => each === word);
    if (!known || out.includes(known)) return undefined;
    out.push(known);
  }
  return out.includes('NEVER') && out.length > 1 ? undefined : out;
}
const NOTIFY_WORDS: readonly Notify[] = ['NEVER', 'SUCCESS', 'FAILURE', 'DELAY'];
