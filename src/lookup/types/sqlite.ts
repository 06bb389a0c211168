/**
 * `sqlite:/file` and `sqlite:name`: rows of a SQLite database, its first column only, as in Postfix.
 *
 * @see sqlite_table(5)
 */
import { ok, type Result } from '../../util/result.ts';
import { SqliteFile } from '../client/sqlite.ts';
import type { Table } from '../table.ts';
import { type RemoteContext, SharedPools, tableFault } from './remote-pools.ts';
import type { Settings, SettingsFault } from './remote-settings.ts';
import { type SqlText, sqlSpec, sqlTable } from './sql.ts';

const FILES = new SharedPools<SqliteFile>();
const SESSION = { backslash: false, ansiQuotes: true };

export function sqliteTable(
  settings: Settings,
  { logger, owner, openTable }: RemoteContext,
): Result<Table, SettingsFault> {
  const path = settings.required('dbpath');
  const timeoutMs = settings.number('timeout', 10, 1) * 1000;
  const spec = sqlSpec('sqlite', settings, openTable);
  if (!spec || settings.faults.length > 0) return tableFault(settings, logger);
  const file = FILES.get(owner, [path, timeoutMs], () => new SqliteFile(path, timeoutMs));
  const ask = async (text: SqlText) => {
    const query = text(SESSION);
    const answer = query.ok ? await file.query(query.value) : query;
    if (answer.ok) return answer;
    const reason = typeof answer.error === 'string' ? answer.error : answer.error.reason;
    logger.warning(`sqlite:${settings.name}: query failed: ${path}: ${reason}`);
    return { ok: false, error: `${path}: ${reason}` } as const;
  };
  return ok({ ...sqlTable(spec, ask, logger), close: () => file.close() });
}
