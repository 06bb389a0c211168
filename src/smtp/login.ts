/** smtp_sasl_password_maps: the login for a host, or else for the next hop that led to it. */
import type { Maps } from '../lookup/maps.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Credentials } from './connect.ts';

export type PasswordLookup = (
  nexthop: string,
  host: string,
) => Promise<Result<Credentials | undefined, string>>;

const NONE: Promise<Result<undefined, string>> = Promise.resolve(ok(undefined));

/** Without tables nobody logs in. The host is asked for first, then the next hop as written. */
export function passwordLookup(maps: Pick<Maps, 'find'> | undefined): PasswordLookup {
  if (!maps) return () => NONE;
  return async (nexthop, host) => {
    for (const key of nexthop === host ? [host] : [host, nexthop]) {
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
