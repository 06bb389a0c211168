/** All parameters, joined. A name declared twice is a compile error in test/conf/params.test.ts. */

import type { ValueOf } from './descriptor.ts';
import { AGENT_PARAMS } from './params-agents.ts';
import { AUTH_PARAMS } from './params-auth.ts';
import { DELIVERY_PARAMS } from './params-delivery.ts';
import { LMTP_PARAMS } from './params-lmtp.ts';
import { MAIN_PARAMS } from './params-main.ts';
import { POLICY_PARAMS } from './params-policy.ts';
import { QUEUE_PARAMS } from './params-queue.ts';
import { SMTP_PARAMS } from './params-smtp.ts';
import { SMTPD_PARAMS } from './params-smtpd.ts';
import { TLS_PARAMS } from './params-tls.ts';

export const PARAMS = {
  ...MAIN_PARAMS,
  ...SMTPD_PARAMS,
  ...SMTP_PARAMS,
  ...LMTP_PARAMS,
  ...QUEUE_PARAMS,
  ...DELIVERY_PARAMS,
  ...AUTH_PARAMS,
  ...TLS_PARAMS,
  ...POLICY_PARAMS,
  ...AGENT_PARAMS,
} as const;

export type ParamName = keyof typeof PARAMS;

/** A frozen, typed configuration. Text is expanded; times are seconds. */
export type Config = { readonly [Name in ParamName]: ValueOf<(typeof PARAMS)[Name]> } & {
  /**
   * Parameters that keep an old default only because compatibility_level is low: Postfix logs
   * `using backwards-compatible default setting NAME=VALUE` where one makes a difference.
   */
  readonly oldDefaults: ReadonlySet<string>;
  /**
   * Any parameter by name, expanded, also ones that only master.cf names create
   * (`relay_destination_concurrency_limit`) or that the user invented; `undefined` when unset.
   */
  readonly lookup: (name: string) => string | undefined;
};
