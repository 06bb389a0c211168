/**
 * Parameters that master.cf names make: `relay_destination_concurrency_limit` exists because there
 * is a transport `relay`. Each is what its `default_` parameter is until it is set.
 *
 * @see postconf(5) "transport_destination_concurrency_limit" and its sisters
 */
const TRANSPORT: readonly (readonly [suffix: string, standard: string])[] = [
  ['_recipient_limit', 'default_recipient_limit'],
  ['_extra_recipient_limit', 'default_extra_recipient_limit'],
  ['_recipient_refill_limit', 'default_recipient_refill_limit'],
  ['_recipient_refill_delay', 'default_recipient_refill_delay'],
  ['_delivery_slot_cost', 'default_delivery_slot_cost'],
  ['_delivery_slot_loan', 'default_delivery_slot_loan'],
  ['_delivery_slot_discount', 'default_delivery_slot_discount'],
  ['_minimum_delivery_slots', 'default_minimum_delivery_slots'],
  ['_initial_destination_concurrency', 'initial_destination_concurrency'],
  ['_destination_concurrency_limit', 'default_destination_concurrency_limit'],
  ['_destination_recipient_limit', 'default_destination_recipient_limit'],
  [
    '_destination_concurrency_positive_feedback',
    'default_destination_concurrency_positive_feedback',
  ],
  [
    '_destination_concurrency_negative_feedback',
    'default_destination_concurrency_negative_feedback',
  ],
  [
    '_destination_concurrency_failed_cohort_limit',
    'default_destination_concurrency_failed_cohort_limit',
  ],
  ['_destination_rate_delay', 'default_destination_rate_delay'],
  ['_transport_rate_delay', 'default_transport_rate_delay'],
];
const COMMAND: (typeof TRANSPORT)[number] = ['_time_limit', 'command_time_limit'];

const AGENTS: ReadonlySet<string> = new Set(['local', 'error', 'virtual', 'smtp', 'lmtp', 'pipe']);

/** Names and unexpanded defaults that one row brings in. */
export function serviceParams(service: string, command: string): readonly (readonly string[])[] {
  const rows = AGENTS.has(command) ? TRANSPORT : [];
  const own = command === 'pipe' || command === 'spawn' ? [...rows, COMMAND] : rows;
  return own.map(([suffix, standard]) => [`${service}${suffix}`, `$${standard}`]);
}

/** The `default_` parameter of a name that some service may have made, or undefined. */
export function standardOfService(name: string): string | undefined {
  const [, standard] =
    [...TRANSPORT, COMMAND]
      .filter(([suffix]) => name.endsWith(suffix) && name.length > suffix.length)
      // `_extra_recipient_limit` also ends in `_recipient_limit`.
      .sort(([a], [b]) => b.length - a.length)[0] ?? [];
  return standard === name ? undefined : standard;
}
