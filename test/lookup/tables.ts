/** What lookup tests share: a context that collects warnings, and answers as short texts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type LookupContext, openTable } from '../../src/lookup/open.ts';
import type { Lookup, Table } from '../../src/lookup/table.ts';

export type Bench = LookupContext & {
  readonly warnings: string[];
  readonly directory: string;
  /** Write a file into the directory; its path. */
  readonly file: (name: string, text: string) => string;
};

export function bench(t: TestContext): Bench {
  const directory = mkdtempSync(join(tmpdir(), 'postern-lookup-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const warnings: string[] = [];
  const drop = (): void => undefined;
  return {
    directory,
    warnings,
    dataDirectory: join(directory, 'data'),
    defaultType: 'hash',
    aliasFiles: new Set([join(directory, 'aliases')]),
    cache: new Map(),
    logger: {
      info: drop,
      warning: (text) => void warnings.push(text),
      error: drop,
      fatal: drop,
      panic: drop,
      flush: drop,
    },
    file(name, text) {
      const path = join(directory, name);
      writeFileSync(path, text);
      return path;
    },
  };
}

export function table(spec: string, context: LookupContext): Table {
  const opened = openTable(spec, context);
  if (!opened.ok) throw new Error(opened.error.reason);
  return opened.value;
}

/** The value, or the kind in angles: `<absent>`, `<retry>`, `<misconfigured>`. */
export async function ask(target: Pick<Table, 'lookup'>, key: string): Promise<string> {
  return short(await target.lookup(key));
}

export const short = (answer: Lookup): string =>
  answer.kind === 'found' ? answer.value : `<${answer.kind}>`;
