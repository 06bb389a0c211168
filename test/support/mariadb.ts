/** A MariaDB server for tests. Its user `postfix`, password `secret`, may read the database `mail`. */
import { join } from 'node:path';
import { freePort } from './instance.ts';
import {
  isListeningAt,
  runAsStore,
  type StoreProcess,
  startStore,
  storeDirectory,
} from './store-process.ts';

export type MariaDb = StoreProcess & {
  readonly port: number;
  readonly socket: string;
  readonly directory: string;
  /** Run statements as the administrator; what the server prints. */
  readonly sql: (text: string) => Promise<string>;
};

export const MARIADB = ['mariadbd', 'mariadb-install-db', 'mariadb'] as const;

export async function startMariaDb(extra: readonly string[] = []): Promise<MariaDb> {
  const directory = storeDirectory('mariadb');
  const port = await freePort();
  const socket = join(directory, 'sock');
  const data = join(directory, 'data');
  await runAsStore(
    'mariadb-install-db',
    [
      '--no-defaults',
      `--datadir=${data}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      '--skip-name-resolve',
    ],
    directory,
  );
  const store = await startStore({
    file: 'mariadbd',
    argv: [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${socket}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      '--skip-name-resolve',
      '--innodb-buffer-pool-size=16M',
      '--innodb-flush-log-at-trx-commit=0',
      '--key-buffer-size=1M',
      '--performance-schema=OFF',
      '--character-set-server=utf8mb4',
      ...extra,
    ],
    directory,
    isReady: () => isListeningAt(socket),
  });
  const sql = async (text: string): Promise<string> => {
    const argv = ['--no-defaults', `--socket=${socket}`, '--user=root', '--batch', '-e', text];
    return (await runAsStore('mariadb', argv, directory)).stdout;
  };
  await sql(`CREATE DATABASE mail;
    CREATE USER postfix@'%' IDENTIFIED BY 'secret'; GRANT SELECT, EXECUTE ON mail.* TO postfix@'%';
    CREATE USER postfix@localhost IDENTIFIED BY 'secret';
    GRANT SELECT, EXECUTE ON mail.* TO postfix@localhost;`);
  return { ...store, port, socket, directory, sql };
}
