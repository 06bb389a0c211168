/**
 * What `postmap -i` and `postmap -d` changed in a table since its text was written:
 * `maps/<table>.edits`, JSON lines. The first names the text and its version: edits of an older
 * text count no more, as an index made anew from its text forgets them in Postfix.
 *
 * The file is data only, so that a process with root's rights can follow it too; it believes one
 * that belongs to root or to the owner of the text.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { syncPath } from '../../util/sync-path.ts';
import { type MapId, makeMapsDirectory, mapPrefix, mapsDirectory } from './map-directory.ts';

/** New values by folded key; null: removed. */
export type Edits = ReadonlyMap<string, string | null>;

/** Version of a table that has no text. */
export const NO_TEXT = 'none';

export const editsPath = (id: MapId): string => `${mapPrefix(id)}.edits`;

/** Undefined: none, none that count, or none that may be believed. */
export function readEdits(id: MapId, version: string): Edits | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(editsPath(id), constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    if (!isTrusted(fstatSync(descriptor).uid, id.path)) return undefined;
    return parse(readFileSync(descriptor, 'utf8'), id.path, version);
  } catch {
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}

function isTrusted(owner: number, textPath: string): boolean {
  const own = process.geteuid?.() ?? 0;
  if (own !== 0 || owner === 0) return true;
  return statSync(textPath, { throwIfNoEntry: false })?.uid === owner;
}

function parse(content: string, path: string, version: string): Edits | undefined {
  const [head = '', ...lines] = content.split('\n');
  const about: unknown = JSON.parse(head);
  if (JSON.stringify(about) !== JSON.stringify(['postern-edits', path, version])) return undefined;
  const edits = new Map<string, string | null>();
  for (const line of lines) {
    if (line === '') continue;
    const [key, value]: [string, string | null] = JSON.parse(line);
    edits.set(key, value);
  }
  return edits;
}

/** Replace the edits of this version of the text, durably. Throws what the system says. */
export function writeEdits(id: MapId, version: string, edits: Edits, mode: number): void {
  makeMapsDirectory(id);
  const draft = `${editsPath(id)}.${process.pid}.tmp`;
  const lines = [JSON.stringify(['postern-edits', id.path, version])];
  for (const edit of edits) lines.push(JSON.stringify(edit));
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const descriptor = openSync(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  try {
    writeFileSync(descriptor, `${lines.join('\n')}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(draft, editsPath(id));
  syncPath(mapsDirectory(id));
}

/** The table was made anew from its text. */
export function removeEdits(id: MapId): void {
  rmSync(editsPath(id), { force: true });
}
