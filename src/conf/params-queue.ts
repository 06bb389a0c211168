/** main.cf parameters of the queue manager. @see qmgr(8) */
import { bool, int, text, time } from './descriptor.ts';

export const QUEUE_PARAMS = {
  enable_long_queue_ids: bool('yes', 'Queue ids of mixed case; no: hexadecimal.'),
  minimal_backoff_time: time(
    '300s',
    'Least time between attempts of a message, and how long a dead destination is left alone.',
  ),
  maximal_backoff_time: time('4000s', 'Most time between attempts of a message.'),
  maximal_queue_lifetime: time('5d', 'A message that is older is returned.', 'd'),
  bounce_queue_lifetime: time('5d', 'The same for bounces; 0: one attempt.', 'd'),
  queue_run_delay: time('300s', 'Most time between looks at the deferred messages.'),
  delay_warning_time: time('0h', 'Age after which the sender is warned once; 0: never.', 'h'),
  qmgr_message_active_limit: int('20000', 'Messages that are worked on at the same time.', 1),
  default_destination_concurrency_limit: int(
    '20',
    'Most deliveries to one destination at the same time.',
    0,
  ),
  initial_destination_concurrency: int(
    '5',
    'Deliveries to a destination that is not known yet.',
    1,
  ),
  default_destination_recipient_limit: int('50', 'Most recipients of one delivery.', 0),
  default_destination_concurrency_failed_cohort_limit: int(
    '1',
    'Failed cohorts after which a destination counts as dead.',
    1,
  ),
  local_destination_concurrency_limit: text('2', 'The same for local delivery, by recipient.'),
  local_destination_recipient_limit: text('1', 'Recipients of one local delivery.'),
  virtual_destination_recipient_limit: text('1', 'Recipients of one virtual delivery.'),
  transport_retry_time: time('60s', 'How long a transport without an agent is left alone.'),
  qmgr_daemon_timeout: time('1000s', 'Longest delivery; the agent is then cut off.'),
  defer_transports: text('', 'Transports whose mail waits for postqueue -f.'),
} as const;
