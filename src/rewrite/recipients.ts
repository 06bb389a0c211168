/**
 * Whether a recipient exists: the tables that list the valid addresses of each class.
 *
 * Asked by smtpd before it takes a recipient, so that nothing is bounced later. An address that
 * canonical or virtual tables know exists whatever its class says. An empty list of tables accepts
 * everything in its class.
 *
 * @see LOCAL_RECIPIENT_README, postconf(5) smtpd_reject_unlisted_recipient
 */
import type { Config } from '../conf/params.ts';
import { type Maps, openMaps } from '../lookup/maps.ts';
import type { LookupContext, TableFault } from '../lookup/open.ts';
import { ABSENT } from '../lookup/table.ts';
import type { Route } from '../mail/stages.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Resolver } from './resolve.ts';

export type Existence =
  | { readonly kind: 'yes' }
  /** `table` as Postfix names it: `local recipient table`. */
  | { readonly kind: 'no'; readonly table: string }
  | { readonly kind: 'retry'; readonly reason: string };

export interface RecipientTables {
  /** `virtual_alias_maps`, for expansion. */
  readonly virtualAliases: Maps;
  /** `address` in canonical form, with the class that `Resolver.classify` gave it. */
  recipientExists(target: {
    readonly address: string;
    readonly addressClass: Route['addressClass'];
  }): Promise<Existence>;
}

const TABLE_NAMES = {
  local: 'local recipient table',
  'virtual-alias': 'virtual alias table',
  'virtual-mailbox': 'virtual mailbox table',
  relay: 'relay recipient table',
} as const;

export function openRecipientTables(
  config: Config,
  context: LookupContext,
  resolver: Resolver,
): Result<RecipientTables, readonly TableFault[]> {
  const rcptCanonical = openMaps(
    'recipient_canonical_maps',
    config.recipient_canonical_maps,
    context,
  );
  const canonical = openMaps('canonical_maps', config.canonical_maps, context);
  const aliases = openMaps('virtual_alias_maps', config.virtual_alias_maps, context);
  const local = openMaps('local_recipient_maps', config.local_recipient_maps, context);
  const mailboxes = openMaps('virtual_mailbox_maps', config.virtual_mailbox_maps, context);
  const relay = openMaps('relay_recipient_maps', config.relay_recipient_maps, context);
  const all = [rcptCanonical, canonical, aliases, local, mailboxes, relay];
  if (
    !rcptCanonical.ok ||
    !canonical.ok ||
    !aliases.ok ||
    !local.ok ||
    !mailboxes.ok ||
    !relay.ok
  ) {
    return err(all.flatMap((maps) => (maps.ok ? [] : maps.error)));
  }
  const redirecting = [rcptCanonical.value, canonical.value, aliases.value];
  const byClass: Partial<Record<Route['addressClass'], Maps>> = {
    local: local.value,
    'virtual-mailbox': mailboxes.value,
    relay: relay.value,
  };
  return ok({
    virtualAliases: aliases.value,
    async recipientExists({ address, addressClass }) {
      if (addressClass === 'default') return { kind: 'yes' };
      for (const maps of redirecting) {
        const answer = maps.findAddress(address, resolver.addressContext);
        const alias = answer instanceof Promise ? await answer : answer;
        if (alias.kind === 'found') return { kind: 'yes' };
        if (alias.kind !== 'absent') return { kind: 'retry', reason: alias.reason };
      }
      const maps = byClass[addressClass];
      if (maps?.isEmpty) return { kind: 'yes' };
      const found = maps ? await maps.findAddress(address, resolver.addressContext) : ABSENT;
      if (found.kind === 'found') return { kind: 'yes' };
      if (found.kind !== 'absent') return { kind: 'retry', reason: found.reason };
      return { kind: 'no', table: TABLE_NAMES[addressClass] };
    },
  });
}
