/** A PostgreSQL server for tests. Its user `postfix`, password `secret`, owns the database `mail`. */
import { appendFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './instance.ts';
import {
  findStoreProgram,
  isListeningAt,
  runAsStore,
  type StoreProcess,
  startStore,
  storeDirectory,
} from './store-process.ts';

export type Postgres = StoreProcess & {
  readonly port: number;
  /** The directory of its Unix socket, under the default port too. */
  readonly socketDirectory: string;
  readonly directory: string;
  /** Run statements in the database `mail` as the administrator. */
  readonly sql: (text: string) => Promise<string>;
};

/** A reason to skip where it is not installed. */
export function needsPostgres(): { skip?: string } {
  try {
    findStoreProgram('postgres');
    return {};
  } catch (error) {
    if (process.env['CI'] === 'true') throw error;
    return { skip: 'not installed: postgres' };
  }
}

export async function startPostgres(settings: readonly string[] = []): Promise<Postgres> {
  const directory = storeDirectory('postgres');
  const port = await freePort();
  const data = join(directory, 'data');
  writeFileSync(join(directory, 'password'), 'secret\n', { mode: 0o644 });
  await runAsStore(
    'initdb',
    [
      ...['-D', data, '-U', 'postfix', '-A', 'scram-sha-256', '--no-sync', '-E', 'UTF8'],
      ...['--locale=C', `--pwfile=${join(directory, 'password')}`],
    ],
    directory,
  );
  const lines = [
    "listen_addresses = '127.0.0.1'",
    `port = ${port}`,
    `unix_socket_directories = '${directory}'`,
    'fsync = off',
    'shared_buffers = 8MB',
    'max_connections = 30',
    ...settings,
  ];
  appendFileSync(join(data, 'postgresql.conf'), `${lines.join('\n')}\n`);
  const store = await startStore({
    file: 'postgres',
    argv: ['-D', data],
    directory,
    isReady: async () =>
      (await isListeningAt(join(directory, `.s.PGSQL.${port}`))) &&
      (await answers(directory, port)),
    stopSignal: 'SIGINT',
  });
  symlinkSync(join(directory, `.s.PGSQL.${port}`), join(directory, '.s.PGSQL.5432'));
  await psql(directory, port, 'postgres', 'CREATE DATABASE mail');
  return {
    ...store,
    port,
    socketDirectory: directory,
    directory,
    sql: (text) => psql(directory, port, 'mail', text),
  };
}

async function psql(directory: string, port: number, database: string, text: string) {
  const uri = `postgresql://postfix:secret@127.0.0.1:${port}/${database}`;
  return (await runAsStore('psql', ['-qtAX', '-v', 'ON_ERROR_STOP=1', '-c', text, uri], directory))
    .stdout;
}

async function answers(directory: string, port: number): Promise<boolean> {
  try {
    await psql(directory, port, 'postgres', 'SELECT 1');
    return true;
  } catch {
    return false;
  }
}
