/** One message over one open session, and what that means for each recipient. */
import { type Dsn, dsn, isTransient } from '../mail/dsn.ts';
import type { RecipientOutcome } from '../mail/stages.ts';
import type { Kept } from './cache.ts';
import type { Attempt, DeliveryParts } from './deliver.ts';
import { mailCommand, rcptCommand } from './envelope.ts';
import { failureDsn, recipientReply, replyDsn, type Site } from './outcome.ts';
import { isPositive, type RemoteReply, type TransactionResult } from './transaction.ts';

/**
 * Send to the recipients that are left, and take those with a final outcome away. A reused session
 * that is lost before it answered anything leaves no trace: a new one will be opened.
 */
export async function sendOver(
  kept: Kept,
  isReused: boolean,
  attempt: Attempt,
  parts: DeliveryParts,
): Promise<void> {
  const { request } = attempt;
  const { client } = kept;
  const where = `${kept.host.host}[${kept.host.address}]`;
  const site: Site = { where, host: kept.host.host, softBounce: parts.settings.softBounce };
  const offer = {
    offers: (keyword: string) => client.offers(keyword),
    sizeLimit: client.sizeLimit,
    where,
  };
  const passesDsn = client.offers('DSN');
  const settle = settler(attempt, kept.relay, site, passesDsn, parts.now() - attempt.startedMs);

  const mail = mailCommand(request, offer);
  if (!mail.ok) {
    for (const { index } of attempt.left) settle(index, mail.error);
    takeAway(attempt);
    return parts.cache.put(kept);
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
  const body = rcpt.length > 0 ? await parts.openBody(request) : undefined;
  if (!body?.ok) {
    const fault = dsn('4.3.0', `cannot read the message: ${body?.error ?? ''}`);
    if (body) for (const index of indexes) settle(index, fault);
    takeAway(attempt);
    return parts.cache.put(kept);
  }
  const quit = !(request.reuse && parts.settings.cacheOnDemand);
  const sentMs = parts.now();
  const result = await client.transact({
    commands: { mail: mail.value, rcpt },
    body: body.value,
    hasDotLines: request.content.hasDotLines,
    quit,
  });
  if (isReused && result.failure && result.mail === undefined) {
    client.close();
    return;
  }
  if (result.mail) attempt.isReached = true;
  const transmissionMs = parts.now() - sentMs;
  judge(result, indexes, settle, site, transmissionMs);
  takeAway(attempt);
  if (quit || result.failure) client.close();
  else parts.cache.put(kept);
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
    else if (bodyFault !== undefined) {
      settle(index, dsn('4.3.0', `cannot read the message: ${bodyFault}`));
    } else {
      settle(index, lost ?? dsn('4.5.0', `protocol error with ${site.where}: no final reply`));
    }
  }
}

function settler(
  attempt: Attempt,
  relay: string,
  site: Site,
  passesDsn: boolean,
  setupMs: number,
): Settle {
  return (index, fate, transmissionMs = 0) => {
    const isSent = fate.status.startsWith('2');
    const isSoft = isTransient(fate) || (site.softBounce && !isSent);
    const outcome: RecipientOutcome = {
      index,
      kind: isSent ? 'sent' : isSoft ? 'deferred' : 'bounced',
      dsn: fate,
      relay,
      timesMs: { setup: setupMs, transmission: transmissionMs },
      ...(isSent && passesDsn ? { dsnPassedOn: true } : {}),
    };
    if (outcome.kind === 'deferred') attempt.deferred.set(index, outcome);
    else attempt.outcomes.push(outcome);
  };
}

/** Forget the recipients that have a final outcome now. */
function takeAway(attempt: Attempt): void {
  if (attempt.outcomes.length === 0) return;
  const settled = new Set(attempt.outcomes.map(({ index }) => index));
  attempt.left = attempt.left.filter(({ index }) => !settled.has(index));
}
