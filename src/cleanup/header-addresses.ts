/**
 * The addresses in one header field: canonical form, then canonical tables and masquerade.
 *
 * A field in which nothing changes keeps its bytes. One that changes is written anew, several
 * addresses on a line as far as 70 characters go.
 *
 * @see ADDRESS_REWRITING_README, Postfix cleanup_rewrite_sender(3)
 */
import type { MaybePromise } from '../lookup/maps.ts';
import { readBytes, writeBytes } from '../mail/bytes.ts';
import { foldList } from '../mail/header.ts';
import { externalizeList, externalizeTokens, parseTokens, scanTokens } from '../mail/tok822.ts';
import type { AddressUse, Canonical } from '../rewrite/canonical.ts';
import { type RewriteSettings, rewriteExternal } from '../rewrite/rewrite.ts';
import { ok, type Result } from '../util/result.ts';

export type HeaderRewriting = {
  readonly settings: RewriteSettings;
  readonly canonical: Canonical;
  readonly header_address_token_limit: number;
};

/** `field`: `Name: value`, folded lines joined by LF. The fault is for the log. */
export function rewriteField(
  field: string,
  use: AddressUse,
  { settings, canonical, header_address_token_limit }: HeaderRewriting,
): MaybePromise<Result<string, string>> {
  const colon = field.indexOf(':');
  const nodes = parseTokens(readBytes(field.slice(colon + 1)), header_address_token_limit);
  let hasChanged = false;
  const put = (at: number, before: string, address: string): void => {
    if (address !== before) hasChanged = true;
    // Read again even when it is the same: words that stood together are set apart, as in Postfix.
    nodes[at] = { kind: 'address', tokens: scanTokens(address) };
  };
  const finish = (): Result<string, string> =>
    ok(
      hasChanged
        ? foldList(`${field.slice(0, colon)}: ${writeBytes(externalizeList(nodes), field)}`)
        : field,
    );
  if (canonical.isIdle(use)) {
    for (const [at, node] of nodes.entries()) {
      if (node.kind !== 'address') continue;
      const before = externalizeTokens(node.tokens);
      put(at, before, rewriteExternal(before, settings));
    }
    return finish();
  }
  return (async () => {
    for (const [at, node] of nodes.entries()) {
      if (node.kind !== 'address') continue;
      const before = externalizeTokens(node.tokens);
      const mapped = await canonical.map(rewriteExternal(before, settings), use);
      if (!mapped.ok) return mapped;
      put(at, before, mapped.value);
    }
    return finish();
  })();
}
