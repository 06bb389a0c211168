/**
 * Local delivery: aliases, then .forward, then the mailbox or what stands for it: mailbox_transport,
 * a command, a maildir or a file; for who has no account fallback_transport, then luser_relay.
 *
 * What an alias names and is local is delivered here; everything else is handed back to qmgr to be
 * submitted again. One part of an expansion that must be tried again defers the recipient as a
 * whole, so parts that went well may be delivered twice, never lost.
 *
 * Unlike Postfix: a user that an alias of another name leads to reaches mailbox_transport by being
 * submitted again.
 *
 * @see local(8), aliases(5)
 */
import type { OpenBody } from '../agent/agent.ts';
import { deliveryFields, isLooping } from '../agent/copy.ts';
import { identityOf } from '../agent/identity.ts';
import { outcomeOf, worstOf } from '../agent/outcome.ts';
import { domainOf, splitAddress, splitExtension } from '../mail/address.ts';
import { type Dsn, dsn, isSuccess } from '../mail/dsn.ts';
import type {
  DeliveryReport,
  DeliveryRequest,
  Forward,
  Notify,
  Recipient,
  RecipientOutcome,
} from '../mail/stages.ts';
import type { Account } from '../util/accounts.ts';
import { expand } from '../util/expand.ts';
import { splitList } from '../util/text.ts';
import { expandDestinations, findAlias } from './expansion.ts';
import { readForward } from './forward-file.ts';
import type { Job, LocalName, LocalParts, LocalUser, Source } from './job.ts';
import { deliverMailbox } from './mailbox.ts';
import { passOn } from './pass.ts';

const MAX_DEPTH = 100;

export async function deliverLocal(
  request: DeliveryRequest,
  openBody: OpenBody,
  parts: LocalParts,
): Promise<DeliveryReport> {
  const outcomes: DeliveryReport['outcomes'][number][] = [];
  const forwards: Forward[] = [];
  const passed: { index: number; transport: string; nexthop: string }[] = [];
  for (const recipient of request.recipients) {
    const startedMs = parts.nowMs();
    const job: Job = {
      request,
      recipient,
      openBody,
      parts,
      deliveredTo: recipient.address,
      results: [],
      forwards: new Map(),
      seen: new Set(),
      pass: undefined,
      expansion: 'none',
    };
    await deliverRecipient(job);
    const { index } = recipient;
    if (job.pass && job.results.every(isSuccess)) {
      passed.push({ index, ...job.pass });
      forwards.push(...forwardsOf(job, index));
      continue;
    }
    const result = resultOf(job);
    const outcome = outcomeOf(recipient.index, result, parts.service, parts.nowMs() - startedMs);
    outcomes.push(isReported(job, outcome) ? { ...outcome, success: expansionOf(job) } : outcome);
    if (outcome.kind !== 'deferred') forwards.push(...forwardsOf(job, recipient.index));
  }
  return {
    outcomes,
    ...(forwards.length > 0 ? { forwards } : {}),
    ...(passed.length > 0 ? { passed } : {}),
  };
}

const isReported = ({ expansion }: Job, { kind }: { readonly kind: string }): boolean =>
  kind === 'sent' && expansion !== 'none';

/** A list with an owner answers for its members (RFC 3461 section 5.2.7.3). */
const expansionOf = ({ expansion }: Job): NonNullable<RecipientOutcome['success']> => ({
  action: expansion === 'list' ? 'delivered' : 'expanded',
  reason: 'alias expanded',
});

async function deliverRecipient(job: Job): Promise<void> {
  const body = await job.openBody();
  if (!body.ok) {
    job.results.push(dsn('4.3.0', `cannot read message: ${body.error}`));
  } else if (isLooping(body.value, job.deliveredTo)) {
    job.results.push(dsn('5.4.6', `mail forwarding loop for ${job.deliveredTo}`));
  } else {
    await deliverName(job, job.recipient.address, {
      kind: 'recipient',
      depth: 0,
      chain: new Set(),
      sender: undefined,
      resubmits: false,
      owner: undefined,
    });
  }
}

function resultOf({ results, forwards }: Job): Dsn {
  if (results.length === 0 && forwards.size > 0) return dsn('2.0.0', 'forwarded');
  return worstOf(results, dsn('4.3.5', 'alias expansion is empty'));
}

/** Deliver to `local` or `local@domain`, a name of this host. */
export async function deliverName(job: Job, address: string, source: Source): Promise<void> {
  const { parts } = job;
  if (source.depth > MAX_DEPTH) {
    job.results.push(dsn('5.4.6', 'possible alias database loop'));
    return;
  }
  const name = nameOf(address, parts);
  for (const alias of new Set([name.local, name.user])) {
    const key = `alias:${alias.toLowerCase()}`;
    if (source.chain.has(key)) continue;
    const found = await findAlias(alias, parts);
    if (found.kind === 'absent') continue;
    if (found.kind === 'fault') return void job.results.push(found.dsn);
    const chain = new Set(source.chain).add(key);
    const next = { ...source, ...found.source, kind: 'alias' as const, chain };
    if (job.expansion === 'none') job.expansion = next.sender === undefined ? 'alias' : 'list';
    return expandDestinations(job, name, found.destinations, deeper(next), deliverName);
  }
  const account = parts.accounts(name.user);
  if (!account.ok) {
    parts.logger.warning(`looking up user ${name.user}: ${account.error}`);
    job.results.push(dsn('4.3.0', 'user lookup error'));
  } else if (account.value) await deliverAccount(job, name, account.value, source);
  else await deliverUnknown(job, name, source);
}

const deeper = (source: Source): Source => ({ ...source, depth: source.depth + 1 });

async function deliverAccount(
  job: Job,
  name: LocalName,
  account: Account,
  source: Source,
): Promise<void> {
  const user: LocalUser = { ...account, identity: identityOf(account) };
  const key = `forward:${user.name}`;
  if (!source.chain.has(key)) {
    const forward = await readForward(user, name, job.parts);
    if (forward.kind === 'fault') return void job.results.push(forward.dsn);
    if (forward.kind === 'found') {
      const chain = new Set(source.chain).add(key);
      const next: Source = { ...source, kind: 'forward', chain, owner: user, resubmits: false };
      if (job.expansion === 'none') job.expansion = 'alias';
      return expandDestinations(job, name, forward.destinations, deeper(next), deliverName);
    }
  }
  const mailbox = `mailbox:${user.name}`;
  if (job.seen.has(mailbox)) return;
  job.seen.add(mailbox);
  if (await passOn(job, name, 'mailbox')) return;
  job.results.push(await deliverMailbox(job, name, user));
}

/** luser_relay, then the names that must exist, then the sender is told. */
async function deliverUnknown(job: Job, name: LocalName, source: Source): Promise<void> {
  const { config, logger } = job.parts;
  if ((await passOn(job, name, 'mailbox')) || (await passOn(job, name, 'fallback'))) return;
  const key = 'luser_relay';
  if (config.luser_relay !== '' && !source.chain.has(key)) {
    // What senders write is not expanded again.
    const text = expand(config.luser_relay, valuesOf(name, job, undefined), () => true).text;
    const chain = new Set(source.chain).add(key);
    const destination = { kind: 'address', address: text } as const;
    return expandDestinations(job, name, [destination], deeper({ ...source, chain }), deliverName);
  }
  if (/^(?:postmaster|mailer-daemon)$/i.test(name.user)) {
    logger.warning(`required alias not found: ${name.user}`);
    job.results.push(dsn('2.0.0', 'discarded'));
    return;
  }
  job.results.push(dsn('5.1.1', `unknown user: "${name.user.toLowerCase()}"`));
}

/** What `$name` means in forward_path, luser_relay and the like. */
export function valuesOf(
  { local, user, extension, domain }: LocalName,
  { recipient, parts }: Job,
  account: LocalUser | undefined,
): (name: string) => string | undefined {
  const values = new Map<string, string>([
    ['user', user],
    ['local', local],
    ['domain', domain],
    ['extension', extension],
    ['recipient', recipient.address],
    ['recipient_delimiter', extension === '' ? '' : delimiterOf(local, user)],
    ['home', account?.home ?? ''],
    ['shell', account?.shell ?? ''],
  ]);
  return (name) => values.get(name) ?? parts.config.lookup(name);
}

const delimiterOf = (local: string, user: string): string => local.charAt(user.length);

function nameOf(address: string, { config }: LocalParts): LocalName {
  const { local } = splitAddress(address);
  const { user, extension = '' } = splitExtension(local, config.recipient_delimiter);
  // An extension becomes part of file names: one with a slash is dropped.
  const safe = extension.includes('/') ? '' : extension;
  return { local, user, extension: safe, domain: domainOf(address) };
}

function forwardsOf(job: Job, index: number): Forward[] {
  const { request, recipient, parts, deliveredTo } = job;
  const wantsHeader = splitList(parts.config.prepend_delivered_header).includes('forward');
  const fields = deliveryFields({ sender: '', original: '', deliveredTo });
  const prepend = wantsHeader
    ? fields.slice(fields.indexOf('\n') + 1).replaceAll('\n', '\r\n')
    : '';
  return [...job.forwards].map(([sender, addresses]) => ({
    index,
    sender,
    prepend,
    recipients: [...addresses].map((address) => {
      const isOwned = sender !== request.sender;
      return {
        address,
        original: isOwned ? address : recipient.original,
        orcpt: isOwned ? '' : recipient.orcpt,
        notify: isOwned ? [] : withoutSuccess(recipient),
      };
    }),
  }));
}

/** An alias ends the promise of a success report (RFC 3461 section 5.2.7.3). */
function withoutSuccess({ notify }: Recipient): readonly Notify[] {
  const rest = notify.filter((word) => word !== 'SUCCESS');
  return notify.length > 0 && rest.length === 0 ? ['NEVER'] : rest;
}
