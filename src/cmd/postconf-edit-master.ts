/**
 * postconf(1) -M, -F and -P with -e, -X or -#: master.cf with entries, columns or -o settings changed.
 *
 * An entry that changes is written anew, folded; comments within it come before it. All others stay
 * as they are, byte by byte.
 */
import {
  COMMAND_FIELD,
  checkFields,
  FIELD_NAMES,
  normalizeArguments,
  parseEntry,
  splitWords,
} from '../conf/master-entry.ts';
import { splitNameValue } from '../conf/name-value.ts';
import { err, ok, type Result } from '../util/result.ts';
import { type Edited, type EditMode, isBlankOrComment, physicalLines } from './postconf-edit.ts';
import { matches, parsePattern, type ServicePattern } from './postconf-pattern.ts';
import { printEntry } from './postconf-print.ts';

export type MasterTarget = 'entry' | 'field' | 'param';

export type MasterEdit = {
  readonly text: string;
  readonly pattern: ServicePattern;
  /** The new value; empty where the mode needs none. */
  readonly value: string;
};

const OPTIONS = '-Me, -Fe, -Pe, -X, or -#';

export function readMasterEdits(
  mode: EditMode,
  target: MasterTarget,
  words: readonly string[],
): Result<readonly MasterEdit[], string> {
  const edits: MasterEdit[] = [];
  for (const word of words) {
    if (word.includes('\n')) return err(`${OPTIONS} accept no multi-line input`);
    const text = word.trimStart();
    if (text.startsWith('#')) return err(`${OPTIONS} accept no comment input`);
    if (mode !== 'set' && text.includes('=')) return err('-X or -# requires names without value');
    const split = mode === 'set' ? splitNameValue(text) : ok({ name: text.trimEnd(), value: '' });
    if (!split.ok) return err(`${split.error}: "${word}"`);
    const pattern = readPattern(mode, target, split.value.name, split.value.value);
    if (!pattern.ok) return pattern;
    edits.push({ text: word, pattern: pattern.value, value: split.value.value });
  }
  return ok(edits);
}

function readPattern(
  mode: EditMode,
  target: MasterTarget,
  name: string,
  value: string,
): Result<ServicePattern, string> {
  const count = target === 'entry' ? 2 : 3;
  const pattern = parsePattern(name, count, count);
  const hasBlank = mode === 'set' && /[ \t\r\n]/.test(value);
  switch (target) {
    case 'entry':
      return pattern ? ok(pattern) : err('-Me, -MX or -M# requires service_name/type');
    case 'field': {
      if (!pattern) return err('-Fe or -FX requires service_name/type/field_name');
      if (pattern[2] === '*') return err('-Fe does not accept wild-card field name');
      const field = FIELD_NAMES.findIndex((each) => each === pattern[2]);
      if (field < 0) return err(`invalid service attribute name: "${pattern[2]}"`);
      return hasBlank && field < COMMAND_FIELD
        ? err('-Fe does not accept whitespace in non-command field')
        : ok(pattern);
    }
    case 'param':
      if (!pattern) return err('-Pe or -PX requires service_name/type/parameter');
      if (pattern[2] === '*') return err('-Pe does not accept wild-card parameter name');
      return hasBlank ? err('-Pe does not accept whitespace in parameter value') : ok(pattern);
  }
}

/** The text of master.cf with these edits. `path` is for messages. */
export function editMaster(
  source: string,
  mode: EditMode,
  target: MasterTarget,
  edits: readonly MasterEdit[],
  path: string,
): Result<Edited, string> {
  const counts = edits.map(() => 0);
  const lines = physicalLines(source);
  let out = '';
  let isMatched = false;
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (isBlankOrComment(line)) {
      out += line;
      continue;
    }
    if (/^[ \t\v\f\r]/.test(line)) {
      out += isMatched ? (mode === 'comment' ? `#${line}` : '') : line;
      continue;
    }
    const where = `file ${path}: line ${at + 1}`;
    const head = headOf(line, where);
    if (!head.ok) return head;
    const wanted = edits.filter((edit, index) => {
      const isHit = isWanted(edit, head.value, mode, target);
      if (isHit) counts[index] = (counts[index] ?? 0) + 1;
      return isHit;
    });
    isMatched = wanted.length > 0;
    const isRewritten = target === 'param' ? mode !== 'comment' : mode === 'set';
    if (!isMatched) out += line;
    else if (mode === 'comment') out += `#${line}`;
    else if (isRewritten && target === 'entry') {
      const first = wanted.filter((edit) => counts[edits.indexOf(edit)] === 1).at(-1);
      if (first) out += printEntry(wordsOf(first.value), true);
    } else if (isRewritten) {
      const { text, comments, next } = gather(lines, at);
      const changed = changeEntry(text, mode, target, wanted);
      if (!changed.ok) return err(`${where}: ${changed.error}`);
      out += comments + printEntry(changed.value, true);
      at = next - 1;
    }
  }
  const warnings: string[] = [];
  for (const [index, edit] of edits.entries()) {
    if ((counts[index] ?? 0) > 0) continue;
    if (target === 'entry' && mode === 'set') out += printEntry(wordsOf(edit.value), true);
    else if (target !== 'entry') warnings.push(`unmatched service_name/type: "${edit.text}"`);
  }
  return ok({ text: out, warnings });
}

/** The first fault of whole entries among the edits, before anything is read or written. */
export function entryFault(edits: readonly MasterEdit[]): string | undefined {
  for (const { value, text } of edits) {
    const parsed = parseEntry(value);
    if (!parsed.ok) return parsed.error.replace(/^bad field count/, `$&: "${text}"`);
  }
  return undefined;
}

/** A new entry replaces what it was asked to, and also what has its own name and type. */
function isWanted(
  edit: MasterEdit,
  head: readonly string[],
  mode: EditMode,
  target: MasterTarget,
): boolean {
  if (matches(edit.pattern, head)) return true;
  return mode === 'set' && target === 'entry' && matches(splitWords(edit.value).slice(0, 2), head);
}

const wordsOf = (text: string): readonly string[] => {
  const parsed = parseEntry(text);
  return parsed.ok ? parsed.value.words : splitWords(text);
};

function headOf(line: string, where: string): Result<readonly string[], string> {
  const [name = '', type] = line.split(/[ \t\r\n]+/).filter((word) => word !== '');
  if (type === undefined) return err(`${where}: specify service name and type on the same line`);
  if (name.includes('='))
    return err(`${where}: service name syntax "${name}" is unsupported with ${OPTIONS}`);
  if (/[=/]/.test(type))
    return err(`${where}: service type syntax "${type}" is unsupported with ${OPTIONS}`);
  return ok([name, type]);
}

/** The whole logical line that starts here; comments within it apart. */
function gather(lines: readonly string[], from: number) {
  let text = lines[from] ?? '';
  let comments = '';
  let next = from + 1;
  for (; next < lines.length && /^[#\s]/.test(lines[next] ?? ''); next += 1) {
    const line = lines[next] ?? '';
    if (isBlankOrComment(line)) comments += line;
    else text += line;
  }
  return { text, comments, next };
}

function changeEntry(
  text: string,
  mode: EditMode,
  target: MasterTarget,
  edits: readonly MasterEdit[],
): Result<readonly string[], string> {
  const parsed = parseEntry(text);
  if (!parsed.ok) return parsed;
  let words = parsed.value.words;
  for (const { pattern, value } of edits) {
    const name = pattern[2] ?? '';
    words =
      target === 'field' ? withField(words, name, value) : withParam(words, mode, name, value);
    const fault = checkFields(words, value);
    if (fault !== undefined) return err(fault);
  }
  return ok(words);
}

function withField(words: readonly string[], field: string, value: string): readonly string[] {
  const at = FIELD_NAMES.findIndex((each) => each === field);
  if (at < COMMAND_FIELD) return words.with(at, value);
  const [command = '', ...rest] = splitWords(value);
  return [...words.slice(0, COMMAND_FIELD), command, ...normalizeArguments(rest).args];
}

function withParam(
  words: readonly string[],
  mode: EditMode,
  name: string,
  value: string,
): readonly string[] {
  const out = words.slice(0, COMMAND_FIELD + 1);
  let at = COMMAND_FIELD + 1;
  let isFound = false;
  for (; words[at]?.startsWith('-') && words[at] !== '--'; at += 1) {
    const option = words[at] ?? '';
    const setting = words[at + 1];
    if (option[1] !== 'o' || setting === undefined) {
      out.push(option);
      continue;
    }
    at += 1;
    if (!setting.startsWith(`${name}=`)) out.push(option, setting);
    else if (mode === 'set') out.push(option, `${name}=${value}`);
    isFound ||= setting.startsWith(`${name}=`);
  }
  if (mode === 'set' && !isFound) out.push('-o', `${name}=${value}`);
  return [...out, ...words.slice(at)];
}
