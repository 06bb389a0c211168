/** Outcomes of deliveries that end on this host. */
import { type Dsn, isPermanent, isSuccess } from '../mail/dsn.ts';
import type { RecipientOutcome } from '../mail/stages.ts';

/** The status class decides: 2 sent, 4 deferred, 5 bounced. */
export const outcomeOf = (
  index: number,
  dsn: Dsn,
  relay: string,
  transmission: number,
): RecipientOutcome => ({
  index,
  dsn,
  relay,
  kind: isSuccess(dsn) ? 'sent' : isPermanent(dsn) ? 'bounced' : 'deferred',
  timesMs: { setup: 0, transmission },
});

/** The first that is not a success: temporary before permanent, since it may still be cured. */
export function worstOf(results: readonly Dsn[], none: Dsn): Dsn {
  const temporary = results.find(({ status }) => status.startsWith('4'));
  const permanent = results.find(isPermanent);
  return temporary ?? permanent ?? results[0] ?? none;
}
