/** Tables in main.cf of types that Postfix has and this server has no client for. */
import type { MainCf } from '../conf/main-cf.ts';
import { SURROGATES } from '../lookup/open.ts';

/** One warning for each place. */
export function unsupportedTables(file: string, { assignments }: Pick<MainCf, 'assignments'>) {
  return [...assignments].flatMap(([name, { value, line }]) =>
    [...value.matchAll(/(?<![\w.-])([a-z]+):(?=\S)/g)]
      .filter(([, type = '']) => SURROGATES.has(type))
      .map(
        ([, type]) =>
          `file ${file}: line ${line}: ${name}: ${type}: tables are not supported: each lookup fails and mail waits; use another type, for instance hash: or ldap:`,
      ),
  );
}
