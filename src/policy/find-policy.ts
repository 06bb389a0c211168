/**
 * Which sending policy a session is under: `sending_policy_maps`, then `sending_policy_default`.
 *
 *   with a login      user@domain, user (domain of ours only), %group ..., @domain, *
 *   without           the client's address; only a policy with auth=none counts
 *
 * A login without a domain is `user@$myorigin`. What was asked is kept step by step, so that
 * `postern explain` can tell it again.
 */
import type { Lookup } from '../lookup/table.ts';
import { domainOf, splitAddress } from '../mail/address.ts';
import type { Session } from '../mail/stages.ts';
import type { SendingPolicy } from './sending-policy.ts';

type MaybePromise<T> = T | Promise<T>;

/** The part of lookup/maps.ts that is needed here. */
export type PolicyMaps = {
  readonly tables: readonly { readonly type: string; readonly name: string }[];
  readonly isEmpty: boolean;
  find(key: string): MaybePromise<Lookup>;
  findPartial(key: string): MaybePromise<Lookup>;
};

export type FindParts = {
  readonly maps: PolicyMaps;
  readonly policies: ReadonlyMap<string, SendingPolicy>;
  /** sending_policy_default */
  readonly defaultName: string;
  readonly origin: string;
  /** Whether `user` alone may be asked; undefined when a table of mydestination cannot answer. */
  readonly isLocal: (domain: string) => MaybePromise<boolean | undefined>;
};

export type Found =
  /** No login and no policy for the address: sending policies do not apply. */
  | { readonly kind: 'none' }
  | {
      readonly kind: 'policy';
      readonly user: string;
      readonly policy: SendingPolicy;
      readonly credential: string;
      readonly steps: readonly string[];
    }
  /** A login that no table names, and no default. */
  | { readonly kind: 'unnamed'; readonly user: string; readonly steps: readonly string[] }
  | {
      readonly kind: 'undefined';
      readonly user: string;
      readonly name: string;
      readonly credential: string;
      readonly steps: readonly string[];
    }
  | {
      readonly kind: 'retry' | 'misconfigured';
      readonly user: string;
      readonly reason: string;
      readonly steps: readonly string[];
    };

export async function findPolicy(
  parts: FindParts,
  session: Session,
  groups: readonly string[],
): Promise<Found> {
  const login = session.login?.username;
  if (login === undefined) return findByAddress(parts, session.peer.address);
  const user = login.includes('@') ? login : `${login}@${parts.origin}`;
  const { local } = splitAddress(user);
  const domain = domainOf(user);
  const isLocal = await parts.isLocal(domain);
  if (isLocal === undefined) {
    return { kind: 'retry', user, reason: 'mydestination: lookup error', steps: [] };
  }
  const keys = [
    { key: user, isWhole: true },
    ...(isLocal ? [{ key: local, isWhole: false }] : []),
    ...groups.map((group) => ({ key: `%${group}`, isWhole: false })),
    { key: `@${domain}`, isWhole: false },
    { key: '*', isWhole: false },
  ];
  const steps: string[] = [];
  for (const { key, isWhole } of keys) {
    const answer = await (isWhole ? parts.maps.find(key) : parts.maps.findPartial(key));
    steps.push(`${tableNames(parts)} ${key}: ${show(answer)}`);
    if (answer.kind === 'absent') continue;
    if (answer.kind !== 'found') return { kind: answer.kind, user, reason: answer.reason, steps };
    return named(parts, user, answer.value.trim(), `${tableNames(parts)} ${key}`, steps);
  }
  if (parts.defaultName === '') {
    steps.push('sending_policy_default: empty');
    return { kind: 'unnamed', user, steps };
  }
  steps.push(`sending_policy_default: ${parts.defaultName}`);
  return named(parts, user, parts.defaultName, 'sending_policy_default', steps);
}

async function findByAddress(parts: FindParts, address: string): Promise<Found> {
  if (parts.maps.isEmpty || address === '') return { kind: 'none' };
  const answer = await parts.maps.find(address);
  if (answer.kind === 'absent') return { kind: 'none' };
  const credential = `${tableNames(parts)} ${address}`;
  const steps = [`${credential}: ${show(answer)}`];
  const user = `[${address}]`;
  if (answer.kind !== 'found') return { kind: answer.kind, user, reason: answer.reason, steps };
  const found = named(parts, user, answer.value.trim(), credential, steps);
  // A pattern table may answer an address with a policy of users: it needs their login.
  return found.kind === 'policy' && !found.policy.withoutLogin ? { kind: 'none' } : found;
}

function named(
  parts: FindParts,
  user: string,
  name: string,
  credential: string,
  steps: readonly string[],
): Found {
  const policy = parts.policies.get(name);
  if (!policy) return { kind: 'undefined', user, name, credential, steps };
  return { kind: 'policy', user, policy, credential, steps };
}

const tableNames = ({ maps }: FindParts): string =>
  maps.tables.map(({ type, name }) => `${type}:${name}`).join(', ') || 'sending_policy_maps';

const show = (answer: Lookup): string =>
  answer.kind === 'found' ? answer.value : answer.kind === 'absent' ? 'not found' : answer.reason;
