/**
 * One connection to a PostgreSQL server: our module around the package pg.
 *
 * Texts go out and come back as UTF-8; every type as the server writes it.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { Client as PgsqlClient } from 'pg';
import { err, ok, type Result } from '../../util/result.ts';
import type { SqlAnswer } from '../types/sql.ts';
import type { SqlSession } from '../types/sql-quotes.ts';
import type { PgsqlHost } from './pgsql-uri.ts';
import {
  answered,
  type Connection,
  type Failure,
  lost,
  reasonOf,
  refused,
  withDeadline,
} from './pool.ts';

export type PgsqlLogin = {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly encoding: string;
  readonly timeoutMs: number;
};

export interface PgsqlConnection extends Connection {
  readonly session: SqlSession;
  query(text: string): Promise<Result<SqlAnswer, Failure>>;
}

type Driver = Pick<typeof import('pg'), 'Client'>;

/** Loaded by the first table that needs it, while the process may still read it. */
export function loadPgsql(): Driver {
  return createRequire(import.meta.url)('pg');
}

export async function connectPgsql(
  driver: Driver,
  host: PgsqlHost,
  login: PgsqlLogin,
): Promise<Result<PgsqlConnection, string>> {
  const tls = tlsOf(host);
  if (!tls.ok) return tls;
  const first = await open(driver, host, login, tls.value);
  if (first.ok || host.sslMode !== 'prefer' || !/does not support SSL/.test(first.error)) {
    return first;
  }
  return open(driver, host, login, undefined);
}

/** `allow` is taken as `prefer` is: TLS first would be asked for by the server only. */
function tlsOf(host: PgsqlHost): Result<ConnectionOptions | undefined, string> {
  const { sslMode } = host;
  if (sslMode === 'disable' || sslMode === 'allow' || host.host.startsWith('/')) {
    return ok(undefined);
  }
  const verifies = sslMode.startsWith('verify');
  try {
    const pem = (path: string | undefined) => (path ? readFileSync(path, 'utf8') : undefined);
    const [ca, cert, key] = [host.sslRootCert, host.sslCert, host.sslKey].map(pem);
    return ok({
      // libpq: with a root certificate even `require` verifies the chain.
      rejectUnauthorized: verifies || ca !== undefined,
      ...(sslMode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
  } catch (error) {
    return err(reasonOf(error));
  }
}

async function open(
  driver: Driver,
  host: PgsqlHost,
  login: PgsqlLogin,
  ssl: ConnectionOptions | undefined,
): Promise<Result<PgsqlConnection, string>> {
  const { timeoutMs } = login;
  const socket = new Socket();
  const user = host.user ?? login.user;
  const password = host.password ?? login.password;
  const client = new driver.Client({
    stream: () => socket,
    host: host.host,
    port: host.port,
    database: host.database ?? login.database,
    ...(user ? { user } : {}),
    ...(password ? { password } : {}),
    ...(host.application ? { application_name: host.application } : {}),
    ...(host.options ? { options: host.options } : {}),
    ssl: ssl ?? false,
    types: { getTypeParser: () => (value: unknown) => value },
  });
  let isOpen = true;
  const close = (): void => {
    isOpen = false;
    socket.destroy();
  };
  client.on('error', close);
  client.on('end', close);
  const greeting = client.connect().then(
    () => answered(true),
    (error: unknown) => lost(reasonOf(error)),
  );
  socket.unref();
  const greeted = await withDeadline(greeting, timeoutMs, () =>
    lost(`no answer within ${timeoutMs / 1000} s`, true),
  );
  if (!greeted.ok) {
    close();
    return err(greeted.error.reason);
  }
  const query = (text: string) =>
    withDeadline(ask(client, text), timeoutMs, () => {
      close();
      return lost(`no answer within ${timeoutMs / 1000} s`, true);
    });
  const session = await prepare(query, login.encoding);
  if (!session.ok) {
    close();
    return err(session.error.reason);
  }
  return ok({
    session: session.value,
    query,
    close,
    get isOpen() {
      return isOpen;
    },
  });
}

async function prepare(
  query: (text: string) => Promise<Result<SqlAnswer, Failure>>,
  encoding: string,
): Promise<Result<SqlSession, Failure>> {
  if (encoding.toUpperCase() !== 'UTF8') {
    const named = await query(`SET client_encoding TO '${encoding}'`);
    if (!named.ok) return named;
  }
  const standard = await query('SHOW standard_conforming_strings');
  if (!standard.ok) return standard;
  return ok({ backslash: standard.value.rows[0]?.[0] !== 'on', ansiQuotes: true });
}

async function ask(client: PgsqlClient, text: string): Promise<Result<SqlAnswer, Failure>> {
  try {
    const given = await client.query<(string | null)[]>({ text, rowMode: 'array' });
    // Several statements: the answer of the last one, as libpq.
    const last = Array.isArray(given) ? given.at(-1) : given;
    return answered({ rows: last?.rows ?? [], hasResultSet: true });
  } catch (error) {
    return failureOf(error);
  }
}

/** What the server says has a SQLSTATE; 57P01 to 57P05 say that the connection ends. */
function failureOf(error: unknown): Result<never, Failure> {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const isAnswer = /^[0-9A-Z]{5}$/.test(code) && error instanceof Error && 'severity' in error;
  return isAnswer && !code.startsWith('57P') ? refused(reasonOf(error)) : lost(reasonOf(error));
}
