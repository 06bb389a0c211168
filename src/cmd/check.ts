/**
 * `postern check`: everything that can be known of a configuration without running it.
 *
 * Faults (exit 1): main.cf or master.cf that does not parse, values that do not fit, rows that would
 * not start. Warnings (exit 0): settings that do nothing here, with what that means; names that
 * nothing knows; names that are going or gone, with what to write; a chroot column that cannot be
 * honoured; rows that a later one replaces. Each names file and line.
 */
import { join } from 'node:path';
import { compatibilityNotice, oldDefaultNotice } from '../conf/compatibility.ts';
import { loadConfig } from '../conf/config.ts';
import { thisHost } from '../conf/defaults.ts';
import { type MainCf, parseMainCf } from '../conf/main-cf.ts';
import { loadMasterCf, type MasterRow } from '../conf/master-cf.ts';
import { type MasterEntry, parseMasterEntries } from '../conf/master-entry.ts';
import { checkPipeArguments } from '../conf/master-words.ts';
import type { Config } from '../conf/params.ts';
import { makeScope, type Scope } from '../conf/scope.ts';
import { roleOf } from '../daemon/roles.ts';
import { loadPolicies } from '../policy/sending-policy.ts';
import { unknownRestrictions } from '../restrict/check-names.ts';
import { unsupportedSetting } from '../smtpd/unsupported.ts';
import { readOrNothing } from '../util/read-text.ts';
import { checkNames } from './check-names.ts';
import { unsupportedTables } from './check-tables.ts';
import type { Io } from './main.ts';

export type Findings = { readonly faults: string[]; readonly warnings: string[] };

export async function check(directory: string, io: Pick<Io, 'stdout' | 'stderr'>): Promise<number> {
  const found: Findings = { faults: [], warnings: [] };
  const main = join(directory, 'main.cf');
  const master = join(directory, 'master.cf');
  const config = loadConfig(directory);
  if (!config.ok) found.faults.push(...config.error.map(({ text }) => text));
  const rows = loadMasterCf(directory);
  if (!rows.ok) found.faults.push(...rows.error.map(({ text }) => text));

  const parsed = parseMainCf(main, readOrNothing(main));
  found.warnings.push(...parsed.warnings.map(({ text }) => text));
  found.warnings.push(...unsupportedTables(main, parsed));
  const { entries } = parseMasterEntries(master, readOrNothing(master));
  checkNames(scopeOf(directory, parsed, entries), parsed, found);
  found.warnings.push(...replacedRows(master, entries));

  for (const row of rows.ok ? rows.value : []) checkRow(master, directory, row, found);
  const pipes = checkPipeArguments(master, rows.ok ? rows.value : []);
  found.faults.push(...pipes.map(({ text }) => text));
  for (const text of found.warnings) io.stderr(`postern: warning: ${text}\n`);
  for (const text of found.faults) io.stderr(`postern: error: ${text}\n`);
  if (config.ok) noteOldDefaults(config.value, io);
  return found.faults.length > 0 ? 1 : 0;
}

function scopeOf(
  directory: string,
  { assignments }: MainCf,
  entries: readonly MasterEntry[],
): Scope {
  const main = new Map([...assignments].map(([name, { value }]) => [name, value]));
  return makeScope(directory, main, entries, thisHost(), 'postern');
}

/** Of two rows with one name and type the later counts. */
function replacedRows(file: string, entries: readonly MasterEntry[]): string[] {
  const last = new Map<string, MasterEntry>();
  const replaced: string[] = [];
  for (const entry of entries) {
    const name = `${entry.words[0]}/${entry.words[1]}`;
    const before = last.get(name);
    if (before)
      replaced.push(
        `file ${file}: line ${before.line}: service ${name} is defined again in line ${entry.line}; that one counts`,
      );
    last.set(name, entry);
  }
  return replaced;
}

/** What an smtpd of this row would refuse to start with, or would refuse mail for. */
function checkSmtpd(where: string, config: Config, found: Findings): void {
  const unsupported = unsupportedSetting(config);
  if (unsupported !== undefined) found.faults.push(`${where}: ${unsupported}`);
  for (const text of unknownRestrictions(config)) found.warnings.push(`${where}: ${text}`);
  if (config.sending_policies === '') return;
  const policies = loadPolicies(config.sending_policies);
  if (policies.ok) return;
  for (const { place, text } of policies.error) {
    const fault = `${place}: ${text}`;
    if (!found.faults.includes(fault)) found.faults.push(fault);
  }
}

function checkRow(file: string, directory: string, row: MasterRow, found: Findings): void {
  const where = `file ${file}: line ${row.line}`;
  if (!roleOf(row.command)) {
    found.warnings.push(
      `${where}: command ${row.command} is not implemented; the row is not started`,
    );
  }
  if (row.chroot) {
    found.warnings.push(
      `${where}: chroot = y cannot be honoured by Node; use RootDirectory= of the systemd unit`,
    );
  }
  const own = loadConfig(directory, row.overrides);
  if (own.ok) {
    if (row.command === 'smtpd') checkSmtpd(where, own.value, found);
    return;
  }
  if (row.overrides.size === 0) return;
  for (const { text } of own.error) {
    const isKnown = found.faults.includes(text);
    if (!isKnown) found.faults.push(`${where}: ${text}`);
  }
}

function noteOldDefaults(config: Config, io: Pick<Io, 'stderr'>): void {
  const notes = [
    ...compatibilityNotice(config.compatibility_level),
    ...[...config.oldDefaults].map((name) => oldDefaultNotice(name, config.lookup(name) ?? '')),
  ];
  for (const text of notes) io.stderr(`postern: ${text}\n`);
}
