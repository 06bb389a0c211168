/**
 * `unix:passwd.byname` and `unix:group.byname`: system accounts, the whole line as the value.
 *
 * The files are read again when their time or size changed, asked at most once a second. Local
 * files only: accounts of other name services are not seen. A file that cannot be read makes
 * lookups fail for now, never "unknown user".
 */
import { readFileSync, statSync } from 'node:fs';
import { err, ok, type Result } from '../../util/result.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';

const FILES: ReadonlyMap<string, string> = new Map([
  ['passwd.byname', '/etc/passwd'],
  ['group.byname', '/etc/group'],
]);
const RECHECK_MS = 1000;

/** Account names are asked as they stand: lookups in lists fold them to lower case. */
export function unixTable(name: string): Result<Table, { readonly reason: string }> {
  const file = FILES.get(name);
  if (!file) return err({ reason: `unknown table: unix:${name}` });
  return ok(accountTable(name, file, Date.now));
}

/** As `unixTable`, from a given file and clock. */
export function accountTable(name: string, file: string, now: () => number): Table {
  let lines: ReadonlyMap<string, string> = new Map();
  let version = '';
  let checkedMs = Number.NEGATIVE_INFINITY;

  const refresh = (): void => {
    const nowMs = now();
    if (nowMs - checkedMs < RECHECK_MS) return;
    const { mtimeMs, size, ino } = statSync(file);
    const current = `${mtimeMs} ${size} ${ino}`;
    if (current !== version) lines = byName(readFileSync(file, 'utf8'));
    version = current;
    checkedMs = nowMs;
  };

  const lookup = (key: string): Lookup => {
    try {
      refresh();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return { kind: 'retry', reason: `unix:${name}: ${text}` };
    }
    const value = lines.get(key);
    return value === undefined ? ABSENT : { kind: 'found', value };
  };
  return { type: 'unix', name, keys: 'fixed', lookup };
}

function byName(text: string): Map<string, string> {
  const lines = new Map<string, string>();
  for (const line of text.split('\n')) {
    const name = line.slice(0, Math.max(0, line.indexOf(':')));
    if (name !== '' && !name.startsWith('#') && !lines.has(name)) lines.set(name, line);
  }
  return lines;
}
