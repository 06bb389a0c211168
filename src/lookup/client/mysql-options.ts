/**
 * MySQL option files (my.cnf): what the client library would read for Postfix. `[client]`,
 * `[client-server]` and `[client-mariadb]`, then the group that option_group names; later lines
 * win; `!include` and `!includedir` are followed.
 *
 * @see mysql_table(5) "option_file", "option_group"; https://mariadb.com/kb/en/configuring-mariadb-with-option-files/
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok, type Result } from '../../util/result.ts';

/** Option names with `-` for `_`, as `ssl-ca`. */
export type MysqlOptions = ReadonlyMap<string, string>;

const DEFAULT_FILES = ['/etc/my.cnf', '/etc/mysql/my.cnf'];
const CLIENT_GROUPS = ['client', 'client-server', 'client-mariadb'];
const MAX_DEPTH = 10;

/** No file named: those of the system, where there are any. No group either: nothing. */
export function readMysqlOptions(
  file: string | undefined,
  group: string,
): Result<MysqlOptions, string> {
  const options = new Map<string, string>();
  if (file === undefined && group === '') return ok(options);
  const groups = new Set([...CLIENT_GROUPS, group]);
  for (const path of file === undefined ? DEFAULT_FILES : [file]) {
    const fault = readFile(path, groups, options, 0);
    if (fault !== undefined && file !== undefined) return err(fault);
  }
  return ok(options);
}

function readFile(
  path: string,
  groups: ReadonlySet<string>,
  options: Map<string, string>,
  depth: number,
): string | undefined {
  if (depth > MAX_DEPTH) return `${path}: option files nest too deep`;
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (error) {
    return `option_file: ${error instanceof Error ? error.message : String(error)}`;
  }
  let isOurs = false;
  for (const line of source.split(/\r?\n/).map((text) => text.trim())) {
    const include = /^!(include|includedir)\s+(.+)$/.exec(line);
    if (include) {
      const [, kind, target = ''] = include;
      const files = kind === 'include' ? [target] : filesOf(target);
      for (const each of files) readFile(each, groups, options, depth + 1);
      continue;
    }
    const header = /^\[([^\]]+)\]/.exec(line)?.[1];
    if (header !== undefined) isOurs = groups.has(header.trim());
    else if (isOurs) readOption(line, options);
  }
  return undefined;
}

function readOption(line: string, options: Map<string, string>): void {
  const [, name, value = ''] = /^([\w-]+)\s*(?:=\s*(.*))?$/.exec(line) ?? [];
  if (name === undefined) return;
  const bare = /^"(.*)"$|^'(.*)'$/.exec(value);
  const text = bare ? (bare[1] ?? bare[2] ?? '') : value.replace(/\s+#.*$/, '');
  options.set(name.replaceAll('_', '-'), text);
}

function filesOf(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.cnf'));
    return names.sort().map((name) => join(directory, name));
  } catch (error) {
    if (error instanceof Error && 'code' in error) return [];
    throw error;
  }
}
