/**
 * The settings of a table that asks a server: a file in main.cf syntax, or main.cf itself when the
 * table's name starts with neither `/` nor `.` (`mysql:accounts` has `accounts_hosts` and so on).
 *
 * Values in a file are taken as they stand: `$name` is not expanded, as in Postfix. What does not
 * fit is collected in `faults`, in words that name the file, the parameter and the remedy.
 *
 * @see mysql_table(5), ldap_table(5), Postfix cfg_parser(3)
 */
import { readFileSync } from 'node:fs';
import { parseMainCf } from '../../conf/main-cf.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { splitList } from '../../util/text.ts';

export type SettingsFault = { readonly reason: string };

export interface Settings {
  /** The file, or the name in main.cf: for messages. */
  readonly name: string;
  readonly faults: readonly string[];
  /** An empty value counts as set: only an absent one has the default. */
  text(name: string, fallback: string): string;
  /** The same, where empty is a fault. */
  required(name: string, fallback?: string): string;
  /** Set and not empty, or undefined. */
  optional(name: string): string | undefined;
  list(name: string, fallback?: string): string[];
  number(name: string, fallback: number, min: number): number;
  bool(name: string, fallback: boolean): boolean;
  fault(text: string): void;
  /** Parameters of the file that nobody has asked for: misspelt, or of another program. */
  unused(): string[];
}

export function openSettings(
  name: string,
  mainCf: ((name: string) => string | undefined) | undefined,
): Result<Settings, SettingsFault> {
  if (!/^[/.]/.test(name)) {
    const ask = (parameter: string): string | undefined => mainCf?.(`${name}_${parameter}`);
    return ok(settingsOf(name, ask, []));
  }
  let source: string;
  try {
    source = readFileSync(name, 'utf8');
  } catch (error) {
    return err({
      reason: `open ${name}: ${error instanceof Error ? error.message : String(error)}`,
    });
  }
  const { assignments, faults } = parseMainCf(name, source);
  if (faults[0]) return err({ reason: faults[0].text });
  return ok(settingsOf(name, (each) => assignments.get(each)?.value, [...assignments.keys()]));
}

function settingsOf(
  name: string,
  ask: (name: string) => string | undefined,
  present: readonly string[],
): Settings {
  const faults: string[] = [];
  const asked = new Set<string>();
  const raw = (parameter: string): string | undefined => {
    asked.add(parameter);
    return ask(parameter);
  };
  const fault = (text: string): void => void faults.push(`${name}: ${text}`);
  const text = (parameter: string, fallback: string): string => raw(parameter) ?? fallback;
  return {
    name,
    faults,
    fault,
    text,
    required: (parameter, fallback) => {
      const value = raw(parameter) ?? fallback ?? '';
      if (value === '') fault(`'${parameter}' parameter not defined; write ${parameter} = VALUE`);
      return value;
    },
    optional: (parameter) => raw(parameter) || undefined,
    list: (parameter, fallback = '') => splitList(text(parameter, fallback)),
    number: (parameter, fallback, min) => {
      const value = raw(parameter);
      if (value === undefined) return fallback;
      const number = /^\s*[+-]?\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
      if (number >= min) return number;
      fault(`bad numerical configuration: ${parameter} = ${value}; write a whole number >= ${min}`);
      return fallback;
    },
    bool: (parameter, fallback) => {
      const value = raw(parameter)?.toLowerCase();
      if (value === undefined) return fallback;
      if (value !== 'yes' && value !== 'no') {
        fault(`bad boolean configuration: ${parameter} = ${value}; write yes or no`);
      }
      return value === 'yes';
    },
    unused: () => present.filter((parameter) => !asked.has(parameter)),
  };
}
