/**
 * One connection to a MySQL or MariaDB server: our module around the package mysql2.
 *
 * Texts go out and come back as UTF-8, whatever the column holds; numbers and dates as the server
 * writes them.
 */
import { createRequire } from 'node:module';
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import type { Connection as MysqlClient, QueryError, TypeCastField } from 'mysql2';
import { ok, type Result } from '../../util/result.ts';
import type { SqlAnswer } from '../types/sql.ts';
import type { SqlSession } from '../types/sql-quotes.ts';
import {
  answered,
  type Connection,
  type Failure,
  lost,
  reasonOf,
  refused,
  withDeadline,
} from './pool.ts';

export type MysqlHost =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'inet'; readonly host: string; readonly port: number };

export type MysqlTls = {
  readonly ca?: string[];
  readonly cert?: string;
  readonly key?: string;
  readonly ciphers?: string;
  /** The certificate must come from `ca`. */
  readonly verifyChain: boolean;
  /** And be for the name of the host. */
  readonly verifyName: boolean;
};

export type MysqlLogin = {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly charset: string;
  readonly tls?: MysqlTls;
  readonly timeoutMs: number;
};

export interface MysqlConnection extends Connection {
  readonly session: SqlSession;
  query(text: string): Promise<Result<SqlAnswer, Failure>>;
}

type Driver = Pick<typeof import('mysql2'), 'createConnection'>;

/** Loaded by the first table that needs it, while the process may still read it. */
export function loadMysql(): Driver {
  return createRequire(import.meta.url)('mysql2');
}

export const mysqlHostName = (host: MysqlHost): string =>
  host.kind === 'unix' ? `unix:${host.path}` : `${host.host}:${host.port}`;

export async function connectMysql(
  driver: Driver,
  host: MysqlHost,
  login: MysqlLogin,
): Promise<Result<MysqlConnection, string>> {
  const socket =
    host.kind === 'unix' ? connectSocket(host.path) : connectSocket(host.port, host.host);
  socket.setNoDelay(true);
  socket.unref();
  const client = driver.createConnection({
    stream: () => socket,
    ...(host.kind === 'unix'
      ? { socketPath: host.path }
      : { host: certified(host.host), port: host.port }),
    user: login.user,
    password: login.password,
    database: login.database,
    charset: 'utf8mb4',
    connectTimeout: 0,
    multipleStatements: false,
    flags: ['-LOCAL_FILES'],
    rowsAsArray: true,
    typeCast: (field: TypeCastField) => field.buffer()?.toString('utf8') ?? null,
    ...(login.tls ? { ssl: { ...login.tls, ...verification(login.tls) } } : {}),
  });
  client.on('error', () => socket.destroy());
  const greeted = await withDeadline(greet(client), login.timeoutMs, () =>
    lost(`no answer within ${login.timeoutMs / 1000} s`, true),
  );
  if (!greeted.ok) {
    client.destroy();
    socket.destroy();
    return { ok: false, error: greeted.error.reason };
  }
  const connection = wrap(client, socket, login.timeoutMs);
  const prepared = await prepare(connection, login.charset);
  if (prepared.ok) return ok(prepared.value);
  connection.close();
  return { ok: false, error: prepared.error.reason };
}

/**
 * The package checks the certificate of an address as if it were for `localhost`. With a dot at
 * its end it is no address to the package, and still one to the check of Node. (The socket is ours:
 * nobody connects to this name.) test/lookup/remote/tls.test.ts holds the package to it.
 */
const certified = (host: string): string => (isIP(host) > 0 ? `${host}.` : host);

const verification = ({ verifyChain, verifyName }: MysqlTls) => ({
  rejectUnauthorized: verifyChain,
  verifyIdentity: verifyName,
});

function greet(client: MysqlClient): Promise<Result<true, Failure>> {
  return new Promise((resolve) => {
    client.connect((error) => resolve(error ? lost(reasonOf(error)) : answered(true)));
  });
}

const UNKNOWN_SESSION: SqlSession = { backslash: true, ansiQuotes: false };

/** The server escapes as its mode says; what it may be is the administrator's choice. */
async function prepare(
  connection: MysqlConnection,
  charset: string,
): Promise<Result<MysqlConnection, Failure>> {
  if (charset.toLowerCase() !== 'utf8mb4') {
    const named = await connection.query(`SET NAMES '${charset}'`);
    if (!named.ok) return named;
  }
  const mode = await connection.query('SELECT @@SESSION.sql_mode');
  if (!mode.ok) return mode;
  const modes = (mode.value.rows[0]?.[0] ?? '').toUpperCase().split(',');
  const session = {
    backslash: !modes.includes('NO_BACKSLASH_ESCAPES'),
    ansiQuotes: modes.includes('ANSI_QUOTES') || modes.includes('ANSI'),
  };
  return ok({
    session,
    query: connection.query,
    close: connection.close,
    get isOpen() {
      return connection.isOpen;
    },
  });
}

function wrap(client: MysqlClient, socket: Socket, timeoutMs: number): MysqlConnection {
  let isOpen = true;
  const close = (): void => {
    isOpen = false;
    client.destroy();
    socket.destroy();
  };
  socket.once('close', close);
  const query = (text: string): Promise<Result<SqlAnswer, Failure>> => {
    const answer = new Promise<Result<SqlAnswer, Failure>>((resolve) => {
      client.query<never[]>(text, (error, result: unknown) => {
        resolve(error ? failureOf(error) : answerOf(result));
      });
    });
    return withDeadline(answer, timeoutMs, () => {
      close();
      return lost(`no answer within ${timeoutMs / 1000} s`, true);
    });
  };
  return {
    session: UNKNOWN_SESSION,
    query,
    close,
    get isOpen() {
      return isOpen;
    },
  };
}

/** Shutdown and killed connections come as answers of the server, but end the connection. */
const ENDING: ReadonlySet<number> = new Set([1053, 1077, 1080, 1927, 3169, 4031]);

function failureOf(error: QueryError): Result<never, Failure> {
  const ends = error.fatal || error.errno === undefined || ENDING.has(error.errno);
  return ends ? lost(reasonOf(error)) : refused(reasonOf(error));
}

/** Rows as arrays; a call gives its result sets in an array, with a header at the end. */
function answerOf(result: unknown): Result<SqlAnswer, Failure> {
  if (!Array.isArray(result)) return answered({ rows: [], hasResultSet: false });
  const isCall = result.some((each) => !Array.isArray(each));
  const sets: (string | null)[][][] = isCall ? result.filter(Array.isArray) : [result];
  if (sets.length > 1) return refused('multiple result sets returning data are not supported');
  return answered({ rows: sets[0] ?? [], hasResultSet: sets.length === 1 });
}
