/** MAIL and RCPT: syntax, limits, restrictions, sending policy. */
import { printable } from '../log/maillog.ts';
import { type Reply, reply } from '../mail/reply.ts';
import { type PathFault, parsePathCommand } from '../mail/smtp-grammar.ts';
import type { Effect } from '../restrict/facts.ts';
import { rateRefusal } from './admission.ts';
import type { PosternConnection } from './connection.ts';
import { storeReply } from './receive.ts';
import {
  envelopeOf,
  newTransaction,
  parseMailOptions,
  parseRecipientOptions,
  type Transaction,
} from './transaction.ts';

const MAIL_OK = reply(250, '2.1.0', 'Ok');
const RCPT_OK = reply(250, '2.1.5', 'Ok');
const NEED_UTF8 = reply(553, '5.6.7', 'Must declare SMTPUTF8 to send unicode address');
const TOO_MANY = reply(452, '4.5.3', 'Error: too many recipients');
const SYNTAX: Readonly<Record<'MAIL' | 'RCPT', Readonly<Record<PathFault, Reply>>>> = {
  MAIL: {
    syntax: reply(501, '5.5.4', 'Syntax: MAIL FROM:<address>'),
    address: reply(501, '5.1.7', 'Bad sender address syntax'),
  },
  RCPT: {
    syntax: reply(501, '5.5.4', 'Syntax: RCPT TO:<address>'),
    address: reply(501, '5.1.3', 'Bad recipient address syntax'),
  },
};
const isAsciiText = (text: string): boolean => /^[\x00-\x7f]*$/.test(text);

export async function runMail(c: PosternConnection, rest: string): Promise<void> {
  const { config, store, restrictions } = c.parts;
  if (config.smtpd_helo_required && c.session_.helo === '') {
    c.send_(reply(503, '5.5.1', 'Error: send HELO/EHLO first'));
    return;
  }
  if (c.transaction) {
    c.send_(reply(503, '5.5.1', 'Error: nested MAIL command'));
    return;
  }
  const path = parsePathCommand(rest, 'FROM', config.strict_rfc821_envelopes);
  if (!path.ok) {
    refuseSyntax(c, 'MAIL', path.error, rest);
    return;
  }
  const { address, given, options: words } = path.value;
  const options = parseMailOptions(words, { smtputf8: config.smtputf8_enable });
  if (!options.ok) {
    c.send_(options.error);
    return;
  }
  const { smtputf8, sizeBytes } = options.value;
  if (!smtputf8 && !isAsciiText(given)) {
    c.send_(NEED_UTF8);
    return;
  }
  const limit = config.message_size_limit;
  if (limit > 0 && sizeBytes > limit) {
    refuse(c, 'MAIL', reply(552, '5.3.4', 'Message size exceeds fixed limit'), address);
    return;
  }
  const space = store.acceptsMail(sizeBytes);
  if (!space.ok) {
    c.parts.logger.warning(`not accepting mail: ${printable(space.error.reason)}`);
    refuse(c, 'MAIL', storeReply(space.error), address);
    return;
  }
  const tooOften = await rateRefusal(
    c,
    'message',
    config.smtpd_client_message_rate_limit,
    'Message delivery request rate',
    'too much mail',
  );
  if (tooOften) {
    c.send_(tooOften);
    return;
  }
  c.transaction = newTransaction(address, given, options.value);
  if (!config.smtpd_delay_reject && !restrictions.isEmpty('sender')) {
    const { refusal, effects } = await restrictions.evaluate('sender', c.facts());
    if (refusal) {
      refuse(c, 'MAIL', refusal);
      c.dropTransaction();
      return;
    }
    c.transaction.effects.push(...effects);
  }
  c.send_(MAIL_OK);
}

export async function runRcpt(c: PosternConnection, rest: string): Promise<void> {
  const { config } = c.parts;
  const { transaction } = c;
  if (!transaction) {
    c.send_(reply(503, '5.5.1', 'Error: need MAIL command'));
    return;
  }
  if (transaction.bdat || transaction.isSpoilt) {
    c.send_(reply(503, '5.5.1', 'Error: RCPT after BDAT'));
    return;
  }
  const path = parsePathCommand(rest, 'TO', config.strict_rfc821_envelopes);
  if (!path.ok) {
    refuseSyntax(c, 'RCPT', path.error, rest);
    return;
  }
  const { address, given, options: words } = path.value;
  if (address === '' || address.startsWith('-')) {
    refuseSyntax(c, 'RCPT', 'address', rest);
    return;
  }
  const options = parseRecipientOptions(words);
  if (!options.ok) {
    c.send_(options.error);
    return;
  }
  if (!transaction.options.smtputf8 && !isAsciiText(given)) {
    c.send_(NEED_UTF8);
    return;
  }
  if (transaction.recipients.length >= config.smtpd_recipient_limit) {
    tooMany(c, transaction, given);
    return;
  }
  const refusal = await judge(c, transaction, address, given);
  if (refusal) {
    c.send_(refusal);
    return;
  }
  accept(c, transaction, address, options.value);
  c.send_(RCPT_OK);
}

/** Rates, restrictions, sending policy, in this order. */
async function judge(
  c: PosternConnection,
  transaction: Transaction,
  address: string,
  given: string,
): Promise<Reply | undefined> {
  const { config, restrictions, policy, logger } = c.parts;
  const tooOften = await rateRefusal(
    c,
    'recipient',
    config.smtpd_client_recipient_rate_limit,
    'Recipient address rate',
    'too many recipients',
  );
  if (tooOften) return tooOften;
  const decided = await restrictions.atRecipient(c.facts(address));
  for (const warning of decided.warnings) logger.warning(printable(warning));
  logEffects(c, decided.effects, given);
  if (decided.refusal) {
    c.logRejection('RCPT', decided.refusal, { recipient: given });
    return decided.refusal;
  }
  if (policy) {
    const answer = await policy.checkRecipient(
      c.session_,
      c.groups,
      envelopeOf(transaction),
      address,
    );
    if (answer.refusal) {
      c.logRejection('RCPT', answer.refusal, { recipient: given });
      return answer.refusal;
    }
    if (answer.verdict) transaction.verdict = answer.verdict;
  }
  // Every RCPT runs the lists again: an effect counts once.
  for (const effect of decided.effects) {
    const isKnown = transaction.effects.some(
      (one) => JSON.stringify(one) === JSON.stringify(effect),
    );
    if (!isKnown) transaction.effects.push(effect);
  }
  return undefined;
}

function logEffects(c: PosternConnection, effects: readonly Effect[], given: string): void {
  const id = c.transaction?.draft?.id ?? 'NOQUEUE';
  for (const effect of effects) {
    const action = effect.kind === 'log' ? effect.action : effect.kind;
    const text = 'text' in effect ? effect.text : effect.kind;
    c.parts.logger.info(
      `${id}: ${action}: RCPT from ${c.client}: ${printable(text)}; ${c.context(given)}`,
    );
  }
}

function accept(
  c: PosternConnection,
  transaction: Transaction,
  address: string,
  options: { readonly orcpt: string; readonly notify: Transaction['recipients'][number]['notify'] },
): void {
  if (!transaction.draft) {
    transaction.draft = c.parts.store.begin();
    const { login } = c.session_;
    const sasl = login
      ? `, sasl_method=${login.method}, sasl_username=${printable(login.username)}`
      : '';
    c.parts.logger.info(`${transaction.draft.id}: client=${c.client}${sasl}`);
  }
  transaction.recipients.push({ address, original: address, ...options });
}

function tooMany(c: PosternConnection, transaction: Transaction, given: string): void {
  transaction.overshoot += 1;
  const isError = transaction.overshoot > c.parts.config.smtpd_recipient_overshoot_limit;
  if (transaction.overshoot === 1 || isError) {
    c.logRejection('RCPT', TOO_MANY, { recipient: given });
  }
  if (isError) c.send_(TOO_MANY);
  else c.sendQuietly(TOO_MANY);
}

/** An address that cannot be read is worth a warning; a command that is no command is not. */
function refuseSyntax(
  c: PosternConnection,
  where: 'MAIL' | 'RCPT',
  fault: PathFault,
  rest: string,
): void {
  const path = fault === 'address' ? /<.*>/.exec(rest)?.[0] : undefined;
  if (path !== undefined) {
    c.parts.logger.warning(
      `Illegal address syntax from ${c.client} in ${where} command: ${printable(path)}`,
    );
  }
  c.send_(SYNTAX[where][fault]);
}

function refuse(c: PosternConnection, where: string, answer: Reply, sender?: string): void {
  c.logRejection(where, answer, sender === undefined ? {} : { sender });
  c.send_(answer);
}
