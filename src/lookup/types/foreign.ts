/**
 * What a database file is, told from its first bytes and never by opening it: a file in another
 * format can crash the library that parses it.
 *
 * @see Berkeley DB db_page.h (metadata page), LMDB mdb.c (MDB_meta), https://cr.yp.to/cdb/cdb.txt
 */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';

export type Foreign = {
  readonly kind: 'hash' | 'btree' | 'lmdb' | 'cdb' | 'unknown';
  /** Data format, where the file states one. */
  readonly version: number;
};

const HEAD = 2048;
const LMDB_MAGIC = 0xbeefc0de;
const HASH_MAGIC = 0x061561;
const BTREE_MAGIC = 0x053162;

/** Undefined: no such file, or it cannot be read. */
export function identify(path: string): Foreign | undefined {
  try {
    const descriptor = openSync(path, 'r');
    try {
      const head = Buffer.alloc(HEAD);
      const count = readSync(descriptor, head, 0, HEAD, 0);
      return identifyHead(head.subarray(0, count), fstatSync(descriptor).size);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
}

/** `size` is that of the whole file. */
export function identifyHead(head: Buffer, size: number): Foreign {
  if (head.length < 32) return { kind: 'unknown', version: 0 };
  // The page header in front of the magic grew by 8 bytes from format 1 to 2.
  for (const at of [16, 24]) {
    const version = head.readUInt32LE(at + 4);
    if (head.readUInt32LE(at) === LMDB_MAGIC) return { kind: 'lmdb', version };
  }
  for (const isLittle of [true, false]) {
    const word = (at: number): number => (isLittle ? head.readUInt32LE(at) : head.readUInt32BE(at));
    if (word(12) === HASH_MAGIC) return { kind: 'hash', version: word(16) };
    if (word(12) === BTREE_MAGIC) return { kind: 'btree', version: word(16) };
  }
  return { kind: isCdb(head, size) ? 'cdb' : 'unknown', version: 0 };
}

/** 256 pairs of position and length, each table within the file. */
function isCdb(head: Buffer, size: number): boolean {
  if (head.length < HEAD) return false;
  for (let at = 0; at < HEAD; at += 8) {
    const position = head.readUInt32LE(at);
    if (position < HEAD || position + 8 * head.readUInt32LE(at + 4) > size) return false;
  }
  return true;
}

/** Why a table without its text cannot be used although a compiled file lies beside it. */
export function foreignRemedy(path: string): string | undefined {
  for (const end of ['.db', '.lmdb', '.cdb', '.pag']) {
    if (!existsSync(path + end)) continue;
    const { kind, version } = identify(path + end) ?? { kind: 'unknown', version: 0 };
    const type = kind === 'unknown' ? end.slice(1) : kind;
    const what = version > 0 ? `${type} file (format ${version})` : `${type} file`;
    return `its text is missing, and ${path}${end}, a ${what} of another program, is not opened; restore the text: on the host that made it, "postmap -s ${type}:${path} > ${path}"`;
  }
  return undefined;
}
