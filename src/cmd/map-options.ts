/**
 * Command lines of postmap(1) and postalias(1).
 *
 * `-n` and `-N` (whether keys in the file end with a null byte) are taken and change nothing: no
 * other program reads the indexes.
 */
import { err, ok, type Result } from '../util/result.ts';

export type MapAction =
  | { readonly kind: 'create' }
  | { readonly kind: 'update' }
  | { readonly kind: 'list' }
  /** Key `-`: from standard input, one a line. */
  | { readonly kind: 'query' | 'delete'; readonly key: string };

export type MapOptions = {
  readonly action: MapAction;
  readonly tables: readonly string[];
  readonly duplicates: 'warn' | 'ignore' | 'replace';
  /** -f: keys keep their case. */
  readonly isExact: boolean;
  /** -F: values name files. */
  readonly hasFileValues: boolean;
  /** -h, -b, -m: keys are header fields or body lines of the message on standard input. */
  readonly headers: boolean;
  readonly body: boolean;
  readonly mime: boolean;
  readonly isJson: boolean;
  /** -o: keep root's rights when the text belongs to somebody else. */
  readonly keepsRoot: boolean;
  /** -p: access bits are not taken from the text. */
  readonly hasOwnMode: boolean;
  /** -u. */
  readonly isBytes: boolean;
  /** -U: UTF-8 is demanded with -h and -b too. */
  readonly demandsUtf8: boolean;
  readonly isVerbose: boolean;
  readonly configDirectory?: string;
};

/** `complaint`: what getopt(3) says of a bad word, a line of its own before the usage. */
export type UsageFault = { readonly complaint?: string; readonly text: string };

const ONE_ACTION = 'specify only one of -d -i -q or -s';

export function parseMapOptions(
  name: string,
  argv: readonly string[],
): Result<MapOptions, UsageFault> {
  const isAlias = name === 'postalias';
  const letters = isAlias ? 'fijnNoprsuvw' : 'bfFhijmnNoprsuUvw';
  const usage = `usage: ${name} ${isAlias ? '[-Nfinoprsuvw]' : '[-bfFhimnNoprsuUvw]'} [-c config_dir] [-d key] [-q key] [map_type:]file...`;
  const on = new Set<string>();
  let action: MapAction = { kind: 'create' };
  let duplicates: MapOptions['duplicates'] = 'warn';
  let configDirectory: string | undefined;
  let at = 0;
  for (; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--') {
      at += 1;
      break;
    }
    if (!word.startsWith('-') || word === '-') break;
    for (let index = 1; index < word.length; index += 1) {
      const letter = word[index] ?? '';
      if ('cdq'.includes(letter)) {
        const rest = word.slice(index + 1);
        if (rest === '') at += 1;
        const value = rest === '' ? argv[at] : rest;
        if (value === undefined) {
          const complaint = `option requires an argument -- '${letter}'`;
          return err({ complaint, text: usage });
        }
        if (letter === 'c') configDirectory = value;
        else if (action.kind !== 'create') return err({ text: ONE_ACTION });
        else action = { kind: letter === 'q' ? 'query' : 'delete', key: value };
        break;
      }
      if (!letters.includes(letter)) {
        return err({ complaint: `invalid option -- '${letter}'`, text: usage });
      }
      on.add(letter);
      if (letter === 'r') duplicates = 'replace';
      if (letter === 'w') duplicates = 'ignore';
      if (letter !== 'i' && letter !== 's') continue;
      if (action.kind !== 'create') return err({ text: ONE_ACTION });
      action = { kind: letter === 'i' ? 'update' : 'list' };
    }
  }
  const options: MapOptions = {
    action,
    tables: argv.slice(at),
    duplicates,
    isExact: on.has('f'),
    hasFileValues: on.has('F'),
    headers: on.has('h'),
    body: on.has('b'),
    mime: on.has('m'),
    isJson: on.has('j'),
    keepsRoot: on.has('o'),
    hasOwnMode: on.has('p'),
    isBytes: on.has('u'),
    demandsUtf8: on.has('U'),
    isVerbose: on.has('v'),
    ...(configDirectory === undefined ? {} : { configDirectory }),
  };
  const fault = inconsistency(options, usage);
  return fault === undefined ? ok(options) : err({ text: fault });
}

function inconsistency(options: MapOptions, usage: string): string | undefined {
  const { action, headers, body, mime, isJson, tables } = options;
  if (isJson && action.kind !== 'query' && action.kind !== 'list') {
    return 'option -j requires -q or -s';
  }
  const isBatch = action.kind === 'query' && action.key === '-';
  if ((headers || body || mime) && !isBatch) return 'specify -b -h or -m only with "-q -"';
  return tables.length === 0 && action.kind !== 'list' ? usage : undefined;
}
