/**
 * Delivery to virtual mailboxes: `$virtual_mailbox_base/` and what virtual_mailbox_maps say.
 *
 * A path that ends in `/` is a maildir, any other a mailbox file. As root each delivery takes the
 * ids of virtual_uid_maps and virtual_gid_maps; without root everything belongs to the caller and
 * these tables are not asked. No aliases, no commands.
 *
 * @see virtual(8)
 */
import type { OpenBody } from '../agent/agent.ts';
import type { AgentBody } from '../agent/body.ts';
import { isLooping } from '../agent/copy.ts';
import { type Identity, isRoot, withIdentity } from '../agent/identity.ts';
import { deliverMaildir } from '../agent/maildir.ts';
import { deliverMbox } from '../agent/mbox.ts';
import { outcomeOf } from '../agent/outcome.ts';
import type { Config } from '../conf/params.ts';
import type { AddressContext, Maps } from '../lookup/maps.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { DeliveryReport, DeliveryRequest, Recipient } from '../mail/stages.ts';
import { err, ok, type Result } from '../util/result.ts';

export type VirtualParts = {
  readonly config: Config;
  readonly mailboxes: Maps;
  readonly uids: Maps;
  readonly gids: Maps;
  readonly addressContext: AddressContext;
  readonly logger: { readonly warning: (text: string) => void };
  /** For relay= in the log: the service name. */
  readonly service: string;
  readonly nowMs: () => number;
};

let serial = 0;

export async function deliverVirtual(
  request: DeliveryRequest,
  openBody: OpenBody,
  parts: VirtualParts,
): Promise<DeliveryReport> {
  const outcomes: DeliveryReport['outcomes'][number][] = [];
  for (const recipient of request.recipients) {
    const startedMs = parts.nowMs();
    const result = await deliverOne(request, recipient, openBody, parts);
    outcomes.push(outcomeOf(recipient.index, result, parts.service, parts.nowMs() - startedMs));
  }
  return { outcomes };
}

async function deliverOne(
  request: DeliveryRequest,
  recipient: Recipient,
  openBody: OpenBody,
  parts: VirtualParts,
): Promise<Dsn> {
  const mailbox = await findMailbox(recipient.address, parts);
  if (!mailbox.ok) return mailbox.error;
  const identity = await findIdentity(recipient.address, parts);
  if (!identity.ok) return identity.error;
  return withIdentity(identity.value, async () => {
    const body = await openBody();
    if (!body.ok) return dsn('4.3.0', `cannot read message: ${body.error}`);
    if (isLooping(body.value, recipient.address)) {
      return dsn('5.4.6', `mail forwarding loop for ${recipient.address}`);
    }
    return write(request, recipient, body.value, mailbox.value, identity.value, parts);
  });
}

function write(
  request: DeliveryRequest,
  recipient: Recipient,
  body: AgentBody,
  path: string,
  identity: Identity | undefined,
  { config, nowMs }: VirtualParts,
): Promise<Dsn> {
  const fields = {
    sender: request.sender,
    original: recipient.original,
    deliveredTo: recipient.address,
  };
  const common = { path, fields, body, sizeLimit: config.virtual_mailbox_limit, nowMs: nowMs() };
  if (path.endsWith('/')) {
    serial += 1;
    return deliverMaildir({ ...common, myhostname: config.myhostname, serial });
  }
  return deliverMbox({
    ...common,
    owner: config.strict_mailbox_ownership ? identity?.uid : undefined,
    delivered: 'mailbox',
    failed: 'mailbox delivery failed: ',
    lockMayFail: false,
    lock: {
      attempts: config.deliver_lock_attempts,
      delayMs: config.deliver_lock_delay * 1000,
      staleMs: config.stale_lock_time * 1000,
    },
  });
}

/** The path below virtual_mailbox_base, a final `/` kept. */
async function findMailbox(
  address: string,
  { config, mailboxes, addressContext, logger }: VirtualParts,
): Promise<Result<string, Dsn>> {
  const found = await mailboxes.findAddress(address, addressContext);
  if (found.kind === 'absent') return err(dsn('5.1.1', `unknown user: "${address}"`));
  if (found.kind !== 'found') {
    logger.warning(`virtual_mailbox_maps lookup of ${address}: ${found.reason}`);
    return err(dsn('4.3.5', 'mail system configuration error'));
  }
  const base = config.virtual_mailbox_base;
  if (!base.startsWith('/')) {
    logger.warning(`virtual_mailbox_base is not an absolute path: "${base}"`);
    return err(dsn('4.3.5', 'mail system configuration error'));
  }
  const path = `${base}/${found.value}`;
  if (path.includes('\0') || path.split('/').includes('..')) {
    logger.warning(
      `virtual_mailbox_maps result for ${address} leaves its directory: ${found.value}`,
    );
    return err(dsn('4.3.5', 'mail system configuration error'));
  }
  return ok(path);
}

async function findIdentity(
  address: string,
  parts: VirtualParts,
): Promise<Result<Identity | undefined, Dsn>> {
  if (!isRoot()) return ok(undefined);
  const uid = await findId('uid', address, parts);
  if (!uid.ok) return uid;
  const gid = await findId('gid', address, parts);
  if (!gid.ok) return gid;
  return ok({ uid: uid.value, gid: gid.value, groups: [gid.value] });
}

/** A number from virtual_uid_maps or virtual_gid_maps, not below its minimum. */
async function findId(
  what: 'uid' | 'gid',
  address: string,
  { config, uids, gids, addressContext, logger }: VirtualParts,
): Promise<Result<number, Dsn>> {
  const maps = what === 'uid' ? uids : gids;
  const lowestUid = config.virtual_minimum_uid;
  const minimum = what === 'uid' || lowestUid === 0 ? lowestUid : 1;
  const found = await maps.findAddress(address, addressContext);
  const refuse = (reason: string): Result<number, Dsn> => {
    logger.warning(`recipient ${address}: ${reason}`);
    return err(dsn('4.3.5', 'mail system configuration error'));
  };
  if (found.kind === 'absent') return refuse(`not found in ${maps.parameter}`);
  if (found.kind !== 'found') return refuse(`${maps.parameter}: ${found.reason}`);
  if (!/^\d{1,10}$/.test(found.value)) return refuse(`bad ${what} "${found.value}"`);
  const id = Number(found.value);
  if (id < minimum) return refuse(`${what} ${id} is below the minimum ${minimum}`);
  return ok(id);
}
