/**
 * The command line of postconf(1): which mode, which modifiers, and which of them do not go together.
 */

import type { ParamClass } from '../conf/scope.ts';
import { err, ok, type Result } from '../util/result.ts';

/** Option letters as this program names them in messages, in Postfix's order. */
const NAMES = [...'aAbCdeFfFhHjlmMnopPtTxX#'].filter((each, at, all) => all.indexOf(each) === at);
const TAKES_VALUE = 'cCoT';
const KNOWN = 'aAbdefFhHjlmMnpPqtvxX#';

export type Options = {
  /** Letters given, with `PP` for a second -P. */
  readonly flags: ReadonlySet<string>;
  readonly names: readonly string[];
  readonly classes: ReadonlySet<ParamClass>;
  readonly overrides: readonly string[];
  readonly tlsMode?: string | undefined;
  /** -c, where it is written together with other letters. */
  readonly directory?: string | undefined;
};

const MAJOR = ['a', 'A', 'b', 'l', 'm', 't', 'p', 'M', 'F', 'P', 'T'];
const EDITS = ['e', '#', 'X'];

/** At most one of each list. */
const EXCLUSIVE: readonly (readonly string[])[] = [
  MAJOR,
  ['PP', ...EDITS],
  ['d', 'n', ...EDITS],
  ['f', ...EDITS],
  ['x', ...EDITS],
  ['o', 'd', ...EDITS],
  ['h', 'H', ...EDITS],
];

/** With the first nothing but the others. */
const ALLOWED: readonly (readonly [string, string])[] = [
  ['a', ''],
  ['A', ''],
  ['b', ''],
  ['l', ''],
  ['m', ''],
  ['T', ''],
  ['t', ''],
  ['p', 'eX#fhCxdnoHj'],
  ['M', 'eX#foxj'],
  ['F', 'efhoxHj'],
  ['P', 'eXfhoxHj'],
  ['j', 'pMFPoxnd'],
  ['C', 'pdn'],
];

export const USAGE =
  'usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)]' +
  ' [-c config_dir] [-c param_class] [-d (parameter defaults)] [-e (edit configuration)]' +
  ' [-f (fold lines)] [-F (master.cf fields)] [-h (no names)] [-H (no values)]' +
  ' [-j (streaming JSON) ] [-l (lock types)] [-m (map types)] [-M (master.cf)]' +
  ' [-n (non-default parameters)] [-o name=value (override parameter value)]' +
  ' [-p (main.cf, default)] [-P (master.cf parameters)] [-t (bounce templates)]' +
  ' [-T compile-version|run-version|public-key-algorithms] [-v (verbose)]' +
  ' [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]';

export function parseOptions(argv: readonly string[]): Result<Options, string> {
  const flags = new Set<string>();
  const overrides: string[] = [];
  let classes: ReadonlySet<ParamClass> = new Set(['builtin', 'service', 'user']);
  let tlsMode: string | undefined;
  let directory: string | undefined;
  let at = 0;
  for (; argv[at]?.startsWith('-') && argv[at] !== '-'; at += 1) {
    if (argv[at] === '--') {
      at += 1;
      break;
    }
    let letters = (argv[at] ?? '').slice(1);
    while (letters !== '') {
      const letter = letters[0] ?? '';
      letters = letters.slice(1);
      if (!TAKES_VALUE.includes(letter)) {
        if (!KNOWN.includes(letter)) return err(USAGE);
        flags.add(letter === 'P' && flags.has('P') ? 'PP' : letter);
        continue;
      }
      if (letters === '') at += 1;
      const value = letters === '' ? argv[at] : letters;
      letters = '';
      if (value === undefined) return err(USAGE);
      if (letter === 'c') {
        directory = value;
        continue;
      }
      flags.add(letter);
      if (letter === 'o') overrides.push(value);
      else if (letter === 'T') tlsMode = value;
      else {
        const read = readClasses(value);
        if (!read.ok) return read;
        classes = read.value;
      }
    }
  }
  const names = argv.slice(at);
  if (!MAJOR.some((each) => flags.has(each))) flags.add('p');
  const isMainOrMaster = ['p', 'M', 'F', 'P'].some((each) => flags.has(each));
  if (isMainOrMaster && names[0]?.includes('=')) flags.add('e');
  const fault = conflict(flags);
  if (fault !== undefined) return err(fault);
  if (flags.has('e') && names.length === 0) return err('-e requires name=value argument');
  return ok({ flags, names, classes, overrides, tlsMode, directory });
}

const CLASSES = ['builtin', 'service', 'user'] as const;

function readClasses(text: string): Result<ReadonlySet<ParamClass>, string> {
  const classes = new Set<ParamClass>();
  for (const word of text.split(/[,\s]+/).filter((each) => each !== '')) {
    const found = CLASSES.filter((each) => each === word.toLowerCase());
    const wanted = word.toLowerCase() === 'all' ? CLASSES : found;
    if (wanted.length === 0) return err(`unknown -C option value "${word}" in "${text}"`);
    for (const each of wanted) classes.add(each);
  }
  return ok(classes);
}

const shown = (flags: readonly string[]): string =>
  [...NAMES, 'PP']
    .filter((each) => flags.includes(each))
    .map((each) => `-${each}`)
    .join(' ');

function conflict(flags: ReadonlySet<string>): string | undefined {
  for (const list of EXCLUSIVE) {
    const given = list.filter((each) => flags.has(each));
    if (given.length > 1) return `specify one of ${shown(given)}`;
  }
  const checked = [...flags].filter((each) => !'qv'.includes(each));
  for (const [option, allowed] of ALLOWED) {
    if (!flags.has(option)) continue;
    const excess = checked.filter(
      (each) => each !== option && each !== 'PP' && !allowed.includes(each),
    );
    if (excess.length > 0) return `with option -${option}, do not specify ${shown(excess)}`;
  }
  return undefined;
}
