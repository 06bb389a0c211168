/**
 * What mysql:, pgsql: and sqlite: tables have in common: the query from its template, the domain
 * filter, and the value from the rows.
 *
 * Nothing is remembered between lookups: a change in the database is seen by the next one.
 *
 * @see mysql_table(5), pgsql_table(5), sqlite_table(5)
 */
import type { Logger } from '../../log/maillog.ts';
import { printable } from '../../log/maillog.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';
import { type DomainFilter, domainFilter, type OpenTable } from './remote-domain.ts';
import type { Settings } from './remote-settings.ts';
import {
  expandKey,
  expandResult,
  isComplete,
  type Needs,
  needsOf,
  parseTemplate,
  type Template,
} from './remote-template.ts';
import {
  plainQuotes,
  quoteSql,
  type SqlDialect,
  type SqlSession,
  sqlPlaces,
} from './sql-quotes.ts';

export type SqlAnswer = {
  readonly rows: readonly (readonly (string | null)[])[];
  /** A stored procedure may give none. */
  readonly hasResultSet: boolean;
};

export type SqlSpec = {
  readonly dialect: SqlDialect;
  readonly name: string;
  readonly query: Template;
  readonly resultFormat: Template;
  readonly needs: Needs;
  readonly domain: DomainFilter;
  readonly expansionLimit: number;
};

/** Text of the query for a session, or why a key cannot be written into it. */
export type SqlText = (session: SqlSession) => Result<string, string>;

/** The fewest characters of a key that no table has: C strings end at NUL; names are Unicode. */
export const isKey = (key: string): boolean => !key.includes('\0') && key.isWellFormed();

/** Read what all three types share. Faults are left in the settings. */
export function sqlSpec(
  dialect: SqlDialect,
  settings: Settings,
  openTable: OpenTable,
): SqlSpec | undefined {
  const source = settings.optional('query') ?? oldQuery(dialect, settings);
  const query = parseTemplate(dialect === 'sqlite' ? plainQuotes(source) : source);
  const resultFormat = parseTemplate(settings.required('result_format', '%s'));
  const domain = domainFilter(settings.text('domain', ''), openTable);
  const expansionLimit = settings.number('expansion_limit', 0, 0);
  if (!query.ok) settings.fault(`query: ${query.error}`);
  if (!resultFormat.ok) settings.fault(`result_format: ${resultFormat.error}`);
  if (!domain.ok) settings.fault(domain.error);
  if (!query.ok || !resultFormat.ok || !domain.ok) return undefined;
  return {
    dialect,
    name: settings.name,
    query: query.value,
    resultFormat: resultFormat.value,
    needs: needsOf([query.value], [resultFormat.value]),
    domain: domain.value,
    expansionLimit,
  };
}

/** The parameters of before Postfix 2.2. */
function oldQuery(dialect: SqlDialect, settings: Settings): string {
  const call = dialect === 'pgsql' ? settings.optional('select_function') : undefined;
  if (call) return `SELECT ${call}('%s')`;
  const table = settings.required('table');
  const select = settings.required('select_field');
  const where = settings.required('where_field');
  const more = settings.text('additional_conditions', '');
  return `SELECT ${select} FROM ${table} WHERE ${where}='%s' ${more}`;
}

export function sqlTable(
  spec: SqlSpec,
  ask: (text: SqlText) => Promise<Result<SqlAnswer, string>>,
  logger: Logger,
): Table {
  const { dialect, name, query, needs, domain } = spec;
  const lookup = async (key: string): Promise<Lookup> => {
    const answer = await ask((session) => queryText(query, dialect, session, key));
    if (!answer.ok) return { kind: 'retry', reason: `${dialect}:${name}: ${answer.error}` };
    return joined(spec, answer.value, key, logger);
  };
  return {
    type: dialect,
    name,
    keys: 'fixed',
    lookup: (key) => {
      if (!isKey(key)) return ABSENT;
      const eligible = domain(key);
      if (eligible instanceof Promise) {
        return eligible.then((answer) => {
          if (answer.kind === 'error') return { kind: 'retry', reason: answer.reason };
          return answer.kind === 'no' || !isComplete(needs, key) ? ABSENT : lookup(key);
        });
      }
      if (eligible.kind === 'error') return { kind: 'retry', reason: eligible.reason };
      return eligible.kind === 'no' || !isComplete(needs, key) ? ABSENT : lookup(key);
    },
  };
}

export function queryText(
  query: Template,
  dialect: SqlDialect,
  session: SqlSession,
  key: string,
): Result<string, string> {
  const places = sqlPlaces(query, dialect, session);
  let fault: string | undefined;
  const text = expandKey(query, key, (value, at) => {
    const quoted = quoteSql(value, places[at], dialect);
    if (!quoted.ok) fault = quoted.error;
    return quoted.ok ? quoted.value : '';
  });
  return fault === undefined ? ok(text) : err(fault);
}

/** All values of all rows, formatted and joined by commas. */
function joined(spec: SqlSpec, { rows }: SqlAnswer, key: string, logger: Logger): Lookup {
  const { dialect, name, resultFormat, needs, expansionLimit } = spec;
  const values: string[] = [];
  for (const value of rows.flat()) {
    if (value === null) continue;
    if (value === '') {
      logger.warning(`table "${dialect}:${name}": empty lookup result for: "${key}" -- ignored`);
      continue;
    }
    const formatted = expandResult(resultFormat, needs, value, key);
    if (formatted === undefined) continue;
    values.push(formatted);
    if (expansionLimit > 0 && values.length > expansionLimit) {
      const text = `${dialect}:${name}: Expansion limit exceeded for key: '${printable(key)}'`;
      logger.warning(text);
      return { kind: 'retry', reason: text };
    }
  }
  const value = values.join(',');
  return value === '' ? ABSENT : { kind: 'found', value };
}
