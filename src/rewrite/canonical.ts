/**
 * canonical_maps and masquerade_domains: the address as this site wants it seen.
 *
 * In order: the table of senders or of recipients, the common table, the masquerade; each only for the
 * uses that its `_classes` parameter names. A table is asked again for its own result until that does
 * not change, ten times at most.
 *
 * @see canonical(5), Postfix cleanup_map11(3)
 */
import type { Config } from '../conf/params.ts';
import { type AddressContext, type Maps, openMaps } from '../lookup/maps.ts';
import type { LookupContext, TableFault } from '../lookup/open.ts';
import { internalAddress } from '../mail/address.ts';
import { quoteAddress } from '../mail/tok822.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { type Masquerade, openMasquerade } from './masquerade.ts';
import { tableAddresses } from './table-addresses.ts';

/** Where an address stands; the words of `canonical_classes` and `masquerade_classes`. */
export type AddressUse =
  | 'envelope_sender'
  | 'envelope_recipient'
  | 'header_sender'
  | 'header_recipient';

export interface Canonical {
  /** Nothing is configured for addresses of this use. */
  isIdle(use: AddressUse): boolean;
  /** External form; the fault (a table that is down, a loop) is for the log. */
  map(address: string, use: AddressUse): Promise<Result<string, string>>;
}

export const NO_CANONICAL: Canonical = {
  isIdle: () => true,
  map: async (address) => ok(address),
};

const MAX_RECURSION = 10;

type Step =
  | { readonly kind: 'maps'; readonly maps: Maps; readonly uses: ReadonlySet<string> }
  | {
      readonly kind: 'masquerade';
      readonly masquerade: Masquerade;
      readonly uses: ReadonlySet<string>;
    };

export function openCanonical(
  config: Config,
  context: LookupContext,
  addressContext: AddressContext,
): Result<Canonical, readonly TableFault[]> {
  const open = (
    parameter: 'sender_canonical_maps' | 'recipient_canonical_maps' | 'canonical_maps',
  ) => openMaps(parameter, config[parameter], context);
  const sender = open('sender_canonical_maps');
  const recipient = open('recipient_canonical_maps');
  const common = open('canonical_maps');
  const masquerade = openMasquerade(config, context);
  if (!sender.ok || !recipient.ok || !common.ok || !masquerade.ok) {
    return err(
      [sender, recipient, common, masquerade].flatMap((each) => (each.ok ? [] : each.error)),
    );
  }
  const bySender: Step = {
    kind: 'maps',
    maps: sender.value,
    uses: usesOf(config.sender_canonical_classes, 'sender'),
  };
  const byRecipient: Step = {
    kind: 'maps',
    maps: recipient.value,
    uses: usesOf(config.recipient_canonical_classes, 'recipient'),
  };
  const others: readonly Step[] = [
    { kind: 'maps', maps: common.value, uses: usesOf(config.canonical_classes, '') },
    {
      kind: 'masquerade',
      masquerade: masquerade.value,
      uses: usesOf(config.masquerade_classes, ''),
    },
  ];
  const steps = (use: AddressUse): readonly Step[] =>
    [use.endsWith('sender') ? bySender : byRecipient, ...others].filter(
      (step) =>
        step.uses.has(use) && !(step.kind === 'maps' ? step.maps.isEmpty : step.masquerade.isIdle),
    );
  const byUse: Readonly<Record<AddressUse, readonly Step[]>> = {
    envelope_sender: steps('envelope_sender'),
    envelope_recipient: steps('envelope_recipient'),
    header_sender: steps('header_sender'),
    header_recipient: steps('header_recipient'),
  };
  return ok({
    isIdle: (use) => byUse[use].length === 0,
    async map(address, use) {
      let current = address;
      for (const step of byUse[use]) {
        const next =
          step.kind === 'maps'
            ? await mapOneToOne(current, step.maps, config, addressContext)
            : await step.masquerade.apply(current);
        if (!next.ok) return next;
        current = next.value;
      }
      return ok(current);
    },
  });
}

/** `sender` and `recipient` tables know no uses of the other kind. */
const usesOf = (classes: string, only: string): ReadonlySet<string> =>
  new Set(splitList(classes.toLowerCase()).filter((use) => use.endsWith(only)));

async function mapOneToOne(
  address: string,
  maps: Maps,
  config: Config,
  context: AddressContext,
): Promise<Result<string, string>> {
  let current = address;
  for (let count = 0; count < MAX_RECURSION; count += 1) {
    const found = await tableAddresses(
      internalAddress(current),
      maps,
      'canonical',
      config,
      context,
    );
    if (!found.ok) return found;
    const [first] = found.value;
    if (first === undefined) return ok(current);
    const next = quoteAddress(first);
    if (next.toLowerCase() === current.toLowerCase()) return ok(next);
    current = next;
  }
  // Postfix warns and goes on with what it has: canonical(5) promises no more.
  return ok(current);
}
