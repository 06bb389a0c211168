/**
 * postconf(1): show and edit main.cf, show master.cf.
 *
 *   postconf [-d|-n] [-h] [-x] [NAME ...]     -M: master.cf rows     -e NAME=VALUE ...: edit
 *
 * Edits keep comments and the place of what they replace, and are atomic: a new file, synced, takes
 * the old one's name.
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { loadConfig, makeConfig } from '../conf/config.ts';
import { parseMainCf } from '../conf/main-cf.ts';
import { loadMasterCf } from '../conf/master-cf.ts';
import { PARAMS } from '../conf/params.ts';
import type { Io } from './main.ts';

const USAGE = 'postconf: fatal: usage: postconf [-dhnx] [-M] [-e name=value ...] [name ...]\n';

export async function postconf(argv: readonly string[], io: Io): Promise<number> {
  const flags = new Set<string>();
  const names: string[] = [];
  for (const word of argv) {
    if (names.length === 0 && /^-[dehnxMv]+$/.test(word))
      for (const flag of word.slice(1)) flags.add(flag);
    else if (names.length === 0 && word.startsWith('-')) {
      io.stderr(USAGE);
      return 1;
    } else names.push(word);
  }
  if (flags.has('d') && flags.has('n')) {
    io.stderr('postconf: fatal: specify one of -d -n\n');
    return 1;
  }
  if (flags.has('M')) return showMaster(names, io);
  if (flags.has('e') || names.some((name) => name.includes('='))) return edit(names, io);
  return show(flags, names, io);
}

function show(flags: ReadonlySet<string>, names: readonly string[], io: Io): number {
  const file = join(io.configDirectory, 'main.cf');
  const loaded = flags.has('d')
    ? makeConfig(new Map(), io.configDirectory)
    : loadConfig(io.configDirectory);
  if (!loaded.ok) {
    for (const { text } of loaded.error) io.stderr(`postconf: fatal: ${text}\n`);
    return 1;
  }
  const set = flags.has('d') ? new Map<string, { value: string }>() : assignmentsOf(file, io);
  const defaults: ReadonlyMap<string, { readonly default: string }> = new Map(
    Object.entries(PARAMS),
  );
  const wanted =
    names.length > 0 ? names : [...(flags.has('n') ? set.keys() : defaults.keys())].sort();
  for (const name of wanted) {
    const raw = set.get(name)?.value ?? defaults.get(name)?.default;
    if (raw === undefined) {
      io.stderr(`postconf: warning: ${name}: unknown parameter\n`);
      continue;
    }
    const value = flags.has('x') || raw === '' ? (loaded.value.lookup(name) ?? raw) : raw;
    const line = value.replaceAll(/\s+/g, ' ');
    io.stdout(flags.has('h') ? `${line}\n` : `${name} = ${line}`.trimEnd().concat('\n'));
  }
  return 0;
}

function assignmentsOf(file: string, io: Io): ReadonlyMap<string, { readonly value: string }> {
  const { assignments, warnings } = parseMainCf(file, readFileSync(file, 'utf8'));
  for (const { text } of warnings) io.stderr(`postconf: warning: ${text}\n`);
  return assignments;
}

function showMaster(patterns: readonly string[], io: Io): number {
  const rows = loadMasterCf(io.configDirectory);
  if (!rows.ok) {
    for (const { text } of rows.error) io.stderr(`postconf: fatal: ${text}\n`);
    return 1;
  }
  const yn = (value: boolean): string => (value ? 'y' : 'n').padEnd(7);
  for (const row of rows.value) {
    if (
      patterns.length > 0 &&
      !patterns.some((each) => each === row.service || each === `${row.service}/${row.type}`)
    )
      continue;
    const options = [...row.overrides].map(([name, value]) =>
      /\s/.test(value) ? ` -o {${name}=${value}}` : ` -o ${name}=${value}`,
    );
    const args = row.args.map((word) => ` ${/\s/.test(word) ? `{${word}}` : word}`);
    const columns = [
      yn(row.private),
      yn(row.unprivileged),
      yn(row.chroot),
      String(row.wakeup || '-').padEnd(7),
      String(row.maxproc).padEnd(7),
    ];
    io.stdout(
      `${row.service.padEnd(10)} ${row.type.padEnd(5)} ${columns.join(' ')} ${row.command}${options.join('')}${args.join('')}\n`,
    );
  }
  return 0;
}

function edit(settings: readonly string[], io: Io): number {
  const file = join(io.configDirectory, 'main.cf');
  const changes = new Map<string, string>();
  for (const setting of settings) {
    const match = /^\s*([\w.-]+)\s*=\s*([\s\S]*?)\s*$/.exec(setting);
    if (!match || /\n/.test(setting)) {
      io.stderr(`postconf: fatal: missing '=' after attribute name: "${setting}"\n`);
      return 1;
    }
    changes.set(match[1] ?? '', match[2] ?? '');
  }
  try {
    replaceFile(file, edited(readFileSync(file, 'utf8'), changes));
  } catch (error) {
    io.stderr(`postconf: fatal: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
  return 0;
}

/** The text with these settings: the last assignment of a name is replaced, earlier ones go. */
export function edited(source: string, changes: ReadonlyMap<string, string>): string {
  const left = new Map(changes);
  const out: string[] = [];
  let isDropping = false;
  for (const line of source.replace(/\n$/, '').split('\n')) {
    const isContinuation = /^\s+\S/.test(line) && !/^\s*#/.test(line);
    if (isContinuation && isDropping) continue;
    if (!/^\s*(#|$)/.test(line)) isDropping = false;
    const name = /^([\w.-]+)\s*=/.exec(line)?.[1] ?? '';
    if (!changes.has(name)) {
      out.push(line);
      continue;
    }
    isDropping = true;
    if (left.has(name)) out.push(`${name} = ${left.get(name) ?? ''}`.trimEnd());
    left.delete(name);
  }
  for (const [name, value] of left) out.push(`${name} = ${value}`.trimEnd());
  return `${out.join('\n').replace(/^\n+/, '')}\n`;
}

function replaceFile(file: string, text: string): void {
  const temporary = `${file}.tmp${process.pid}`;
  const handle = openSync(temporary, 'wx', statSync(file).mode & 0o777);
  writeSync(handle, text);
  fsyncSync(handle);
  closeSync(handle);
  renameSync(temporary, file);
}
