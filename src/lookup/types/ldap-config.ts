/**
 * The parameters of an ldap: table.
 *
 * @see ldap_table(5)
 */
import type { ConnectionOptions } from 'node:tls';
import type { LdapDereference, LdapLogin, LdapScope, LdapServer } from '../client/ldap.ts';
import { parseLdapServer } from '../client/ldap-url.ts';
import { readAuthorities, readPem } from '../client/pem.ts';
import { type DomainFilter, domainFilter, type OpenTable } from './remote-domain.ts';
import type { Settings } from './remote-settings.ts';
import { isDynamic, type Needs, needsOf, parseTemplate, type Template } from './remote-template.ts';

export type LdapConfig = {
  readonly name: string;
  readonly servers: readonly LdapServer[];
  readonly login: LdapLogin;
  readonly base: Template;
  readonly filter: Template;
  readonly resultFormat: Template;
  readonly needs: Needs;
  readonly domain: DomainFilter;
  readonly scope: LdapScope;
  readonly terminal: readonly string[];
  readonly leaf: readonly string[];
  readonly plain: readonly string[];
  readonly special: readonly string[];
  readonly expansionLimit: number;
  readonly sizeLimit: number;
  readonly recursionLimit: number;
  readonly chaseReferrals: boolean;
  /** A base made from the key need not exist. */
  readonly hasDynamicBase: boolean;
};

const DEREFERENCE: readonly LdapDereference[] = ['never', 'search', 'find', 'always'];

/** Faults and warnings are left in the settings and told to `warn`. */
export function ldapConfig(
  settings: Settings,
  openTable: OpenTable,
  warn: (text: string) => void,
): LdapConfig | undefined {
  const servers = readServers(settings);
  const login = readLogin(settings, servers, warn);
  const base = parseTemplate(settings.text('search_base', ''));
  const filter = parseTemplate(settings.text('query_filter', '(mailacceptinggeneralid=%s)'));
  const format = settings.optional('result_format') ?? settings.required('result_filter', '%s');
  const resultFormat = parseTemplate(format);
  const domain = domainFilter(settings.text('domain', ''), openTable);
  const expansionLimit = settings.number('expansion_limit', 0, 0);
  const rest = {
    scope: readScope(settings, warn),
    terminal: settings.list('terminal_result_attribute'),
    leaf: settings.list('leaf_result_attribute'),
    plain: settings.list('result_attribute', 'maildrop'),
    special: settings.list('special_result_attribute'),
    expansionLimit,
    sizeLimit: settings.number('size_limit', expansionLimit, 0),
    recursionLimit: settings.number('recursion_limit', 1000, 1),
    chaseReferrals: settings.bool('chase_referrals', false),
  };
  warnIgnored(settings, warn);
  if (!base.ok) settings.fault(`search_base: ${base.error}`);
  if (!filter.ok) settings.fault(`query_filter: ${filter.error}`);
  if (!resultFormat.ok) settings.fault(`result_format: ${resultFormat.error}`);
  if (!domain.ok) settings.fault(domain.error);
  if (!base.ok || !filter.ok || !resultFormat.ok || !domain.ok) return undefined;
  if (!isDynamic(filter.value)) {
    warn(`Fixed query_filter ${filter.value.source} is probably useless`);
  }
  return {
    name: settings.name,
    servers,
    login,
    base: base.value,
    filter: filter.value,
    resultFormat: resultFormat.value,
    needs: needsOf([base.value, filter.value], [resultFormat.value]),
    domain: domain.value,
    hasDynamicBase: isDynamic(base.value),
    ...rest,
  };
}

function readServers(settings: Settings): LdapServer[] {
  const port = settings.number('server_port', 389, 0);
  const words = settings.list('server_host', 'localhost');
  if (words.length === 0) settings.fault('server_host is empty; name a server');
  return words.flatMap((word) => {
    const server = parseLdapServer(word, port);
    if (server.ok) return [server.value];
    settings.fault(server.error);
    return [];
  });
}

function readScope(settings: Settings, warn: (text: string) => void): LdapScope {
  const value = settings.text('scope', 'sub').toLowerCase();
  const scope = (['base', 'one', 'sub'] as const).find((each) => each === value);
  if (!scope) warn(`Unrecognized value ${value} specified for scope; using sub`);
  return scope ?? 'sub';
}

function readLogin(
  settings: Settings,
  servers: readonly LdapServer[],
  warn: (text: string) => void,
): LdapLogin {
  const version = settings.number('version', 3, 2);
  if (version > 3) warn(`Unknown version ${version}, using 3`);
  const bind = settings.text('bind', 'yes').toLowerCase();
  if (bind === 'sasl') {
    settings.fault('bind = sasl is not supported; write bind = simple with bind_dn and bind_pw');
  } else if (!['yes', 'simple', 'no', 'none'].includes(bind)) {
    settings.fault(`unsupported parameter value: bind = ${bind}; write simple or none`);
  }
  const dn = settings.text('bind_dn', '');
  const password = settings.text('bind_pw', '');
  const binds = bind === 'yes' || bind === 'simple';
  if (binds && dn !== '' && password === '') {
    settings.fault('bind_dn without bind_pw would be an anonymous bind; set bind_pw');
  }
  const dereference = settings.number('dereference', 0, 0);
  if (dereference > 3) warn(`Unrecognized value ${dereference} specified for dereference; using 0`);
  const startTls = settings.bool('start_tls', false);
  return {
    ...(binds ? { bind: { dn, password } } : {}),
    startTls,
    tls: readTls(settings, startTls || servers.some(({ kind }) => kind === 'ldaps')),
    dereference: DEREFERENCE[dereference] ?? 'never',
    timeoutMs: settings.number('timeout', 10, 1) * 1000,
  };
}

function readTls(settings: Settings, isUsed: boolean): ConnectionOptions {
  const require = settings.bool('tls_require_cert', false);
  const caFile = settings.optional('tls_ca_cert_file');
  const caDirectory = settings.optional('tls_ca_cert_dir');
  const certFile = settings.optional('tls_cert');
  const keyFile = settings.optional('tls_key');
  const ciphers = settings.optional('tls_cipher_suite');
  if (!isUsed) return {};
  const ca = readAuthorities(caFile, caDirectory);
  if (!ca.ok) settings.fault(ca.error);
  const pem = (path: string | undefined): string | undefined => {
    if (path === undefined) return undefined;
    const text = readPem(path);
    if (!text.ok) settings.fault(text.error);
    return text.ok ? text.value : undefined;
  };
  const [cert, key] = [pem(certFile), pem(keyFile)];
  return {
    rejectUnauthorized: require,
    ...(ca.ok && ca.value.length > 0 ? { ca: ca.value } : {}),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(ciphers === undefined ? {} : { ciphers }),
  };
}

/** What Postfix or its libraries use and we have no use for. */
function warnIgnored(settings: Settings, warn: (text: string) => void): void {
  const names = ['cache', 'cache_expiry', 'cache_size', 'debuglevel', 'tls_random_file'];
  for (const name of [...names, 'sasl_mechs', 'sasl_realm', 'sasl_authz_id', 'sasl_minssf']) {
    const value = settings.optional(name);
    if (value !== undefined && !/^(0|no)$/i.test(value)) warn(`ignoring ${name}`);
  }
}
