/**
 * chase_referrals: parts of an answer that other servers hold. They are asked anonymously, as
 * OpenLDAP's library does, with the TLS options of the table.
 *
 * Unlike Postfix: only references beside entries are followed. A referral instead of an answer
 * (result code 10) fails the lookup, because the package does not tell where it leads.
 */
import { ok, type Result } from '../../util/result.ts';
import {
  connectLdap,
  type LdapAnswer,
  type LdapLogin,
  type LdapSearch,
  type loadLdap,
} from '../client/ldap.ts';
import { parseLdapUrl } from '../client/ldap-url.ts';
import { type Failure, refused } from '../client/pool.ts';
import type { Searcher } from './ldap-values.ts';

/** OpenLDAP's default. */
const MAX_HOPS = 5;

export function chasing(
  searcher: Searcher,
  driver: ReturnType<typeof loadLdap>,
  login: LdapLogin,
): Searcher {
  const { bind: _unused, ...anonymous } = login;
  return { search: (request) => search(searcher, request, 0) };

  async function search(
    where: Searcher,
    request: LdapSearch,
    hops: number,
  ): Promise<Result<LdapAnswer, Failure>> {
    const answer = await where.search(request);
    if (!answer.ok || answer.value.referrals.length === 0) return answer;
    if (hops >= MAX_HOPS) return refused(`more than ${MAX_HOPS} referrals in a row`);
    const entries = [...answer.value.entries];
    for (const referral of answer.value.referrals) {
      const more = await visit(referral, request, hops);
      if (!more.ok) return more;
      entries.push(...more.value.entries);
    }
    return ok({ entries, referrals: [], hasBase: true });
  }

  async function visit(
    referral: string,
    request: LdapSearch,
    hops: number,
  ): Promise<Result<LdapAnswer, Failure>> {
    const url = parseLdapUrl(referral);
    if (!url.ok) return refused(url.error);
    const { server, base, scope, filter } = url.value;
    if (!server) return refused(`referral without a server: ${referral}`);
    const made = await connectLdap(driver, server, { ...anonymous, startTls: false });
    if (!made.ok) return refused(`referral ${referral}: ${made.error}`);
    try {
      const next = {
        ...request,
        base: base || request.base,
        scope: scope ?? request.scope,
        filter: filter ?? request.filter,
      };
      return await search(made.value, next, hops + 1);
    } finally {
      made.value.close();
    }
  }
}
