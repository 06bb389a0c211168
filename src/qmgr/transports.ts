/**
 * What main.cf says about one transport, by its master.cf name, and the transports that need no
 * agent because the queue manager answers for them: error, retry, discard.
 */
import type { Config } from '../conf/params.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { RecipientOutcome } from '../mail/stages.ts';
import type { Limits } from './schedule.ts';

/** Where a recipient goes, and its address in canonical form. */
export type Hop = {
  readonly transport: string;
  readonly nexthop: string;
  readonly recipient: string;
};

function number(config: Config, transport: string, suffix: string, fallback: number): number {
  const text = config.lookup(`${transport}_${suffix}`);
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : fallback;
}

export const limitsOf = (transport: string, config: Config): Limits => ({
  concurrency: number(
    config,
    transport,
    'destination_concurrency_limit',
    config.default_destination_concurrency_limit,
  ),
  initialConcurrency: number(
    config,
    transport,
    'initial_destination_concurrency',
    config.initial_destination_concurrency,
  ),
  failedCohorts: number(
    config,
    transport,
    'destination_concurrency_failed_cohort_limit',
    config.default_destination_concurrency_failed_cohort_limit,
  ),
  deadMs: config.minimal_backoff_time * 1000,
});

/** Most recipients of one delivery; 0: no limit. */
export const recipientLimitOf = (transport: string, config: Config): number =>
  number(
    config,
    transport,
    'destination_recipient_limit',
    config.default_destination_recipient_limit,
  );

/** `transport:nexthop` of a FILTER action or of a policy. */
export function filterHop(filter: string, hop: Hop): Hop {
  const colon = filter.indexOf(':');
  const transport = colon < 0 ? filter : filter.slice(0, colon);
  return { ...hop, transport, nexthop: filter.slice(transport.length + 1) || hop.nexthop };
}

/** The outcome of a transport that is only a text; undefined for one that needs an agent. */
export function handledHere(
  transport: string,
  nexthop: string,
):
  | { readonly kind: RecipientOutcome['kind']; readonly dsn: Dsn; readonly relay: string }
  | undefined {
  switch (transport) {
    case 'discard':
      return { kind: 'discarded', dsn: dsn('2.0.0', nexthop || 'discarded'), relay: 'none' };
    case 'error':
      return { kind: 'bounced', dsn: textDsn(nexthop, '5', 'mail transport error'), relay: 'none' };
    case 'retry':
      return {
        kind: 'deferred',
        dsn: textDsn(nexthop, '4', 'mail transport retry'),
        relay: 'none',
      };
    default:
      return undefined;
  }
}

/** A text may start with a status of the right class, such as `5.1.1 no such user`. */
function textDsn(text: string, statusClass: '4' | '5', fallback: string): Dsn {
  const match = /^([45])\.(\d{1,3})\.(\d{1,3})\s+(.*)$/.exec(text);
  const base = statusClass === '4' ? 4 : 5;
  if (match?.[1] === statusClass)
    return dsn(`${base}.${Number(match[2])}.${Number(match[3])}`, match[4] ?? '');
  return dsn(`${base}.0.0`, text || fallback);
}
