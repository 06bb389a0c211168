/**
 * postconf(1) -e, -X and -#: main.cf with settings changed, taken out or turned into comments.
 *
 * Comments, blank lines and the place of what is replaced stay. The core takes and gives text; the
 * file is replaced as a whole by `editFile()`: a new file, synced, takes the old one's name.
 */
import { closeSync, openSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { splitNameValue } from '../conf/name-value.ts';
import { replaceFile } from '../util/replace-file.ts';
import { err, ok, type Result } from '../util/result.ts';
import { reasonOf } from './postconf-read.ts';

export type EditMode = 'set' | 'exclude' | 'comment';

export type Edited = { readonly text: string; readonly warnings: readonly string[] };

/** What to change: a value for each name, or none where the mode needs none. */
export type MainEdits = {
  readonly mode: EditMode;
  readonly values: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
};

export function readMainEdits(mode: EditMode, words: readonly string[]): Result<MainEdits, string> {
  const values = new Map<string, string>();
  const warnings: string[] = [];
  for (const word of words) {
    if (word.includes('\n')) return err('-e, -X, or -# accepts no multi-line input');
    const text = word.trimStart();
    if (text.startsWith('#')) return err('-e, -X, or -# accepts no comment input');
    if (mode === 'set') {
      const split = splitNameValue(text);
      if (!split.ok) return err(`${split.error}: "${text}"`);
      const { name, value } = split.value;
      const before = values.get(name);
      if (before !== undefined && before !== value)
        warnings.push(`ignoring earlier request: '${name} = ${before}'`);
      values.set(name, value);
    } else {
      if (text === '') return err('-X or -# requires non-blank parameter names');
      if (text.includes('=')) return err('-X or -# requires parameter names without value');
      values.set(text.trimEnd(), '');
    }
  }
  return ok({ mode, values, warnings });
}

/** The text of main.cf with these edits. `path` is for warnings. */
export function editMain(source: string, edits: MainEdits, path: string): Edited {
  const found = new Map<string, number>();
  const warnings = [...edits.warnings];
  let out = '';
  let isEdited = false;
  for (const line of physicalLines(source)) {
    if (isBlankOrComment(line)) {
      out += line;
      continue;
    }
    const isContinuation = /^[ \t\v\f\r]/.test(line);
    const name = /^[^ \t\r\n=]*/.exec(line)?.[0] ?? '';
    if (!isContinuation) isEdited = edits.values.has(name);
    if (!isEdited) out += line;
    else if (edits.mode === 'comment') out += `#${line}`;
    else if (edits.mode === 'set' && !isContinuation)
      out += `${name} = ${edits.values.get(name)}\n`;
    if (isContinuation || !isEdited) continue;
    const count = (found.get(name) ?? 0) + 1;
    found.set(name, count);
    if (count === 2) warnings.push(`${path}: multiple entries for "${name}"`);
  }
  if (edits.mode === 'set')
    for (const name of [...edits.values.keys()].sort())
      if (!found.has(name)) out += `${name} = ${edits.values.get(name)}\n`;
  return { text: out, warnings };
}

/** Lines with their line ends; a missing last one is added. */
export function physicalLines(source: string): string[] {
  const lines = source.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => `${line}\n`);
}

export const isBlankOrComment = (line: string): boolean => /^[ \t\n\v\f\r]*(#|$)/.test(line);

const LOCK_LIMIT_MS = 5000;
const LOCK_POLL_MS = 20;

/**
 * Replace a file by what `edit` makes of it; its mode and owner stay. Two editors wait for each
 * other. Text is handed over byte by byte as Latin-1, so that no byte changes that is not edited.
 */
export function editFile<T extends { readonly text: string }>(
  path: string,
  edit: (source: string) => Result<T, string>,
): Result<T, string> {
  const temporary = `${path}.tmp`;
  let handle: number | undefined;
  try {
    handle = openExclusive(temporary);
  } catch (error) {
    return err(`open ${temporary}: ${reasonOf(error)}`);
  }
  let isDone = false;
  try {
    const file = realpathSync(path);
    const edited = edit(readFileSync(file, 'latin1'));
    if (!edited.ok) return edited;
    const { mode, uid, gid } = statSync(file);
    const content = Buffer.from(edited.value.text, 'latin1');
    replaceFile(handle, temporary, file, content, { mode: mode & 0o7777, owner: { uid, gid } });
    isDone = true;
    return edited;
  } catch (error) {
    return err(`open ${path} for reading: ${reasonOf(error)}`);
  } finally {
    closeSync(handle);
    if (!isDone) rmSync(temporary, { force: true });
  }
}

/** The name is the lock. One that is older than the limit was left behind by a crash. */
function openExclusive(path: string): number {
  const endMs = Date.now() + 2 * LOCK_LIMIT_MS;
  for (;;) {
    try {
      return openSync(path, 'wx', 0o600);
    } catch (error) {
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EEXIST';
      if (!isTaken || Date.now() > endMs) throw error;
    }
    const lock = statSync(path, { throwIfNoEntry: false });
    if (lock && Date.now() - lock.mtimeMs > LOCK_LIMIT_MS) rmSync(path, { force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_POLL_MS);
  }
}
