/** A queue directory with a configuration and captured output, for the tests of queue commands. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Io } from '../../src/cmd/main.ts';
import type { QueueKeeper } from '../../src/queue/store.ts';
import { testConfig } from '../support/config.ts';
import { openQueue } from '../support/lmdb-queue.ts';

export type CommandSite = {
  readonly store: QueueKeeper;
  readonly config: ReturnType<typeof testConfig>;
  /** `$queue_directory/postern` */
  readonly root: string;
  /** Run a command with this standard input. */
  readonly run: (
    command: (io: Io) => Promise<number>,
    stdin?: string,
  ) => Promise<{ readonly status: number; readonly out: string; readonly err: string }>;
  readonly close: () => Promise<void>;
};

export async function commandSite(): Promise<CommandSite> {
  const top = mkdtempSync(join(tmpdir(), 'postern-cmd-'));
  const root = join(top, 'postern');
  mkdirSync(join(root, 'public'), { recursive: true });
  const store = await openQueue(join(root, 'queue'));
  return {
    store,
    root,
    config: testConfig({ queue_directory: top }),
    run: async (command, stdin = '') => {
      let out = '';
      let err = '';
      const status = await command({
        stdin: Readable.from([stdin]),
        stdout: (text) => {
          out += text;
        },
        stderr: (text) => {
          err += text;
        },
        configDirectory: top,
      });
      return { status, out, err };
    },
    close: async () => {
      await store.close();
      rmSync(top, { recursive: true, force: true });
    },
  };
}
