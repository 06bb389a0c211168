/** `debug:type:name`: each lookup of another table, logged with its result. @see DATABASE_README */
import type { Logger } from '../../log/maillog.ts';
import type { Lookup, Table } from '../table.ts';

export function debugTable(name: string, table: Table, logger: Logger): Table {
  const log = (key: string, answer: Lookup): Lookup => {
    const result =
      answer.kind === 'found' ? answer.value : answer.kind === 'absent' ? 'not_found' : 'error';
    logger.info(`${name} lookup: "${key}" = "${result}"`);
    return answer;
  };
  return {
    type: 'debug',
    name,
    keys: table.keys,
    lookup: (key, options) => {
      const answer = table.lookup(key, options);
      return answer instanceof Promise ? answer.then((found) => log(key, found)) : log(key, answer);
    },
  };
}
