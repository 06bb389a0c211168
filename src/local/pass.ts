/**
 * mailbox_transport and fallback_transport: another transport delivers instead.
 *
 * The recipient itself is handed on by qmgr. Another user, whom an alias leads to, is submitted
 * again and comes back as a recipient.
 *
 * @see local(8), postconf(5) mailbox_transport, fallback_transport
 */
import { dsn } from '../mail/dsn.ts';
import type { Job, LocalName } from './job.ts';

/** False when no transport is named: local goes on. */
export async function passOn(
  job: Job,
  name: LocalName,
  what: 'mailbox' | 'fallback',
): Promise<boolean> {
  const { parts, request, recipient } = job;
  const { config, logger } = parts;
  const maps = what === 'mailbox' ? parts.mailboxTransports : parts.fallbackTransports;
  const found = maps.isEmpty ? ({ kind: 'absent' } as const) : await maps.find(name.user);
  if (found.kind === 'retry' || found.kind === 'misconfigured') {
    logger.warning(`${maps.parameter} lookup of ${name.user}: ${found.reason}`);
    job.results.push(dsn('4.3.5', 'mail system configuration error'));
    return true;
  }
  const general = what === 'mailbox' ? config.mailbox_transport : config.fallback_transport;
  const value = found.kind === 'found' ? found.value : general;
  if (value === '') return false;
  const colon = value.indexOf(':');
  const transport = colon < 0 ? value : value.slice(0, colon);
  const nexthop = colon < 0 ? '' : value.slice(colon + 1);
  if (transport === '' || transport === parts.service) {
    logger.warning(`${what}_transport = ${value}: mail would come back here`);
    job.results.push(dsn('4.3.5', 'mail system configuration error'));
  } else if (isSame(name, recipient.address)) {
    job.pass = { transport, nexthop: nexthop || request.nexthop };
  } else {
    const addresses = job.forwards.get(request.sender) ?? new Set();
    const domain = name.domain || recipient.address.slice(recipient.address.lastIndexOf('@') + 1);
    job.forwards.set(request.sender, addresses.add(`${name.local}@${domain}`));
  }
  return true;
}

const isSame = ({ local }: LocalName, address: string): boolean =>
  address.slice(0, Math.max(0, address.lastIndexOf('@'))).toLowerCase() === local.toLowerCase();
