/**
 * One master.cf line as words: eight columns, then options and arguments in their plain form.
 *
 *   service type private unprivileged chroot wakeup maxproc command + arguments
 *
 * Every form of an option becomes two words, `-o` and `name=value`; braces that keep blanks together
 * are taken off. Columns keep the `-` that stands for a default, so that an entry can be shown and
 * edited as it was written; master-cf.ts makes rows of them.
 *
 * @see master(5)
 */
import { type LogicalLine, logicalLines } from '../util/logical-lines.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitOutsideBraces } from '../util/text.ts';
import type { ConfigFault } from './main-cf.ts';
import { splitNameValue } from './name-value.ts';

export const FIELD_NAMES = [
  'service',
  'type',
  'private',
  'unprivileged',
  'chroot',
  'wakeup',
  'process_limit',
  'command',
] as const;

export const COMMAND_FIELD = 7;

export type MasterEntry = {
  /** Eight columns, then the arguments. */
  readonly words: readonly string[];
  readonly line: number;
};

export type MasterEntries = {
  readonly entries: readonly MasterEntry[];
  readonly faults: readonly ConfigFault[];
  readonly warnings: readonly ConfigFault[];
};

export function parseMasterEntries(file: string, source: string): MasterEntries {
  const entries: MasterEntry[] = [];
  const faults: ConfigFault[] = [];
  const warnings: ConfigFault[] = [];
  const at = (line: number, text: string): ConfigFault => ({
    file,
    line,
    text: `file ${file}: line ${line}: ${text}`,
  });
  const onStray = ({ text, line }: LogicalLine): void => {
    const shown = text.length > 30 ? `${text.slice(0, 30)}...` : text;
    warnings.push(at(line, `logical line must not start with whitespace: "${shown}"`));
  };
  for (const { text, line } of logicalLines(source, onStray)) {
    const parsed = parseEntry(text);
    if (!parsed.ok) {
      faults.push(at(line, parsed.error));
      continue;
    }
    warnings.push(...parsed.value.warnings.map((each) => at(line, each)));
    entries.push({ words: parsed.value.words, line });
  }
  return { entries, faults, warnings };
}

export type ParsedEntry = {
  readonly words: readonly string[];
  /** Braces that do not close; the words are what could be made of them. */
  readonly warnings: readonly string[];
};

/** The words of an entry; the error says which column is wrong and what to write. */
export function parseEntry(text: string): Result<ParsedEntry, string> {
  const words = splitWords(text);
  if (words.length < FIELD_NAMES.length) {
    return err(
      `bad field count; ${words.length} of at least 8: service type private unpriv chroot wakeup maxproc command`,
    );
  }
  const fault = checkFields(words, text);
  if (fault !== undefined) return err(fault);
  const { args, warnings } = normalizeArguments(words.slice(FIELD_NAMES.length));
  return ok({ words: [...words.slice(0, FIELD_NAMES.length), ...args], warnings });
}

const TYPES: ReadonlySet<string> = new Set(['inet', 'unix', 'unix-dgram', 'fifo', 'pass']);

/** What is wrong with the columns, or undefined. */
export function checkFields(words: readonly string[], text: string): string | undefined {
  const invalid = (column: number, remedy: string): string =>
    `invalid ${FIELD_NAMES[column]} field "${words[column]}" in "${text}"; ${remedy}`;
  if (!TYPES.has(words[1] ?? '')) return invalid(1, 'write inet, unix, unix-dgram, fifo or pass');
  for (const column of [2, 3, 4])
    if (!/^[yn-]$/.test(words[column] ?? '')) return invalid(column, 'write y, n or -');
  if (!/^(-|\d*)\??$/.test(words[5] ?? '')) return invalid(5, 'write seconds, 0 or -');
  if (!/^(-|\d*)$/.test(words[6] ?? '')) return invalid(6, 'write a number or -');
  return undefined;
}

/** Words between blanks; what stands between balanced braces is never split. */
export const splitWords = (text: string): string[] =>
  splitOutsideBraces(text, (char) => ' \t\r\n'.includes(char));

/** Options as `-o name=value` and single words, then the arguments without their braces. */
export function normalizeArguments(words: readonly string[]): {
  readonly args: readonly string[];
  readonly warnings: readonly string[];
} {
  const args: string[] = [];
  const warnings: string[] = [];
  const rest = [...words];
  while (rest[0]?.startsWith('-') && rest[0] !== '--') {
    const word = rest.shift() ?? '';
    const value = word.indexOf('o', 1);
    if (value > 1) {
      // `-vo` is `-v -o`.
      args.push(word.slice(0, value));
      rest.unshift(`-${word.slice(value)}`);
      continue;
    }
    if (value < 0) {
      args.push(word);
      continue;
    }
    args.push('-o');
    const text = word.length > 2 ? word.slice(2) : rest.shift();
    if (text === undefined) continue;
    args.push(text.startsWith('{') ? optionOf(text, warnings) : text);
  }
  args.push(...rest.map((word) => (word.startsWith('{') ? unbrace(word, warnings) : word)));
  return { args, warnings };
}

function optionOf(text: string, warnings: string[]): string {
  const inner = unbrace(text, warnings);
  const split = splitNameValue(inner);
  if (split.ok) return `${split.value.name}=${split.value.value}`;
  warnings.push(`${split.error}: "${inner}"`);
  return inner;
}

/** The text between the outer braces, without blanks at its ends. @see Postfix extpar(3) */
function unbrace(word: string, warnings: string[]): string {
  let level = 0;
  for (let at = 0; at < word.length; at += 1) {
    if (word[at] === '{') level += 1;
    else if (word[at] === '}') level -= 1;
    if (level > 0) continue;
    if (at < word.length - 1) warnings.push(`syntax error after '}' in "${word}"`);
    return word.slice(1, at).trim();
  }
  warnings.push(`missing '}' in "${word}"`);
  return word.slice(1).trim();
}
