/**
 * virtual_alias_maps: one recipient becomes the addresses it stands for, until nothing changes.
 *
 * An address that expands to itself is final. Depth, number and length are limited; a limit or a
 * table that fails means that the message is not accepted for now, never that the alias is not
 * there.
 *
 * @see virtual(5), Postfix cleanup_map1n(3)
 */
import type { Config } from '../conf/params.ts';
import type { AddressContext, Maps } from '../lookup/maps.ts';
import { err, ok, type Result } from '../util/result.ts';
import { type TableSettings, tableAddresses } from './table-addresses.ts';

export type AliasSettings = TableSettings &
  Pick<
    Config,
    | 'virtual_alias_expansion_limit'
    | 'virtual_alias_recursion_limit'
    | 'virtual_alias_address_length_limit'
  >;

/**
 * The final addresses, in Postfix's order: the first result takes the place of its address, the others
 * go to the end. Repetitions stay; the reason of a failure is for the log.
 */
export async function expandVirtual(
  address: string,
  maps: Maps,
  settings: AliasSettings,
  context: AddressContext,
): Promise<Result<readonly string[], string>> {
  if (maps.isEmpty) return ok([address]);
  const list = [address];
  /** Addresses that have expanded into themselves. */
  const final = new Set<string>();
  for (let at = 0; at < list.length; at += 1) {
    if (list.length > settings.virtual_alias_expansion_limit) {
      return err(`unreasonable ${maps.parameter} map expansion size for ${address}`);
    }
    for (let depth = 0; ; depth += 1) {
      const current = list[at] ?? '';
      const folded = current.toLowerCase();
      if (final.has(folded)) break;
      if (depth >= settings.virtual_alias_recursion_limit) {
        return err(`unreasonable ${maps.parameter} map nesting for ${address}`);
      }
      const found = await tableAddresses(current, maps, 'virtual', settings, context);
      if (!found.ok) return found;
      const [first, ...more] = found.value;
      if (first === undefined) break;
      const tooLong = found.value.some(
        (each) => Buffer.byteLength(each) > settings.virtual_alias_address_length_limit,
      );
      if (tooLong) return err(`unreasonable ${maps.parameter} result length for ${address}`);
      if (found.value.some((each) => each.toLowerCase() === folded)) final.add(folded);
      list[at] = first;
      list.push(...more);
    }
  }
  return ok(list);
}
