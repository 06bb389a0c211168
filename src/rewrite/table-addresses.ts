/**
 * What an address table's result stands for: a list of addresses, each completed and given the
 * extension that the key did not have.
 *
 * @see canonical(5), virtual(5), Postfix mail_addr_crunch(3)
 */
import type { Config } from '../conf/params.ts';
import type { AddressContext, Maps } from '../lookup/maps.ts';
import { internalAddress, splitAddress, splitExtension } from '../mail/address.ts';
import { externalizeTokens, parseTokens, quoteAddress } from '../mail/tok822.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { type RewriteSettings, rewriteExternal } from './rewrite.ts';

export type TableSettings = RewriteSettings &
  Pick<Config, 'propagate_unmatched_extensions' | 'recipient_delimiter'>;

/** `use` as propagate_unmatched_extensions names it. */
export type TableUse = 'canonical' | 'virtual' | 'generic';

/**
 * Look an address up (internal form) and read the result: its addresses in internal form, `[]` when no
 * table knows it. The fault is for the log.
 */
export async function tableAddresses(
  address: string,
  maps: Maps,
  use: TableUse,
  settings: TableSettings,
  context: AddressContext,
): Promise<Result<readonly string[], string>> {
  const answer = maps.findAddress(address, context);
  const found = answer instanceof Promise ? await answer : answer;
  if (found.kind === 'absent') return ok([]);
  if (found.kind !== 'found') return err(`${maps.parameter} lookup error: ${found.reason}`);
  const addresses = resultAddresses(found.value, address, found.extension ?? '', use, settings);
  if (addresses.length > 0) return ok(addresses);
  return err(`${maps.parameter} lookup of ${address} returns non-address result "${found.value}"`);
}

export function resultAddresses(
  value: string,
  address: string,
  extension: string,
  use: TableUse,
  settings: TableSettings,
): readonly string[] {
  const propagates = splitList(settings.propagate_unmatched_extensions.toLowerCase()).includes(use);
  const suffix = propagates ? extension : '';
  const text = value.startsWith('@') ? sameUser(value, address, extension, settings) : value;
  const list = text === '<>' ? '""' : text;
  return parseTokens(list).flatMap((node) => {
    if (node.kind !== 'address') return [];
    const result = internalAddress(rewriteExternal(externalizeTokens(node.tokens), settings));
    if (suffix === '') return [result];
    const at = result.lastIndexOf('@');
    return [at < 0 ? result + suffix : result.slice(0, at) + suffix + result.slice(at)];
  });
}

/** `@domain` as a result: the same user there, in external form, without the extension. */
function sameUser(
  value: string,
  address: string,
  extension: string,
  settings: TableSettings,
): string {
  const { local } = splitAddress(address);
  const { user } = splitExtension(local, settings.recipient_delimiter);
  return quoteAddress((extension === '' ? local : user) + value);
}
