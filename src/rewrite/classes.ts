/**
 * Address classes: which of the five a domain belongs to, in order of precedence: local, virtual
 * alias, virtual mailbox, relay, default.
 *
 * @see ADDRESS_CLASS_README
 */
import type { Config } from '../conf/params.ts';
import { after, type MaybePromise } from '../lookup/maps.ts';
import {
  type DomainList,
  type Match,
  NO,
  openDomainList,
  parentMatches,
  YES,
} from '../lookup/match-list.ts';
import type { LookupContext, TableFault } from '../lookup/open.ts';
import { literalAddress } from '../mail/address.ts';
import type { Route } from '../mail/stages.ts';
import { err, ok, type Result } from '../util/result.ts';
import { ownAddresses } from './own-addresses.ts';

export type AddressClass = Route['addressClass'];

export type ClassAnswer =
  | { readonly kind: 'class'; readonly addressClass: AddressClass }
  | { readonly kind: 'retry'; readonly reason: string };

export interface Classes {
  /** mydestination, or a literal of an address of ours. */
  isLocal(domain: string): MaybePromise<Match>;
  /** `isLocal`, or myorigin: whether tables may be asked for the user alone. */
  isOrigin(domain: string): MaybePromise<Match>;
  /** The class of a domain; letter case and one trailing dot do not matter. */
  classify(domain: string): MaybePromise<ClassAnswer>;
  /** The same for a domain that is known not to be local. */
  classifyForeign(domain: string): MaybePromise<ClassAnswer>;
}

type Named = { readonly addressClass: AddressClass; readonly list: DomainList };

export function openClasses(
  config: Config,
  context: LookupContext,
): Result<Classes, readonly TableFault[]> {
  const faults: TableFault[] = [];
  const open = (
    parameter:
      | 'mydestination'
      | 'virtual_alias_domains'
      | 'virtual_mailbox_domains'
      | 'relay_domains',
  ): DomainList => {
    const matchParents = parentMatches(config, parameter);
    const list = openDomainList(parameter, config[parameter], { matchParents }, context);
    if (list.ok) return list.value;
    faults.push(...list.error);
    return { match: () => NO };
  };
  const destinations = open('mydestination');
  const others: Named[] = [
    { addressClass: 'virtual-alias', list: open('virtual_alias_domains') },
    { addressClass: 'virtual-mailbox', list: open('virtual_mailbox_domains') },
    { addressClass: 'relay', list: open('relay_domains') },
  ];
  if (faults.length > 0) return err(faults);

  const own = ownAddresses(config);
  const myorigin = config.myorigin.toLowerCase();
  const isLocal = (domain: string): MaybePromise<Match> => {
    const name = plain(domain);
    if (!name.startsWith('[')) return name === '' ? NO : destinations.match(name);
    const literal = literalAddress(name);
    return literal !== undefined && own.has(literal) ? YES : NO;
  };
  return ok({
    isLocal,
    isOrigin: (domain) => (plain(domain) === myorigin ? YES : isLocal(domain)),
    classify: (domain) =>
      after(isLocal(domain), (local): MaybePromise<ClassAnswer> => {
        if (local.kind === 'error') return { kind: 'retry', reason: local.reason };
        if (local.kind === 'yes') return { kind: 'class', addressClass: 'local' };
        return firstOf(others, plain(domain), 0);
      }),
    classifyForeign: (domain) => firstOf(others, plain(domain), 0),
  });
}

function firstOf(lists: readonly Named[], domain: string, at: number): MaybePromise<ClassAnswer> {
  const named = lists[at];
  if (!named) return { kind: 'class', addressClass: 'default' };
  return after(named.list.match(domain), (match): MaybePromise<ClassAnswer> => {
    if (match.kind === 'error') return { kind: 'retry', reason: match.reason };
    if (match.kind === 'yes') return { kind: 'class', addressClass: named.addressClass };
    return firstOf(lists, domain, at + 1);
  });
}

const plain = (domain: string): string => domain.toLowerCase().replace(/\.$/, '');
