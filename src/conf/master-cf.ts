/**
 * master.cf: the table of services, as rows of typed columns.
 *
 * Of two rows with the same name and type the later counts. `-v` and `-D` are accepted. An argument
 * of the command is never taken for an option of the daemon.
 *
 * @see master(5)
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { err, ok, type Result } from '../util/result.ts';
import type { ConfigFault } from './main-cf.ts';
import { type MasterEntry, parseMasterEntries } from './master-entry.ts';
import { splitNameValue } from './name-value.ts';

export type MasterRow = {
  readonly service: string;
  readonly type: string;
  readonly private: boolean;
  readonly unprivileged: boolean;
  readonly chroot: boolean;
  /** Seconds; 0: never. */
  readonly wakeup: number;
  /** 0: no limit. */
  readonly maxproc: number;
  readonly command: string;
  /** Without -o, -v and -D. */
  readonly args: readonly string[];
  readonly overrides: ReadonlyMap<string, string>;
  readonly line: number;
};

const DEFAULT_MAXPROC = 100;

/** Read DIR/master.cf. `defaultMaxproc` is $default_process_limit. */
export function loadMasterCf(
  directory: string,
  defaultMaxproc = DEFAULT_MAXPROC,
): Result<readonly MasterRow[], readonly ConfigFault[]> {
  const file = join(resolve(directory), 'master.cf');
  try {
    return parseMasterCf(file, readFileSync(file, 'utf8'), defaultMaxproc);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return err([
      {
        file,
        line: 0,
        text: `open ${file}: ${error.message}; a server needs a master.cf beside main.cf`,
      },
    ]);
  }
}

export function parseMasterCf(
  file: string,
  source: string,
  defaultMaxproc = DEFAULT_MAXPROC,
): Result<readonly MasterRow[], readonly ConfigFault[]> {
  const parsed = parseMasterEntries(file, source);
  const faults = [...parsed.faults, ...parsed.warnings];
  const rows = new Map<string, MasterRow>();
  for (const entry of parsed.entries) {
    const row = rowOf(entry, defaultMaxproc);
    if (row.ok) rows.set(`${row.value.service} ${row.value.type}`, row.value);
    else {
      const text = `file ${file}: line ${entry.line}: ${row.error}`;
      faults.push({ file, line: entry.line, text });
    }
  }
  return faults.length > 0 ? err(faults) : ok([...rows.values()]);
}

function rowOf({ words, line }: MasterEntry, defaultMaxproc: number): Result<MasterRow, string> {
  const [service = '', type = '', priv, unpriv, chroot, wakeup = '', maxproc = '', command = ''] =
    words;
  if (type === 'inet' && priv !== 'n')
    return err('inet service cannot be private; write n in the third column');
  for (const [column, word] of [
    ['service', service],
    ['command', command],
  ])
    if (word === '-') return err(`field "${column}" has no default value; write it out`);
  const read = readArguments(words.slice(8));
  if (!read.ok) return read;
  return ok({
    service,
    type,
    private: priv !== 'n',
    unprivileged: unpriv !== 'n',
    chroot: chroot === 'y',
    wakeup: Number.parseInt(wakeup, 10) || 0,
    maxproc: maxproc === '-' ? defaultMaxproc : Number(maxproc),
    command: command.slice(command.lastIndexOf('/') + 1),
    ...read.value,
    line,
  });
}

function readArguments(
  words: readonly string[],
): Result<Pick<MasterRow, 'args' | 'overrides'>, string> {
  const overrides = new Map<string, string>();
  let at = 0;
  for (; words[at]?.startsWith('-') && words[at] !== '--'; at += 1) {
    const word = words[at] ?? '';
    if (word === '-o') {
      at += 1;
      const text = words[at];
      if (text === undefined) return err("option requires an argument -- 'o'; write -o name=value");
      const split = splitNameValue(text);
      if (!split.ok)
        return err(`${split.error}: "${text}"; write -o name=value or -o { name = value }`);
      overrides.set(split.value.name, split.value.value);
    } else if (!/^-[vD]+$/.test(word))
      return err(`unknown option ${word}; a service takes -o name=value, -v and -D`);
  }
  return ok({ args: words.slice(words[at] === '--' ? at + 1 : at), overrides });
}
