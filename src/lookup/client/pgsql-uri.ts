/**
 * Where a PostgreSQL server is: `host`, `inet:host:port`, `unix:/directory`, or a connection URI.
 *
 *   postgresql://user:password@host:port/dbname?sslmode=verify-full&sslrootcert=/ca.pem
 *
 * @see pgsql_table(5) "hosts"; PostgreSQL, "Connection URIs"
 */
import { err, ok, type Result } from '../../util/result.ts';

/** As libpq: prefer tries TLS and does without; only verify-ca and verify-full check anything. */
export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

export type PgsqlHost = {
  readonly kind: 'unix' | 'inet' | 'uri';
  /** A name, an address, or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly sslMode: SslMode;
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly sslRootCert?: string;
  readonly sslCert?: string;
  readonly sslKey?: string;
  readonly application?: string;
  readonly options?: string;
};

const PORT = 5432;
const MODES: readonly SslMode[] = [
  'disable',
  'allow',
  'prefer',
  'require',
  'verify-ca',
  'verify-full',
];

/** One word of `hosts`. Commas end a word, so that a URI names one host, as in Postfix. */
export function parsePgsqlHost(word: string): Result<PgsqlHost, string> {
  if (/^postgres(?:ql)?:\/\//i.test(word)) return parseUri(word);
  const text = word.replace(/^(?:unix|inet):/, '');
  if (text.startsWith('/')) {
    return ok({ kind: 'unix', host: text, port: PORT, sslMode: 'disable' });
  }
  const at = hostAndPort(text);
  if (!at) return err(`bad host "${word}" in hosts; write host, host:port or unix:/directory`);
  return ok({ kind: 'inet', ...at, sslMode: 'prefer' });
}

function hostAndPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? /^([^:]*)(?::(\d+))?$/.exec(text);
  if (!match) return undefined;
  const [, host = '', port] = match;
  return { host: host === '' ? 'localhost' : host, port: port ? Number(port) : PORT };
}

function parseUri(uri: string): Result<PgsqlHost, string> {
  const shown = uri.replace(/:[^:@/]*@/, ':...@').replace(/password=[^&]*/, 'password=...');
  const match = /^\w+:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(uri);
  if (!match) return err(`bad URI "${shown}" in hosts`);
  const [, login = '', place = '', path = '', query = ''] = match;
  const settings = new Map<string, string>();
  try {
    const [user = '', ...password] = login.split(':');
    if (user) settings.set('user', decodeURIComponent(user));
    if (password.length > 0) settings.set('password', decodeURIComponent(password.join(':')));
    if (path) settings.set('dbname', decodeURIComponent(path));
    for (const [name, value] of new URLSearchParams(query)) settings.set(name, value);
    const at = hostAndPort(settings.get('host') ?? place);
    const port = Number(settings.get('port') ?? at?.port);
    if (!at || !(port > 0)) return err(`bad host in URI "${shown}"`);
    return withSettings(decodeURIComponent(at.host), port, settings, shown);
  } catch (error) {
    return err(`bad URI "${shown}" in hosts: ${error instanceof Error ? error.message : error}`);
  }
}

/** Parameter of a URI: where it goes. The first group is dealt with before. */
const KNOWN: ReadonlyMap<string, keyof PgsqlHost | undefined> = new Map([
  ['host', undefined],
  ['port', undefined],
  ['sslmode', undefined],
  ['user', 'user'],
  ['password', 'password'],
  ['dbname', 'database'],
  ['sslrootcert', 'sslRootCert'],
  ['sslcert', 'sslCert'],
  ['sslkey', 'sslKey'],
  ['application_name', 'application'],
  ['options', 'options'],
]);

function withSettings(
  host: string,
  port: number,
  settings: ReadonlyMap<string, string>,
  shown: string,
): Result<PgsqlHost, string> {
  const strange = [...settings.keys()].find((name) => !KNOWN.has(name));
  if (strange !== undefined) {
    return err(`URI "${shown}": ${strange} is not supported; leave it out`);
  }
  const sslMode = MODES.find((mode) => mode === (settings.get('sslmode') ?? 'prefer'));
  if (!sslMode) return err(`URI "${shown}": bad sslmode; write one of ${MODES.join(' ')}`);
  const more = [...settings].flatMap(([name, value]) => {
    const field = KNOWN.get(name);
    return field ? [[field, value] as const] : [];
  });
  const isLocal = host.startsWith('/');
  return ok({
    ...Object.fromEntries(more),
    kind: 'uri',
    host,
    port,
    sslMode: isLocal ? 'disable' : sslMode,
  });
}

export const pgsqlHostName = ({ host, port }: PgsqlHost): string =>
  host.startsWith('/') ? `unix:${host}` : `${host}:${port}`;
