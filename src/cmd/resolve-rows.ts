/** Which row of which table answered: a witness at each open table, and the line of its file. */
import type { Lookup, Table } from '../lookup/table.ts';
import { patternTable } from '../lookup/types/pattern.ts';
import { type LogicalLine, logicalLines } from '../util/logical-lines.ts';
import { readOrNothing } from '../util/read-text.ts';

export type Origin = { readonly file: string; readonly line: number; readonly text: string };

export type Row = {
  /** `type:name`. */
  readonly table: string;
  readonly key: string;
  readonly answer: Lookup;
  /** Where the row stands, for tables that are text files. */
  readonly origin: Origin | undefined;
};

/** Put a witness in front of every table of a context; who opens them again gets those. */
export function traceTables(cache: Map<string, Table>, onRow: (row: Row) => void): void {
  for (const [id, table] of cache) {
    const note = (key: string, answer: Lookup): Lookup => {
      const origin = answer.kind === 'found' ? originOf(table, key) : undefined;
      onRow({ table: `${table.type}:${shortened(table.name)}`, key, answer, origin });
      return answer;
    };
    cache.set(id, {
      type: table.type,
      name: table.name,
      keys: table.keys,
      close: () => table.close?.(),
      lookup: (key, options) => {
        const answer = table.lookup(key, options);
        return answer instanceof Promise
          ? answer.then((found) => note(key, found))
          : note(key, answer);
      },
    });
  }
}

const shortened = (name: string): string => (name.length > 60 ? `${name.slice(0, 57)}...` : name);

const TEXT_TABLES: ReadonlySet<string> = new Set([
  'hash',
  'btree',
  'dbm',
  'sdbm',
  'lmdb',
  'cdb',
  'texthash',
]);

function originOf({ type, name }: Table, key: string): Origin | undefined {
  const isPattern = type === 'regexp' || type === 'pcre';
  if (!name.startsWith('/') || !(isPattern || TEXT_TABLES.has(type))) return undefined;
  const lines = [...logicalLines(readOrNothing(name))];
  const found = isPattern ? patternLine(type, name, lines, key) : keyLine(lines, key);
  return found ? { file: name, line: found.line, text: found.text } : undefined;
}

/** Keys of maps end at white space, those of aliases at a colon. */
function keyLine(lines: readonly LogicalLine[], key: string): LogicalLine | undefined {
  const wanted = key.toLowerCase();
  return lines.find(({ text }) => {
    const line = text.toLowerCase();
    const next = line.slice(wanted.length, wanted.length + 1);
    return line.startsWith(wanted) && (/\s/.test(next) || next === ':');
  });
}

/** The rule that decides is the last of the shortest beginning of the file that gives the answer. */
function patternLine(
  type: 'regexp' | 'pcre',
  name: string,
  lines: readonly LogicalLine[],
  key: string,
): LogicalLine | undefined {
  let low = 1;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const { table } = patternTable(type, name, lines.slice(0, middle));
    if (table.lookup(key).kind === 'found') high = middle;
    else low = middle + 1;
  }
  return lines[high - 1];
}
