/**
 * `$data_directory/maps`: what is derived from the texts of tables.
 *
 *   <table>-<version>   LMDB index of that version of the text
 *   <table>.edits       what `postmap -i` and `-d` changed since
 *   <table>.lock        process id of who builds an index
 *
 * `<table>` is a hash of the path and of whether the text is aliases(5). The directory belongs to the owner
 * of `$data_directory`, whose processes write the indexes. A process that runs as root never opens
 * an index of another owner (the files are parsed by native code); it keeps the text in memory.
 */
import { createHash } from 'node:crypto';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { TextFormat } from './text.ts';

export type MapId = {
  readonly dataDirectory: string;
  /** Absolute path of the text. */
  readonly path: string;
  readonly format: TextFormat;
};

export const mapsDirectory = ({ dataDirectory }: MapId): string => join(dataDirectory, 'maps');

/** Path of a derived file without its ending. */
export function mapPrefix(id: MapId): string {
  const how = id.format.isAliases ? 'aliases' : 'map';
  const hash = createHash('sha256').update(`${how}:${id.path}`).digest('hex').slice(0, 24);
  return join(mapsDirectory(id), hash);
}

export const indexPath = (id: MapId, version: string): string => `${mapPrefix(id)}-${version}`;

/** What distinguishes two states of a text file. */
export const versionOf = (stat: { mtimeMs: number; size: number; ino: number }): string =>
  `${Math.floor(stat.mtimeMs * 1000)}-${stat.size}-${stat.ino}`;

/** Whether this process may open and write indexes there. */
export function ownsDirectory(id: MapId): boolean {
  try {
    return ownerOf(id).uid === (process.geteuid?.() ?? 0);
  } catch {
    return false;
  }
}

/** Whose indexes they are. Throws what stat(2) says. */
export function ownerOf(id: MapId): { readonly uid: number; readonly gid: number } {
  const maps = mapsDirectory(id);
  return statSync(existsSync(maps) ? maps : existsSync(id.dataDirectory) ? id.dataDirectory : '.');
}

/** Make the directory; throws. One level only: Node's recursive form never returns below /proc. */
export function makeMapsDirectory(id: MapId): void {
  for (const path of [id.dataDirectory, mapsDirectory(id)]) {
    try {
      if (existsSync(path)) continue;
      mkdirSync(path, { mode: 0o755 });
      if (path === id.dataDirectory || process.geteuid?.() !== 0) continue;
      const { uid, gid } = statSync(id.dataDirectory);
      chownSync(path, uid, gid);
    } catch (error) {
      // Another process was faster.
      if (!existsSync(path)) throw error;
    }
  }
  if (!lstatSync(mapsDirectory(id)).isDirectory()) {
    throw new Error(`${mapsDirectory(id)} is not a directory`);
  }
}

/** Versions that have an index, newest first. */
export function indexVersions(id: MapId): string[] {
  const prefix = `${mapPrefix(id)}-`;
  const names = existsSync(mapsDirectory(id)) ? readdirSync(mapsDirectory(id)) : [];
  return names
    .map((name) => join(mapsDirectory(id), name))
    .filter((path) => path.startsWith(prefix) && /-\d+-\d+-\d+$/.test(path))
    .map((path) => ({ path, time: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.time - a.time)
    .map(({ path }) => path.slice(prefix.length));
}

/** Remove the indexes of other versions; whoever has one open keeps it. */
export function removeOlder(id: MapId, version: string): void {
  for (const older of indexVersions(id)) {
    if (older === version) continue;
    for (const end of ['', '-lock']) rmSync(indexPath(id, older) + end, { force: true });
  }
}
