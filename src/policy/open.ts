/**
 * The policy gate with the site's own tables: what smtpd and pickup open at start.
 */
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import { type AddressContext, type Maps, openMaps } from '../lookup/maps.ts';
import type { LookupContext } from '../lookup/open.ts';
import { err, ok, type Result } from '../util/result.ts';
import { type DecisionRecord, openRecord } from './decision-record.ts';
import { type GateDeps, openPolicyGate, type PolicyGate } from './gate.ts';

/** The part of rewrite/resolve.ts that is needed here, which lies above this layer. */
export type PolicyResolver = {
  readonly classify: GateDeps['classify'];
  readonly classes: { readonly isLocal: GateDeps['isLocal'] };
  readonly addressContext: AddressContext;
};

export type SitePolicy = {
  /** Undefined: no sending policies are configured. */
  readonly gate: PolicyGate | undefined;
  readonly record: DecisionRecord;
};

/** Open tables and policies; faults are ready for the log, and the service must not start. */
export function openSitePolicy(
  config: Config,
  resolver: PolicyResolver,
  context: LookupContext,
  logger: Logger,
): Result<SitePolicy, readonly string[]> {
  const faults: string[] = [];
  const open = (
    parameter:
      | 'sending_policy_maps'
      | 'smtpd_sender_login_maps'
      | 'virtual_alias_maps'
      | 'alias_maps',
    value: string,
  ): Maps | undefined => {
    const maps = openMaps(parameter, value, context);
    if (maps.ok) return maps.value;
    faults.push(...maps.error.map(({ reason }) => reason));
    return undefined;
  };
  const record = openRecord(config.data_directory, config.sending_policy_record_size, logger);
  const { sending_policies, sending_policy_maps, sending_policy_default } = config;
  if (`${sending_policies}${sending_policy_maps}${sending_policy_default}` === '') {
    return ok({ gate: undefined, record });
  }
  const policyMaps = open('sending_policy_maps', sending_policy_maps);
  const logins = open('smtpd_sender_login_maps', config.smtpd_sender_login_maps);
  const virtual = open('virtual_alias_maps', config.virtual_alias_maps);
  const aliases = open('alias_maps', config.alias_maps);
  if (!policyMaps || !logins || !virtual || !aliases) return err(faults);
  const gate = openPolicyGate(config, {
    logger,
    record,
    nowMs: Date.now,
    policyMaps,
    classify: resolver.classify,
    isLocal: resolver.classes.isLocal,
    senderLogins: (address) => logins.findAddress(address, resolver.addressContext),
    virtualAliases: (address) => virtual.findAddress(address, resolver.addressContext),
    localAliases: (local) => aliases.find(local),
  });
  return gate.ok ? ok({ gate: gate.value, record }) : gate;
}
