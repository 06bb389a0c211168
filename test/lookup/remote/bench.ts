/** What tests of remote tables share: tables from settings, warnings kept, answers as short texts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Lookup, Table } from '../../../src/lookup/table.ts';
import { memoryTable } from '../../../src/lookup/types/memory.ts';
import { remoteTable } from '../../../src/lookup/types/remote.ts';
import type { OpenTable } from '../../../src/lookup/types/remote-domain.ts';
import { ROOT, runProgram } from '../../support/instance.ts';

export type Settings = Readonly<Record<string, string | number>>;

export type RemoteBench = {
  readonly directory: string;
  readonly warnings: string[];
  /** Write the settings into a file; its path. */
  readonly file: (name: string, settings: Settings) => string;
  /** Open `type:FILE`; throws what is wrong with it. */
  readonly table: (type: string, settings: Settings, parameter?: Parameter) => Table;
  /** Open by name alone. */
  readonly named: (type: string, name: string, parameter?: Parameter) => Table;
  /** What is wrong with `type:FILE`. */
  readonly fault: (type: string, settings: Settings) => string;
};

type Parameter = (name: string) => string | undefined;

export function remoteBench(t: Pick<TestContext, 'after'>): RemoteBench {
  const directory = mkdtempSync(join(tmpdir(), 'postern-remote-'));
  const warnings: string[] = [];
  const drop = (): void => undefined;
  const logger = {
    ...{ info: drop, error: drop, fatal: drop, panic: drop, flush: drop },
    warning: (text: string) => void warnings.push(text),
  };
  const cache = new Map<string, Table>();
  t.after(() => {
    for (const table of cache.values()) table.close?.();
    rmSync(directory, { recursive: true, force: true });
  });
  const open = (type: string, name: string, parameter?: Parameter) => {
    const opened = remoteTable(type, name, { logger, cache, openTable, parameter });
    if (opened.ok) cache.set(`${cache.size} ${type}:${name}`, opened.value);
    return opened;
  };
  const openTable: OpenTable = (spec) => {
    const [, type = '', name = ''] = /^([^:]*):(.*)$/.exec(spec) ?? [];
    if (type !== 'inline') return open(type, name);
    const entries = name.split(',').map((pair): [string, string] => {
      const [key = '', value = ''] = pair.split('=');
      return [key, value];
    });
    return { ok: true, value: memoryTable('inline', name, new Map(entries)) };
  };
  let files = 0;
  const file = (name: string, settings: Settings): string => {
    const path = join(directory, name);
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
    writeFileSync(path, lines.join(''));
    return path;
  };
  const named = (type: string, name: string, parameter?: Parameter): Table => {
    const opened = open(type, name, parameter);
    if (!opened.ok) throw new Error(opened.error.reason);
    return opened.value;
  };
  const next = (settings: Settings): string => {
    files += 1;
    return file(`table${files}.cf`, settings);
  };
  return {
    directory,
    warnings,
    file,
    named,
    table: (type, settings, parameter) => named(type, next(settings), parameter),
    fault: (type, settings) => {
      const opened = open(type, next(settings));
      return opened.ok ? 'no fault' : opened.error.reason;
    },
  };
}

/** The value, or the kind in angles: `<absent>`, `<retry>`, `<misconfigured>`. */
export async function ask(table: Table, key: string): Promise<string> {
  const answer: Lookup = await table.lookup(key);
  return answer.kind === 'found' ? answer.value : `<${answer.kind}>`;
}

/** In a process of its own: one lookup, no closing. Its output, once it has ended by itself. */
export async function askElsewhere(type: string, path: string, key: string): Promise<string> {
  const code = `
    const { remoteTable } = await import('${ROOT}/src/lookup/types/remote.ts');
    const logger = { warning: console.log };
    const opened = remoteTable('${type}', '${path}', { logger, cache: {}, openTable: () => undefined });
    console.log((await opened.value.lookup(${JSON.stringify(key)})).value);`;
  const argv = ['--input-type=module', '-e', code];
  const {
    code: status,
    stdout,
    stderr,
  } = await runProgram(process.execPath, argv, {
    timeoutMs: 15_000,
  });
  return status === 0 ? stdout.trim() : `status ${status} ${stdout} ${stderr}`;
}

/** Keys that try to be more than keys, in every position of an address. */
export const HOSTILE_TEXTS: readonly string[] = [
  "o'brien",
  'x" OR "1"="1',
  "' OR '1'='1",
  "' OR 1=1 -- ",
  "\\' OR 1=1 -- ",
  "\\\\' OR 1=1 #",
  "'; DROP TABLE aliases; -- ",
  '`x`',
  '%s%d%u',
  '%',
  '100%',
  '_',
  '\\',
  '\\\\',
  '\\n',
  "\u00bf'",
  "\u4e2d' OR 1=1 -- ",
  "\u5c5c\u27a6' OR 1=1 -- ",
  '\u{1f600}',
  'e\u0301',
  '*',
  '*)(uid=*',
  '(|(uid=*))',
  ')(',
  '\\2a',
  'a,dc=example',
  'a+b=c',
  '#a',
  ' a ',
  '<a>;b',
  'a\tb',
  'a\nb',
  'a\r\nget b',
  '$$x$$',
  '${x}',
  '/*',
  '--',
];

/** Keys that no table can have: a C string ends at NUL, and half a surrogate is no character. */
export const IMPOSSIBLE_TEXTS: readonly string[] = ['a\0b', '\0', "a\0' OR 1=1 -- ", 'a\ud800b'];

/** The answer of `type:FILE`, `<fault>` where it cannot be opened. */
export async function askOrFault(
  bench: RemoteBench,
  type: string,
  settings: Settings,
  key: string,
): Promise<string> {
  let table: Table;
  try {
    table = bench.table(type, settings);
  } catch {
    return '<fault>';
  }
  return ask(table, key);
}
