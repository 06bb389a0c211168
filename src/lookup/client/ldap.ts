/**
 * One connection to a directory: our module around the package ldapts, LDAP version 3 only.
 *
 * The package would connect again by itself, without TLS or bind: it gets one socket, open already,
 * and an error instead of a second one. It also takes a list that the server cut short for a whole
 * one, and knows no alias dereferencing: `tune()` mends both.
 *
 * An empty password never reaches a bind: the server would take it for an anonymous one.
 */
import { createRequire } from 'node:module';
import { connect as connectSocket, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { Client, Entry } from 'ldapts';
import { err, ok, type Result } from '../../util/result.ts';
import { answered, type Connection, type Failure, lost, reasonOf, withDeadline } from './pool.ts';

export type LdapServer =
  | { readonly kind: 'ldapi'; readonly path: string }
  | { readonly kind: 'ldap' | 'ldaps'; readonly host: string; readonly port: number };

export type LdapScope = 'base' | 'one' | 'sub';
export type LdapDereference = 'never' | 'search' | 'find' | 'always';

export type LdapLogin = {
  /** No bind at all, or a simple one; without a DN it is anonymous. */
  readonly bind?: { readonly dn: string; readonly password: string };
  readonly startTls: boolean;
  readonly tls: ConnectionOptions;
  readonly dereference: LdapDereference;
  readonly timeoutMs: number;
};

export type LdapSearch = {
  readonly base: string;
  readonly scope: LdapScope;
  readonly filter: string;
  readonly attributes: readonly string[];
  /** 0: no limit of ours. */
  readonly sizeLimit: number;
};

/** Attributes in the order the server sent them. */
export type LdapEntry = {
  readonly dn: string;
  readonly attributes: readonly (readonly [name: string, values: readonly string[]])[];
};

export type LdapAnswer = {
  readonly entries: readonly LdapEntry[];
  /** URLs of other servers that hold parts of the answer. */
  readonly referrals: readonly string[];
  /** noSuchObject: the base does not exist. */
  readonly hasBase: boolean;
};

export interface LdapConnection extends Connection {
  search(request: LdapSearch): Promise<Result<LdapAnswer, Failure>>;
}

type Driver = Pick<typeof import('ldapts'), 'Client'>;

/** Loaded by the first table that needs it, while the process may still read it. */
export function loadLdap(): Driver {
  return createRequire(import.meta.url)('ldapts');
}

export const ldapServerName = (server: LdapServer): string =>
  server.kind === 'ldapi'
    ? `ldapi://${encodeURIComponent(server.path)}`
    : `${server.kind}://${server.host.includes(':') ? `[${server.host}]` : server.host}:${server.port}`;

export async function connectLdap(
  driver: Driver,
  server: LdapServer,
  login: LdapLogin,
): Promise<Result<LdapConnection, string>> {
  const { timeoutMs } = login;
  const socket = dial(server, login.tls);
  const opened = await withDeadline(isOpenSocket(socket, server), timeoutMs, () =>
    lost(`no answer within ${timeoutMs / 1000} s`, true),
  );
  if (!opened.ok) {
    socket.destroy();
    return err(opened.error.reason);
  }
  socket.unref();
  let given = false;
  const client = new driver.Client({
    url: 'ldap://localhost',
    timeout: timeoutMs,
    createConnection: () => {
      if (given) throw new Error('connection lost');
      given = true;
      return socket;
    },
  });
  tune(client, login.dereference);
  const prepared = await prepare(client, server, login);
  if (!prepared.ok) {
    socket.destroy();
    return prepared;
  }
  return ok(wrap(client, socket));
}

function dial(server: LdapServer, tls: ConnectionOptions): Socket {
  if (server.kind === 'ldapi') return connectSocket(server.path);
  if (server.kind === 'ldap') return connectSocket(server.port, server.host);
  return connectTls({ ...tls, host: server.host, port: server.port, ...nameOf(server.host) });
}

/** SNI takes names only. */
const nameOf = (host: string) => (/^[\d.]+$|:/.test(host) ? {} : { servername: host });

function isOpenSocket(socket: Socket, { kind }: LdapServer): Promise<Result<true, Failure>> {
  return new Promise((resolve) => {
    socket.once(kind === 'ldaps' ? 'secureConnect' : 'connect', () => resolve(answered(true)));
    socket.once('error', (error) => resolve(lost(reasonOf(error))));
  });
}

async function prepare(
  client: Client,
  server: LdapServer,
  { bind, startTls, tls }: LdapLogin,
): Promise<Result<true, string>> {
  try {
    if (startTls) {
      const host = server.kind === 'ldapi' ? 'localhost' : server.host;
      await client.startTLS({ ...tls, host, ...nameOf(host) });
    }
  } catch (error) {
    return err(`Unable to set STARTTLS: ${reasonOf(error)}`);
  }
  if (!bind) return ok(true);
  const shown = bind.dn === '' ? 'empty or implicit' : bind.dn;
  if (bind.dn !== '' && bind.password === '') {
    return err(`Unable to bind with dn ${shown}: the password is empty; set bind_pw`);
  }
  try {
    await client.bind(bind.dn, bind.password);
    return ok(true);
  } catch (error) {
    return err(`Unable to bind with dn ${shown}: ${reasonOf(error)}`);
  }
}

const SIZE_LIMIT_EXCEEDED = 4;
const NO_SUCH_OBJECT = 32;

class SizeLimitError extends Error {}

/** The types of the package hide `_send`; test/lookup/remote/ldap.test.ts holds it to this. */
function tune(client: Client, dereference: LdapDereference): void {
  const send: unknown = Reflect.get(client, '_send');
  if (typeof send !== 'function') throw new Error('ldapts has no _send any more');
  Reflect.set(client, '_send', async (message: object) => {
    if ('derefAliases' in message) message.derefAliases = dereference;
    const result: unknown = await Reflect.apply(send, client, [message]);
    if (typeof result === 'object' && result !== null && 'status' in result) {
      if (result.status === SIZE_LIMIT_EXCEEDED) throw new SizeLimitError('Size limit exceeded');
    }
    return result;
  });
}

function wrap(client: Client, socket: Socket): LdapConnection {
  let isOpen = true;
  const close = (): void => {
    isOpen = false;
    socket.destroy();
  };
  socket.once('close', () => {
    isOpen = false;
  });
  const search = async (request: LdapSearch): Promise<Result<LdapAnswer, Failure>> => {
    try {
      const { searchEntries, searchReferences } = await client.search(request.base, {
        scope: request.scope,
        filter: rawUtf8(request.filter),
        attributes: [...request.attributes],
        sizeLimit: request.sizeLimit,
        timeLimit: 0,
      });
      const entries = searchEntries.map(entryOf);
      return answered({ entries, referrals: searchReferences, hasBase: true });
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === NO_SUCH_OBJECT) return answered({ entries: [], referrals: [], hasBase: false });
      const isAnswer = typeof code === 'number' || error instanceof SizeLimitError;
      if (isAnswer && isOpen) return err({ kind: 'refused', reason: reasonOf(error) });
      close();
      return lost(reasonOf(error), /timed out/.test(reasonOf(error)));
    }
  };
  return {
    search,
    close,
    get isOpen() {
      return isOpen;
    },
  };
}

function entryOf({ dn, ...rest }: Entry): LdapEntry {
  const attributes = Object.entries(rest).map(([name, value]) => {
    const values = Array.isArray(value) ? value : [value];
    return [name, values.map((each) => each.toString())] as const;
  });
  return { dn, attributes: attributes.filter(([, values]) => values.length > 0) };
}

/** The package reads `\c3\a9` as two characters: such escapes of UTF-8 become the character. */
function rawUtf8(filter: string): string {
  return filter.replaceAll(/(?:\\[89a-f][0-9a-f])+/gi, (escapes) => {
    const text = Buffer.from(escapes.replaceAll('\\', ''), 'hex').toString('utf8');
    return text.includes('\ufffd') ? escapes : text;
  });
}

/**
 * Whether a directory takes the password of a DN. One connection for each question: a bind changes
 * who the connection is.
 */
export async function checkPassword(
  driver: Driver,
  server: LdapServer,
  login: LdapLogin,
  dn: string,
  password: string,
): Promise<'yes' | 'no' | { readonly reason: string }> {
  if (dn === '' || password === '') return 'no';
  const made = await connectLdap(driver, server, { ...login, bind: { dn, password } });
  if (made.ok) {
    made.value.close();
    return 'yes';
  }
  return /Code: 0x31\b/.test(made.error) ? 'no' : { reason: made.error };
}
