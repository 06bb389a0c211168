/**
 * Every parameter that a configuration knows, with the value each has for the whole system or for
 * one master.cf entry: what postconf(1) shows, and what is set and read by nobody.
 *
 * Names are built in (Postern's and Postfix's), made by master.cf (service-params.ts), or the user's
 * own: a name that some value or smtpd_restriction_classes mentions and that has a value.
 */
import { type Expanded, expand } from '../util/expand.ts';
import { defaultOf, type Host, isRaw } from './defaults.ts';
import type { MasterEntry } from './master-entry.ts';
import { splitNameValue } from './name-value.ts';
import { PARAMS } from './params.ts';
import { LEGACY_PARAMETERS, POSTFIX_PARAMETERS, READ_ONLY_PARAMETERS } from './postfix-params.ts';
import { serviceParams } from './service-params.ts';

export type ParamClass = 'builtin' | 'service' | 'user' | 'legacy';

export type ServiceEntry = {
  readonly words: readonly string[];
  readonly line: number;
  /** `smtp/inet`. */
  readonly name: string;
  /** Its -o settings; entries of one name share them, as in Postfix. Undefined without any. */
  readonly params: Map<string, string> | undefined;
  /** User-defined names that its settings may have. */
  readonly valid: Set<string>;
  /** process_name and service_name. */
  readonly fixed: ReadonlyMap<string, string>;
};

export type Scope = {
  readonly directory: string;
  /** What main.cf sets, and -o of the command line. */
  readonly main: Map<string, string>;
  readonly entries: readonly ServiceEntry[];
  readonly classes: Map<string, ParamClass>;
  readonly host: Host;
  /** What process_name is outside of any service. */
  readonly program: string;
};

export type View = {
  readonly isDefaults?: boolean;
  readonly isNonDefault?: boolean;
  readonly entry?: ServiceEntry | undefined;
};

export function makeScope(
  directory: string,
  main: Map<string, string>,
  masterEntries: readonly MasterEntry[],
  host: Host,
  program: string,
): Scope {
  const classes = new Map<string, ParamClass>();
  for (const name of [...Object.keys(PARAMS), ...POSTFIX_PARAMETERS.keys()])
    classes.set(name, 'builtin');
  for (const name of LEGACY_PARAMETERS) classes.set(name, 'legacy');
  for (const name of READ_ONLY_PARAMETERS) classes.set(name, 'builtin');
  for (const { words } of masterEntries)
    for (const [name = ''] of serviceParams(words[0] ?? '', words[7] ?? ''))
      classes.set(name, 'service');
  return { directory, main, entries: serviceEntries(masterEntries), classes, host, program };
}

function serviceEntries(masterEntries: readonly MasterEntry[]): ServiceEntry[] {
  const shared = new Map<string, Map<string, string>>();
  const named = masterEntries.map(({ words, line }) => {
    const [service = '', type = ''] = words;
    const name = `${service}/${type}`;
    for (const [key, value] of optionsOf(words)) {
      const params = shared.get(name) ?? new Map<string, string>();
      shared.set(name, params.set(key, value));
    }
    const program = (words[7] ?? '').split('/').at(-1) ?? '';
    const fixed = new Map([
      ['process_name', program],
      ['service_name', program === service ? program : service],
    ]);
    return { words, line, name, fixed, valid: new Set<string>() };
  });
  return named.map((entry) => ({ ...entry, params: shared.get(entry.name) }));
}

/** The `-o name=value` settings among the arguments, before the first that is no option. */
export function optionsOf(words: readonly string[]): [name: string, value: string][] {
  const options: [string, string][] = [];
  for (let at = 8; words[at]?.startsWith('-') && words[at] !== '--'; at += 1) {
    if (words[at]?.[1] !== 'o' || words[at + 1] === undefined) continue;
    at += 1;
    const split = splitNameValue(words[at] ?? '');
    if (split.ok) options.push([split.value.name, split.value.value]);
  }
  return options;
}

/** The value as it is written, or undefined: not set where only settings are asked for, or unknown. */
export function valueIn(scope: Scope, name: string, view: View = {}): string | undefined {
  if (view.isDefaults !== true) {
    const set =
      view.entry?.fixed.get(name) ?? view.entry?.params?.get(name) ?? scope.main.get(name);
    if (set !== undefined) return set;
    if (view.isNonDefault === true) return undefined;
  }
  return scope.classes.has(name) ? standardOf(scope, name, view) : undefined;
}

function standardOf(scope: Scope, name: string, view: View): string {
  if (name === 'process_name') return scope.program;
  if (name === 'service_name') return '';
  if (name === 'process_id') return String(process.pid);
  const settings = (key: string): string | undefined =>
    view.isDefaults === true ? undefined : scope.main.get(key);
  const known = defaultOf(name, settings, scope.host);
  if (known !== undefined) return known;
  for (const { words } of scope.entries) {
    const own = serviceParams(words[0] ?? '', words[7] ?? '').find(([key]) => key === name);
    if (own) return own[1] ?? '';
  }
  return '';
}

/** A text expanded with the values of that view; settings and defaults both count. */
export function expandIn(scope: Scope, text: string, view: View = {}): Expanded {
  const own = { ...view, isNonDefault: false };
  return expand(text, (name) => valueIn(scope, name, own), isRaw);
}
