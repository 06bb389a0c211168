/**
 * The bytes of one record in the LMDB queue.
 *
 *   entry:  crc32 (4) | format (1) | flags (1) | 0 0 | dueMs, float64 (8) | QueueEntry as JSON
 *   body:   crc32 (4) | kind (1) | 0 0 0 | the whole body                             (kind 1)
 *           crc32 (4) | kind (1) | 0 0 0 | file crc32 (4) | 0 (4) | file bytes, float64 (8) | head
 *                                                                                     (kind 2)
 *
 * Numbers are little-endian. Every CRC covers the id and all that follows the CRC, so a record that
 * was swapped with another is as damaged as one with a flipped bit. A kind 2 body is `head` followed
 * by the file `bodies/ID`.
 */
import { crc32 } from 'node:zlib';
import type { QueueEntry } from '../../mail/stages.ts';

const FORMAT = 1;
const ENTRY_HEAD = 16;
const BODY_HEAD = 8;
const FILE_HEAD = 24;
const ON_HOLD = 1;
const IN_FILE = 2;
const KIND_WHOLE = 1;
const KIND_FILE = 2;

/** What settle and the due index need, without parsing JSON. */
export type EntryHead = {
  readonly dueMs: number;
  readonly onHold: boolean;
  readonly inFile: boolean;
};

export type BodyRecord =
  | { readonly kind: 'whole'; readonly bytes: Buffer }
  | {
      readonly kind: 'file';
      readonly head: Buffer;
      readonly fileCrc: number;
      readonly fileBytes: number;
    };

export function encodeEntry(entry: QueueEntry, inFile: boolean): Buffer {
  const json = JSON.stringify(entry);
  const record = Buffer.allocUnsafe(ENTRY_HEAD + Buffer.byteLength(json));
  record[4] = FORMAT;
  record[5] = (entry.onHold ? ON_HOLD : 0) | (inFile ? IN_FILE : 0);
  record.writeUInt16LE(0, 6);
  record.writeDoubleLE(entry.dueMs, 8);
  record.write(json, ENTRY_HEAD, 'utf8');
  return seal(record, entry.id);
}

/** The head of a record whose checksum fits, else undefined. */
export function entryHead(id: string, record: Buffer): EntryHead | undefined {
  if (!isWhole(id, record, ENTRY_HEAD) || record[4] !== FORMAT) return undefined;
  const flags = record[5] ?? 0;
  return {
    dueMs: record.readDoubleLE(8),
    onHold: (flags & ON_HOLD) !== 0,
    inFile: (flags & IN_FILE) !== 0,
  };
}

export function decodeEntry(id: string, record: Buffer): QueueEntry | undefined {
  if (entryHead(id, record) === undefined) return undefined;
  const entry = parseEntry(record.toString('utf8', ENTRY_HEAD));
  return entry?.id === id ? entry : undefined;
}

/** A body record in one buffer and one copy; `parts` in order. */
export function encodeWholeBody(id: string, parts: readonly Buffer[], size: number): Buffer {
  const record = Buffer.allocUnsafe(BODY_HEAD + size);
  record.writeUInt32LE(KIND_WHOLE, 4);
  let at = BODY_HEAD;
  for (const part of parts) at += part.copy(record, at);
  return seal(record, id);
}

export function encodeFileBody(
  id: string,
  head: readonly Buffer[],
  file: { readonly crc: number; readonly bytes: number },
): Buffer {
  const size = head.reduce((sum, part) => sum + part.length, 0);
  const record = Buffer.alloc(FILE_HEAD + size);
  record.writeUInt32LE(KIND_FILE, 4);
  record.writeUInt32LE(file.crc, 8);
  record.writeDoubleLE(file.bytes, 16);
  let at = FILE_HEAD;
  for (const part of head) at += part.copy(record, at);
  return seal(record, id);
}

export function decodeBody(id: string, record: Buffer): BodyRecord | undefined {
  if (!isWhole(id, record, BODY_HEAD)) return undefined;
  if (record[4] === KIND_WHOLE) return { kind: 'whole', bytes: record.subarray(BODY_HEAD) };
  if (record[4] !== KIND_FILE || record.length < FILE_HEAD) return undefined;
  return {
    kind: 'file',
    head: record.subarray(FILE_HEAD),
    fileCrc: record.readUInt32LE(8),
    fileBytes: record.readDoubleLE(16),
  };
}

function seal(record: Buffer, id: string): Buffer {
  record.writeUInt32LE(crc32(record.subarray(4), crc32(id)), 0);
  return record;
}

function isWhole(id: string, record: Buffer, head: number): boolean {
  return record.length >= head && record.readUInt32LE(0) === crc32(record.subarray(4), crc32(id));
}

/** The checksum has vouched for the text: it is what encodeEntry wrote. */
function parseEntry(text: string): QueueEntry | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
