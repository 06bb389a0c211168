/** postconf(1): main.cf parameters, and what master.cf holds, as they are, by default, or expanded. */
import { isRaw } from '../conf/defaults.ts';
import { COMMAND_FIELD, FIELD_NAMES } from '../conf/master-entry.ts';
import { expandIn, type Scope, type ServiceEntry, type View, valueIn } from '../conf/scope.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Io } from './main.ts';
import type { Options } from './postconf-options.ts';
import { matches, parsePattern, type ServicePattern } from './postconf-pattern.ts';
import { plainWords, printCommand, printEntry, printJson, printLine } from './postconf-print.ts';
import { fatal, readScope, warn, warnUnused } from './postconf-read.ts';

/** One run. Once a value cannot be expanded nothing more is written, and the program fails. */
type Run = { readonly scope: Scope; readonly options: Options; readonly io: Io; isBroken: boolean };

function emit(run: Run, text: string): void {
  if (!run.isBroken) run.io.stdout(text);
}

/** Warn of what is read by nobody, or say why nothing was shown. */
function finish(run: Run, isMain: boolean): number {
  if (run.isBroken) return fatal(run.io, 'macro processing error');
  warnUnused(run.scope, run.options, run.io, isMain);
  return 0;
}

export function showMain(options: Options, io: Io): number {
  const scope = readScope(options, io, false);
  if (!scope.ok) return fatal(io, scope.error);
  const { flags, names, classes } = options;
  const view: View = { isDefaults: flags.has('d'), isNonDefault: flags.has('n') };
  const run: Run = { scope: scope.value, options, io, isBroken: false };
  const all = [...scope.value.classes].filter(([, each]) => classes.has(each));
  for (const name of names.length > 0 ? names : all.map(([each]) => each).sort()) {
    if (run.isBroken) break;
    if (!scope.value.classes.has(name)) warn(io, `${name}: unknown parameter`);
    else showParam(run, name, view);
  }
  return finish(run, true);
}

function showParam(run: Run, name: string, view: View): void {
  const value = valueIn(run.scope, name, view);
  if (value === undefined) return;
  const shown = run.options.flags.has('x') && !isRaw(name) ? expanded(run, value, view) : value;
  emit(run, setting(name, shown, run.options));
}

/** `name = value`, either half, or JSON. */
function setting(name: string, value: string, { flags }: Options): string {
  const isFolded = flags.has('f');
  if (flags.has('H')) return printLine(name, isFolded);
  if (flags.has('j')) return printJson(name, value);
  return printLine(flags.has('h') ? value : `${name} = ${value}`, isFolded);
}

function expanded(run: Run, text: string, view: View): string {
  if (run.isBroken) return '';
  const result = expandIn(run.scope, text, view);
  for (const fault of result.faults) warn(run.io, fault);
  run.isBroken ||= result.faults.length > 0;
  return result.text;
}

type Request = { readonly text: string; readonly pattern: ServicePattern; count: number };

/** -M: entries; -F: their fields; -P: their -o settings, -PP: all settings as the service sees them. */
export function showMaster(options: Options, io: Io): number {
  const scope = readScope(options, io, true);
  if (!scope.ok) return fatal(io, scope.error);
  const requests = readRequests(options);
  if (!requests.ok) return fatal(io, requests.error);
  const show = options.flags.has('M')
    ? showEntry
    : options.flags.has('F')
      ? showFields
      : showParams;
  const run: Run = { scope: scope.value, options, io, isBroken: false };
  for (const entry of scope.value.entries) {
    if (requests.value.length === 0) show(run, entry, '*');
    for (const request of requests.value) {
      if (!matches(request.pattern, entry.words)) continue;
      if (show(run, entry, request.pattern[2] ?? '*')) request.count += 1;
    }
  }
  for (const { text, count } of run.isBroken ? [] : requests.value)
    if (count === 0) warn(io, `unmatched request: "${text}"`);
  return finish(run, false);
}

function readRequests({ flags, names }: Options): Result<Request[], string> {
  const requests: Request[] = [];
  for (const text of names) {
    const pattern = parsePattern(text, 1, flags.has('M') ? 2 : 3);
    if (!pattern) {
      if (flags.has('M')) return err('-M option requires service_name[/type]');
      return err(
        flags.has('F')
          ? '-F option requires service_name[/type[/field]]'
          : '-P option requires service_name[/type[/parameter]]',
      );
    }
    const field = pattern[2] ?? '*';
    if (flags.has('F') && field !== '*' && !FIELD_NAMES.some((each) => each === field))
      return err(`invalid service attribute name: "${field}"`);
    requests.push({ text, pattern, count: 0 });
  }
  return ok(requests);
}

/** How -o values are written: expanded with -x. */
const optionValue =
  (run: Run, entry: ServiceEntry) =>
  (text: string): string =>
    run.options.flags.has('x') ? expanded(run, text, { entry }) : text;

function showEntry(run: Run, entry: ServiceEntry, _: string): true {
  const value = optionValue(run, entry);
  const { flags } = run.options;
  const text = flags.has('j')
    ? printJson(entry.name, plainWords(entry.words, 0, value))
    : printEntry(entry.words, flags.has('f'), value);
  emit(run, text);
  return true;
}

function showFields(run: Run, entry: ServiceEntry, wanted: string): true {
  for (const [at, field] of FIELD_NAMES.entries())
    if (wanted === '*' || wanted === field) emit(run, fieldText(run, entry, at));
  return true;
}

function fieldText(run: Run, entry: ServiceEntry, at: number): string {
  const { flags } = run.options;
  const value = optionValue(run, entry);
  const name = `${entry.name}/${FIELD_NAMES[at]}`;
  const isCommand = at === COMMAND_FIELD;
  const word = entry.words[at] ?? '';
  if (flags.has('j')) return printJson(name, isCommand ? plainWords(entry.words, at, value) : word);
  if (flags.has('H')) return `${name}\n`;
  const label = flags.has('h') ? '' : `${name} = `;
  return isCommand ? printCommand(label, entry.words, flags.has('f'), value) : `${label}${word}\n`;
}

function showParams(run: Run, entry: ServiceEntry, wanted: string): boolean {
  const { flags } = run.options;
  if (!flags.has('PP') && entry.params === undefined) return false;
  const params = flags.has('PP') ? mergedParams(run, entry) : (entry.params ?? new Map());
  const names = wanted === '*' ? [...params.keys()].sort() : params.has(wanted) ? [wanted] : [];
  for (const name of names) {
    const text = params.get(name) ?? '';
    const value = flags.has('x') ? expanded(run, text, { entry }) : text;
    emit(run, setting(`${entry.name}/${name}`, value, run.options));
  }
  return wanted === '*' || names.length > 0;
}

function mergedParams({ scope, options }: Run, entry: ServiceEntry): Map<string, string> {
  const merged = new Map<string, string>();
  for (const [name, each] of scope.classes) {
    if (options.names.length === 0 && !options.classes.has(each)) continue;
    const value = valueIn(scope, name, { entry });
    if (value !== undefined) merged.set(name, value);
  }
  for (const [name, value] of entry.params ?? []) if (!merged.has(name)) merged.set(name, value);
  return merged;
}
