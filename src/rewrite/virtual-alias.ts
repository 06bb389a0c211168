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
import { splitAddress, splitExtension } from '../mail/address.ts';
import { parseAddressList } from '../mail/tok822.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { type RewriteSettings, rewriteAddress } from './rewrite.ts';

export type AliasSettings = RewriteSettings &
  Pick<
    Config,
    | 'virtual_alias_expansion_limit'
    | 'virtual_alias_recursion_limit'
    | 'virtual_alias_address_length_limit'
    | 'propagate_unmatched_extensions'
    | 'recipient_delimiter'
  >;

type Pending = { readonly address: string; readonly depth: number };

/** The final addresses, in order, without repetition; the reason of a failure is for the log. */
export async function expandVirtual(
  address: string,
  maps: Maps,
  settings: AliasSettings,
  context: AddressContext,
): Promise<Result<readonly string[], string>> {
  if (maps.isEmpty) return ok([address]);
  const done: string[] = [];
  const pending: Pending[] = [{ address, depth: 0 }];
  let count = 1;
  for (let item = pending.pop(); item; item = pending.pop()) {
    const answer = maps.findAddress(item.address, context);
    const found = answer instanceof Promise ? await answer : answer;
    if (found.kind === 'absent') {
      done.push(item.address);
      continue;
    }
    if (found.kind !== 'found') return err(`${maps.parameter} lookup error: ${found.reason}`);
    if (item.depth >= settings.virtual_alias_recursion_limit) {
      return err(`unreasonable ${maps.parameter} map nesting for ${address}`);
    }
    const results = resultAddresses(found.value, item.address, found.extension ?? '', settings);
    if (!results) return err(`bad ${maps.parameter} result for ${item.address}: ${found.value}`);
    count += results.length - 1;
    if (count > settings.virtual_alias_expansion_limit) {
      return err(`unreasonable ${maps.parameter} map expansion size for ${address}`);
    }
    const tooLong = results.find(
      (result) => result.length > settings.virtual_alias_address_length_limit,
    );
    if (tooLong) return err(`unreasonable ${maps.parameter} result length for ${address}`);
    const self = item.address.toLowerCase();
    const isFinal = results.some((result) => result.toLowerCase() === self);
    for (const result of results.toReversed()) {
      // What an address that names itself expands to is looked up, itself excepted.
      if (isFinal && result.toLowerCase() === self) continue;
      pending.push({ address: result, depth: item.depth + 1 });
    }
    if (isFinal) done.push(item.address);
  }
  return ok(unique(done));
}

/** Addresses of a table result: parsed, completed, with the extension that did not match. */
export function resultAddresses(
  value: string,
  address: string,
  extension: string,
  settings: AliasSettings,
): readonly string[] | undefined {
  const propagates = splitList(settings.propagate_unmatched_extensions).includes('virtual');
  const suffix = propagates ? extension : '';
  if (value.startsWith('@')) {
    const { local } = splitAddress(address);
    const { user } = splitExtension(local, settings.recipient_delimiter);
    return [rewriteAddress(`${extension === '' ? local : user}${suffix}${value}`, settings)];
  }
  const parsed = parseAddressList(value);
  if (!parsed || parsed.length === 0) return undefined;
  return parsed.map((each) => {
    const result = rewriteAddress(each, settings);
    if (suffix === '') return result;
    const at = result.lastIndexOf('@');
    return at < 0 ? result + suffix : result.slice(0, at) + suffix + result.slice(at);
  });
}

function unique(addresses: readonly string[]): string[] {
  const seen = new Set<string>();
  return addresses.filter((address) => {
    const key = address.toLowerCase();
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
