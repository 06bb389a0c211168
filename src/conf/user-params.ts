/**
 * Names that only this site has: which are read by something, and which are set in vain.
 *
 * `registerUserParams()` marks names that a value mentions (or smtpd_restriction_classes, or a
 * database client) and warns of mentioned names without any value; `unusedParams()` then tells what
 * is left. Both speak as postconf(1) does; the callers add what they know of lines.
 *
 * @see postconf(1) "unused parameter"
 */
import { readFileSync } from 'node:fs';
import { references } from '../util/expand.ts';
import { findDbms, settingsOf } from './dbms-params.ts';
import { isRaw } from './defaults.ts';
import { parseMainCf } from './main-cf.ts';
import { READ_ONLY_PARAMETERS } from './postfix-params.ts';
import { expandIn, type Scope, type ServiceEntry, valueIn } from './scope.ts';

export type ParamWarning = {
  /** `main.cf`, `master.cf`, or nothing where the text says all. */
  readonly source: 'main.cf' | 'master.cf' | '';
  readonly entry?: ServiceEntry | undefined;
  readonly name: string;
  readonly text: string;
};

/** `isFatal`: a value of a built-in parameter cannot be expanded at all. */
export type Registered = { readonly warnings: readonly ParamWarning[]; readonly isFatal: boolean };

type State = {
  readonly scope: Scope;
  readonly warnings: ParamWarning[];
  readonly restrictionClasses: Set<string>;
  readonly files: Set<string>;
  isFatal: boolean;
};

export function registerUserParams(scope: Scope): Registered {
  const restrictionClasses = new Set<string>();
  const files = new Set<string>();
  const state: State = { scope, warnings: [], restrictionClasses, files, isFatal: false };
  for (const entry of scope.entries) if (entry.params) scan(state, entry.params, entry);
  for (const name of [...scope.classes.keys()]) {
    if (isRaw(name) || scope.main.has(name)) continue;
    mention(state, name, references(valueIn(scope, name) ?? '').names, undefined);
  }
  scan(state, scope.main, undefined);
  return { warnings: state.warnings, isFatal: state.isFatal };
}

const sourceOf = (entry: ServiceEntry | undefined) => (entry ? 'master.cf' : 'main.cf');

/** Mark names as the user's where they have a value; warn of those that nobody gives one. */
function mention(
  state: State,
  by: string,
  names: readonly string[],
  entry: ServiceEntry | undefined,
  isQuiet = false,
): void {
  const { scope } = state;
  for (const name of names) {
    let isSet = false;
    if (entry?.params?.has(name)) {
      isSet = true;
      entry.valid.add(name);
    } else if (scope.main.has(name)) {
      isSet = true;
      if (!scope.classes.has(name)) scope.classes.set(name, 'user');
    }
    if (!entry) {
      for (const each of scope.entries) {
        if (!each.params?.has(name)) continue;
        isSet = true;
        each.valid.add(name);
      }
    }
    if (isSet || isQuiet || scope.classes.has(name)) continue;
    const text = `undefined parameter: ${name}`;
    const found = { source: sourceOf(entry), entry, name: by, text } as const;
    if (!state.warnings.some((each) => each.text === text && each.source === found.source))
      state.warnings.push(found);
  }
}

function scan(state: State, params: Map<string, string>, entry: ServiceEntry | undefined): void {
  const { scope } = state;
  const list = params.get('smtpd_restriction_classes');
  if (list !== undefined) {
    for (const name of expandIn(scope, list, { entry }).text.split(/[,\s]+/)) {
      if (name === '') continue;
      if (!entry) state.restrictionClasses.add(name);
      mention(state, 'smtpd_restriction_classes', [name], entry);
    }
  }
  for (const [name, value] of [...params]) {
    if (entry && (state.restrictionClasses.has(name) || isGlobalClass(scope, name)))
      entry.valid.add(name);
    if (READ_ONLY_PARAMETERS.has(name)) {
      const text = `read-only parameter assignment: ${name}=${value}`;
      state.warnings.push({ source: sourceOf(entry), entry, name, text });
      params.delete(name);
      continue;
    }
    if (scope.classes.get(name) === 'legacy') scope.classes.set(name, 'user');
    if (isRaw(name)) continue;
    const { names, faults } = references(value);
    for (const text of faults) state.warnings.push({ source: '', entry, name, text });
    mention(state, name, names, entry);
    const known = scope.classes.get(name);
    if (known === 'builtin' || known === 'service') scanDbms(state, name, value, entry);
  }
}

function isGlobalClass(scope: Scope, name: string): boolean {
  const list = scope.main.get('smtpd_restriction_classes');
  return (
    list !== undefined &&
    expandIn(scope, list)
      .text.split(/[,\s]+/)
      .includes(name)
  );
}

/** Settings of database clients in main.cf are read by the client; in files they are checked. */
function scanDbms(
  state: State,
  name: string,
  value: string,
  entry: ServiceEntry | undefined,
): void {
  const expanded = expandIn(state.scope, value, { entry });
  if (expanded.faults.length > 0) {
    const known = state.warnings.some(({ text }) => text === expanded.faults[0]);
    if (!known) for (const text of expanded.faults) state.warnings.push({ source: '', name, text });
    state.isFatal = true;
    return;
  }
  for (const use of findDbms(expanded.text)) {
    if (use.kind === 'names') mention(state, name, use.names, entry, true);
    else if (use.kind === 'file') checkFile(state, name, use.type, use.path);
    else {
      const text = `#comment after other text is not allowed: ${use.text}...`;
      state.warnings.push({ source: sourceOf(entry), entry, name, text });
    }
  }
}

function checkFile(state: State, name: string, type: string, path: string): void {
  const spec = `${type}:${path}`;
  if (state.files.has(spec)) return;
  state.files.add(spec);
  const warn = (text: string): void => void state.warnings.push({ source: '', name, text });
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (error.code === 'EACCES') return;
    const why = error.code === 'ENOENT' ? 'No such file or directory' : 'not a regular file';
    warn(`open "${type}" configuration "${path}": ${why}`);
    return;
  }
  const { assignments, faults } = parseMainCf(path, source);
  for (const { text } of faults) warn(text);
  const known = settingsOf(type);
  for (const [key, { value, line }] of assignments) {
    if (!known.includes(key)) warn(`${spec}: unused parameter: ${key}=${value} (line ${line})`);
  }
}

export type Unused = {
  readonly source: 'main.cf' | 'master.cf';
  readonly entry?: ServiceEntry;
  readonly name: string;
  readonly value: string;
};

/** Settings whose names nothing knows. */
export function unusedParams(scope: Scope): readonly Unused[] {
  const isKnown = (name: string, entry?: ServiceEntry): boolean =>
    scope.classes.has(name) || entry?.valid.has(name) === true;
  const main = [...scope.main]
    .filter(([name]) => !isKnown(name))
    .map(([name, value]) => ({ source: 'main.cf' as const, name, value }));
  const master = scope.entries.flatMap((entry) =>
    [...(entry.params ?? [])]
      .filter(([name]) => !isKnown(name, entry))
      .map(([name, value]) => ({ source: 'master.cf' as const, entry, name, value })),
  );
  return [...main, ...master];
}
