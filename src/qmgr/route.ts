/** From the pending recipients of a message to jobs: one for each destination, split by its limit. */
import type { Config } from '../conf/params.ts';
import { splitAddress, splitExtension } from '../mail/address.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { Active, Job, QmgrParts } from './active.ts';
import { filterHop, type Hop, recipientLimitOf } from './transports.ts';

export type Routed = {
  readonly jobs: readonly Job[];
  /** Recipients that no transport takes, and why. */
  readonly unroutable: readonly { readonly index: number; readonly dsn: Dsn }[];
};

/** postsuper -e: no attempt; the end of the pass returns it. */
const EXPIRED = dsn('4.7.0', 'message is administratively expired');

type Group = { readonly hop: Hop; readonly recipients: { index: number; address: string }[] };

export async function routeMessage(one: Active, parts: QmgrParts): Promise<Routed> {
  const { entry } = one;
  const groups = new Map<string, Group>();
  const unroutable: { index: number; dsn: Dsn }[] = [];
  for (const [index, { state, address }] of entry.recipients.entries()) {
    if (state !== 'pending') continue;
    if (entry.isExpired) {
      unroutable.push({ index, dsn: EXPIRED });
      continue;
    }
    const route = await parts.resolve(entry.sender, address);
    if (!route.ok) {
      unroutable.push({ index, dsn: route.error });
      continue;
    }
    const hop = entry.filter ? filterHop(entry.filter, route.value) : route.value;
    const limit = recipientLimitOf(hop.transport, parts.config());
    const key = limit === 1 ? `${index}` : `${hop.transport}\0${hop.nexthop}`;
    const group = groups.get(key) ?? { hop, recipients: [] };
    group.recipients.push({ index, address: hop.recipient });
    groups.set(key, group);
  }
  const jobs = [...groups.values()].flatMap((group) =>
    jobsOf(one, group, parts.config(), parts.nowMs()),
  );
  return { jobs, unroutable };
}

function jobsOf(
  active: Active,
  { hop, recipients }: Group,
  config: Config,
  startedMs: number,
): Job[] {
  const limit = recipientLimitOf(hop.transport, config);
  const size = limit || recipients.length;
  const nexthop = hop.nexthop.toLowerCase();
  const jobs: Job[] = [];
  for (let at = 0; at < recipients.length; at += size) {
    jobs.push({
      active,
      transport: hop.transport,
      nexthop: hop.nexthop,
      destination:
        limit === 1 ? `${mailboxOf(recipients[at]?.address ?? '', config)}@${nexthop}` : nexthop,
      recipients: recipients.slice(at, at + size),
      startedMs,
      crashes: 0,
    });
  }
  return jobs;
}

/** A recipient's local part without its extension: one mailbox, however it is addressed. */
const mailboxOf = (address: string, config: Config): string =>
  splitExtension(splitAddress(address).local, config.recipient_delimiter).user.toLowerCase();
