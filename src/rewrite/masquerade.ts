/**
 * masquerade_domains: `user@host.example.com` becomes `user@example.com`.
 *
 * The first domain of the list that is the address's, or a parent of it, decides; `!domain` says that
 * nothing below it is cut. Names in masquerade_exceptions stay as they are.
 *
 * @see ADDRESS_REWRITING_README "Address masquerading", Postfix cleanup_masquerade(3)
 */
import type { Config } from '../conf/params.ts';
import { after, type MaybePromise } from '../lookup/maps.ts';
import { type DomainList, openDomainList } from '../lookup/match-list.ts';
import type { LookupContext, TableFault } from '../lookup/open.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';

export type Masquerade = {
  readonly isIdle: boolean;
  /** External form to external form. */
  apply(address: string): MaybePromise<Result<string, string>>;
};

type Settings = Pick<Config, 'masquerade_domains' | 'masquerade_exceptions'>;
type Parent = { readonly domain: string; readonly cuts: boolean };

export function openMasquerade(
  config: Settings,
  context: LookupContext,
): Result<Masquerade, readonly TableFault[]> {
  const parents: Parent[] = splitList(config.masquerade_domains.toLowerCase()).map((element) => {
    const bangs = /^!*/.exec(element)?.[0].length ?? 0;
    return { domain: element.slice(bangs), cuts: bangs % 2 === 0 };
  });
  const exceptions = openDomainList(
    'masquerade_exceptions',
    config.masquerade_exceptions,
    { matchParents: false },
    context,
  );
  if (!exceptions.ok) return exceptions;
  const hasExceptions = config.masquerade_exceptions !== '';
  return ok({
    isIdle: parents.length === 0,
    apply: (address) => {
      const cut = masqueraded(address, parents);
      if (cut === address || !hasExceptions) return ok(cut);
      return except(address, cut, exceptions.value);
    },
  });
}

function except(
  address: string,
  cut: string,
  exceptions: DomainList,
): MaybePromise<Result<string, string>> {
  const name = address.slice(0, address.lastIndexOf('@'));
  return after(exceptions.match(name), (match) => {
    if (match.kind === 'error') return err(`masquerade_exceptions: ${match.reason}`);
    return ok(match.kind === 'yes' ? address : cut);
  });
}

function masqueraded(address: string, parents: readonly Parent[]): string {
  const at = address.lastIndexOf('@');
  if (at < 0) return address;
  const domain = address.slice(at + 1).toLowerCase();
  const parent = parents.find(
    (each) => each.domain !== '' && (each.domain === domain || domain.endsWith(`.${each.domain}`)),
  );
  if (!parent?.cuts || parent.domain === domain) return address;
  return address.slice(0, at + 1) + parent.domain;
}
