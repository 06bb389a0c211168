/**
 * LDAP URLs, and the words of server_host: `host`, `host:port`, `ldap://`, `ldaps://`, `ldapi://`.
 *
 *   ldap://host:port/base?attribute,attribute?scope?(filter)
 *
 * @see RFC 4516, ldap_table(5)
 */
import { err, ok, type Result } from '../../util/result.ts';
import type { LdapScope, LdapServer } from './ldap.ts';

export type LdapUrl = {
  /** Undefined: the server that is being asked. */
  readonly server: LdapServer | undefined;
  readonly base: string;
  /** Empty: all. */
  readonly attributes: readonly string[];
  readonly scope: LdapScope | undefined;
  readonly filter: string | undefined;
};

const URL_FORM =
  /^(ldap|ldaps|ldapi):\/\/([^/?]*)(?:\/([^?]*)(?:\?([^?]*)(?:\?([^?]*)(?:\?([^?]*)(?:\?.*)?)?)?)?)?$/i;

export const isLdapUrl = (text: string): boolean => /^ldap[si]?:\/\//i.test(text);

export function parseLdapUrl(text: string): Result<LdapUrl, string> {
  const match = URL_FORM.exec(text);
  if (!match) return err(`malformed URL ${text}`);
  const [, scheme = '', place = '', base = '', attributes = '', scope = '', filter = ''] = match;
  try {
    const server = serverOf(scheme.toLowerCase(), place);
    if (server === 'bad') return err(`malformed URL ${text}: bad server`);
    const found = (['base', 'one', 'sub'] as const).find((each) => each === scope.toLowerCase());
    if (scope !== '' && !found) return err(`malformed URL ${text}: bad scope "${scope}"`);
    return ok({
      server,
      base: decodeURIComponent(base),
      attributes: attributes === '' ? [] : attributes.split(',').map(decodeURIComponent),
      scope: found,
      filter: filter === '' ? undefined : decodeURIComponent(filter),
    });
  } catch {
    return err(`malformed URL ${text}: bad % escape`);
  }
}

function serverOf(scheme: string, place: string): LdapServer | undefined | 'bad' {
  if (scheme === 'ldapi') {
    return { kind: 'ldapi', path: decodeURIComponent(place) || '/var/run/slapd/ldapi' };
  }
  if (place === '') return undefined;
  const kind = scheme === 'ldaps' ? 'ldaps' : 'ldap';
  const [, v6, name = '', port] = /^(?:\[([^\]]+)\]|([^:[\]]*))(?::(\d+))?$/.exec(place) ?? [];
  const host = v6 ?? name;
  if (host === '') return 'bad';
  return { kind, host, port: port ? Number(port) : kind === 'ldaps' ? 636 : 389 };
}

/** One word of server_host. */
export function parseLdapServer(word: string, defaultPort: number): Result<LdapServer, string> {
  const hasPort = /^(?:\[[^\]]+\]|[^:]*):\d+$/.test(word);
  const text = isLdapUrl(word) ? word : `ldap://${word}${hasPort ? '' : `:${defaultPort}`}`;
  const url = parseLdapUrl(text);
  if (!url.ok) return err(`error parsing "${word}" in server_host; write host, host:port or a URL`);
  return ok(url.value.server ?? { kind: 'ldap', host: 'localhost', port: defaultPort });
}
