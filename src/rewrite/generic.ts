/**
 * smtp_generic_maps: addresses of this site as the world outside may see them, put in at the last
 * moment, in the envelope and in the header.
 *
 * One lookup, no recursion: what a table says is what goes out.
 *
 * @see generic(5), Postfix smtp_map11(3)
 */
import type { Config } from '../conf/params.ts';
import type { AddressContext, Maps, MaybePromise } from '../lookup/maps.ts';
import { FIELD_KINDS } from '../mail/header.ts';
import {
  externalizeList,
  internalize,
  parseTokens,
  quoteAddress,
  scanTokens,
} from '../mail/tok822.ts';
import { ok, type Result } from '../util/result.ts';
import { tableAddresses } from './table-addresses.ts';

export interface Generic {
  /** Internal form to internal form; the fault is for the log. */
  address(address: string): Promise<Result<string, string>>;
  /**
   * One field of the primary header as text, folded lines joined by LF; of several addresses each on a
   * line of its own where something changed. Fields without addresses come back as they are.
   */
  field(name: string, text: string): MaybePromise<Result<string, string>>;
}

export function openGeneric(maps: Maps, config: Config, context: AddressContext): Generic {
  const find = async (address: string): Promise<Result<string | undefined, string>> => {
    if (address === '') return ok(undefined);
    const found = await tableAddresses(address, maps, 'generic', config, context);
    return found.ok ? ok(found.value[0]) : found;
  };
  return {
    async address(address) {
      const found = await find(address);
      return found.ok ? ok(found.value ?? address) : found;
    },
    field: (name, text) =>
      FIELD_KINDS.get(name)?.addresses === undefined ? ok(text) : rewriteList(text, find),
  };
}

async function rewriteList(
  field: string,
  find: (address: string) => Promise<Result<string | undefined, string>>,
): Promise<Result<string, string>> {
  const colon = field.indexOf(':');
  const nodes = parseTokens(field.slice(colon + 1));
  let hasChanged = false;
  for (const [at, node] of nodes.entries()) {
    if (node.kind !== 'address') continue;
    const address = internalize(node.tokens);
    const found = await find(address);
    if (!found.ok) return found;
    if (found.value !== undefined) hasChanged = true;
    nodes[at] = { kind: 'address', tokens: scanTokens(quoteAddress(found.value ?? address)) };
  }
  return ok(hasChanged ? `${field.slice(0, colon)}: ${externalizeList(nodes)}` : field);
}
