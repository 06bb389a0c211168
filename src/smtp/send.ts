/** One message over one open session, and what that means for each recipient. */
import { type Dsn, dsn, isTransient, softened } from '../mail/dsn.ts';
import type { DeliveryRequest, RecipientOutcome } from '../mail/stages.ts';
import { err } from '../util/result.ts';
import type { Kept } from './cache.ts';
import type { Attempt, DeliveryParts } from './deliver.ts';
import { isBeyondAscii, mailCommand, type Offer, rcptCommand, takes8bit } from './envelope.ts';
import { failureDsn, recipientReply, replyDsn, type Site } from './outcome.ts';
import {
  isPositive,
  type RemoteReply,
  type Transaction,
  type TransactionResult,
} from './transaction.ts';
import { hasUtf8Header, type WireForm, wireBody } from './wire.ts';

/**
 * Send to the recipients that are left, and take those with a final outcome away. False for a reused
 * session that was lost before it answered anything: it leaves no trace, a new one will be opened.
 */
export async function sendOver(
  kept: Kept,
  isReused: boolean,
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<boolean> {
  const { request } = attempt;
  const { client } = kept;
  const where = `${kept.host.host}[${kept.host.address}]`;
  const site: Site = { where, host: kept.host.host, softBounce: parts.settings.softBounce };
  const offer: Offer = {
    offers: (keyword) => client.offers(keyword),
    sizeLimit: client.sizeLimit,
    where,
  };
  const settle = settler(attempt, kept, site, parts);
  const prepared = await prepare(attempt, offer, settle, parts);
  if (!prepared) {
    takeAway(attempt);
    attempt.isComplete = true;
    parts.cache.put(kept);
    return true;
  }
  const quit = !(request.reuse && parts.settings.cacheOnDemand);
  const sentMs = parts.now();
  const result = await client.transact({ ...prepared.transaction, quit });
  if (isReused && result.failure && result.mail === undefined) {
    client.close();
    return false;
  }
  if (result.failure) attempt.siteFailure = failureDsn(result.failure, site);
  else attempt.isComplete = true;
  judge(result, prepared.indexes, settle, site, parts.now() - sentMs);
  takeAway(attempt);
  if (quit || result.failure) client.close();
  else parts.cache.put(kept);
  return true;
}

type Prepared = {
  /** Positions in the queue entry of those in `commands.rcpt`. */
  readonly indexes: readonly number[];
  readonly transaction: Omit<Transaction, 'quit'>;
};

/** Commands and body for this server. Recipients that it cannot have are settled. */
async function prepare(
  attempt: Attempt,
  offer: Offer,
  settle: Settle,
  parts: DeliveryParts,
): Promise<Prepared | undefined> {
  const { request } = attempt;
  const { settings, logger } = parts;
  const needs = {
    utf8: await needsUtf8(request, offer, parts),
    isConverted: settings.converts8bit && request.content.has8bit && !takes8bit(offer),
  };
  const mail = mailCommand(request, offer, needs);
  if (!mail.ok) {
    for (const { index } of attempt.left) settle(index, mail.error);
    return undefined;
  }
  const indexes: number[] = [];
  const rcpt: string[] = [];
  for (const recipient of attempt.left) {
    const command = rcptCommand(recipient, offer);
    if (!command.ok) settle(recipient.index, command.error);
    else {
      indexes.push(recipient.index);
      rcpt.push(command.value);
    }
  }
  if (rcpt.length === 0) return undefined;
  const form: WireForm = {
    isConverted: needs.isConverted,
    lineLimit: settings.lineLimit,
    limits: settings.mimeLimits,
    onBreak: () =>
      logger.info(`${request.id}: breaking line > ${settings.lineLimit} bytes with <CR><LF>SPACE`),
  };
  const body = await parts.openBody(request);
  const wire = body.ok
    ? wireBody(body.value, request.content.hasDotLines, form)
    : err(dsn('4.3.0', `cannot read the message: ${body.error}`));
  if (!wire.ok) {
    for (const index of indexes) settle(index, wire.error);
    return undefined;
  }
  return { indexes, transaction: { commands: { mail: mail.value, rcpt }, ...wire.value } };
}

/** An address beyond ASCII needs it; so does a header, in mail that was sent as SMTPUTF8. */
async function needsUtf8(
  request: DeliveryRequest,
  offer: Offer,
  parts: DeliveryParts,
): Promise<boolean> {
  const { sender, recipients, smtputf8, content } = request;
  if (isBeyondAscii(sender) || recipients.some(({ address }) => isBeyondAscii(address)))
    return true;
  if (!smtputf8 || !content.has8bit) return false;
  // Where it is offered the question is not worth opening the body.
  if (offer.offers('SMTPUTF8')) return true;
  const body = await parts.openBody(request);
  return !body.ok || hasUtf8Header(body.value);
}

type Settle = (index: number, fate: Dsn, transmissionMs?: number) => void;

function judge(
  result: TransactionResult,
  indexes: readonly number[],
  settle: Settle,
  site: Site,
  transmissionMs: number,
): void {
  const { mail, data, failure, bodyFault } = result;
  const lost = failure ? failureDsn(failure, site) : undefined;
  for (const [i, index] of indexes.entries()) {
    const rcpt = result.rcpt[i];
    const done = result.done[i];
    const say = (reply: RemoteReply, command: string): void =>
      settle(index, replyDsn(reply, command, site), transmissionMs);
    if (done) say(done, 'end of DATA');
    else if (mail && !isPositive(mail)) say(mail, 'MAIL FROM');
    else if (rcpt && !isPositive(rcpt)) say(recipientReply(rcpt), 'RCPT TO');
    else if (data && data.code >= 400) say(data, 'DATA');
    else if (bodyFault) settle(index, bodyFault, transmissionMs);
    else {
      const fate = lost ?? dsn('4.5.0', `protocol error with ${site.where}: no final reply`);
      settle(index, fate, transmissionMs);
    }
  }
}

function settler(attempt: Attempt, kept: Kept, site: Site, parts: DeliveryParts): Settle {
  const { client, relay } = kept;
  const setup = parts.now() - attempt.startedMs;
  const passesDsn = client.offers('DSN');
  return (index, fate, transmissionMs = 0) => {
    const isSent = fate.status.startsWith('2');
    const isSoft = isTransient(fate) || (site.softBounce && !isSent);
    // Another server may offer what this one does not.
    const isFinal = !isSoft && fate.status !== '5.6.7';
    const outcome: RecipientOutcome = {
      index,
      kind: isSent ? 'sent' : isSoft ? 'deferred' : 'bounced',
      dsn: isSoft ? softened(fate) : fate,
      relay,
      timesMs: { setup, transmission: transmissionMs },
      ...(client.transactions > 1 ? { connectionUse: client.transactions } : {}),
      ...(isSent && passesDsn ? { dsnPassedOn: true } : {}),
    };
    if (isFinal) attempt.outcomes.push(outcome);
    else {
      attempt.held.set(index, outcome);
      attempt.notes.push(fate.reason);
    }
  };
}

/** Forget the recipients that have a final outcome now. */
function takeAway(attempt: Attempt): void {
  if (attempt.outcomes.length === 0) return;
  const settled = new Set(attempt.outcomes.map(({ index }) => index));
  attempt.left = attempt.left.filter(({ index }) => !settled.has(index));
}
