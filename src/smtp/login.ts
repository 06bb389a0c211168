/** smtp_sasl_password_maps: the login for a next hop, or else for the host behind it. */
import type { Maps } from '../lookup/maps.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Credentials } from './connect.ts';

export type PasswordLookup = (
  nexthop: string,
  host: string,
) => Promise<Result<Credentials | undefined, string>>;

const NONE: Promise<Result<undefined, string>> = Promise.resolve(ok(undefined));

/** Without tables nobody logs in. The next hop is asked as written, then the host name. */
export function passwordLookup(maps: Pick<Maps, 'find'> | undefined): PasswordLookup {
  if (!maps) return () => NONE;
  return async (nexthop, host) => {
    for (const key of nexthop === host ? [host] : [nexthop, host]) {
      const answer = await maps.find(key);
      if (answer.kind === 'found') return ok(parseLogin(answer.value));
      if (answer.kind !== 'absent') return err(`SASL password lookup error: ${answer.reason}`);
    }
    return ok(undefined);
  };
}

/** `user:password`; an empty password is one too. */
export function parseLogin(value: string): Credentials {
  const colon = value.indexOf(':');
  return colon < 0
    ? { user: value, pass: '' }
    : { user: value.slice(0, colon), pass: value.slice(colon + 1) };
}
