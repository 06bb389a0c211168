/** main.cf parameters: sending policies. With none of the first three set, there are none. */
import { int, text } from './descriptor.ts';

export const POLICY_PARAMS = {
  sending_policies: text('', 'File with the named sending policies.'),
  sending_policy_maps: text(
    '',
    'Policy by user: user@domain, user, %group, @domain, *; by client address for auth=none.',
  ),
  sending_policy_default: text(
    '',
    'Policy of users that no table names; empty: they may not send off-site.',
  ),
  sending_policy_record_size: int(
    '8388608',
    'Bytes of decisions kept for "postern explain", twice over; 0: none are kept.',
  ),
} as const;
