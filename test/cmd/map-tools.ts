/** What tests of postmap, postalias and newaliases share: a site, and one command run in it. */
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { Io } from '../../src/cmd/main.ts';
import { type Bench, bench } from '../lookup/tables.ts';

export function toolSite(t: TestContext): Bench {
  const site = bench(t);
  site.file(
    'main.cf',
    `compatibility_level = 3.6
myhostname = mail.example.org
data_directory = ${site.dataDirectory}
alias_maps = hash:${site.directory}/aliases
alias_database = hash:${site.directory}/aliases
`,
  );
  return site;
}

type Command = (argv: readonly string[], io: Io) => Promise<number>;

export async function runTool(
  command: Command,
  argv: readonly string[],
  site: Pick<Bench, 'directory'>,
  input = '',
): Promise<{ readonly status: number; readonly out: string; readonly error: string }> {
  let out = '';
  let error = '';
  const status = await command(argv, {
    stdin: Readable.from(input === '' ? [] : [Buffer.from(input)]),
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      error += text;
    },
    configDirectory: site.directory,
  });
  return { status, out, error };
}
