/**
 * What answers for one compiled table: the contents, the edits, and the state of the text that they
 * came from. `compiled.ts` says when which of them answers.
 */
import { closeSync, existsSync, openSync, type Stats, statSync } from 'node:fs';
import type { Logger } from '../../log/maillog.ts';
import { type Edits, editsPath, NO_TEXT, readEdits } from './edits.ts';
import { foreignRemedy } from './foreign.ts';
import { buildLater, buildNow } from './index-build.ts';
import {
  indexPath,
  indexVersions,
  type MapId,
  makeMapsDirectory,
  ownerOf,
  ownsDirectory,
  versionOf,
} from './map-directory.ts';
import { openIndex } from './map-index.ts';
import { fileChunks } from './source-lines.ts';
import { parseText, storedKey, type TextFault } from './text.ts';

const RECHECK_MS = 1000;
const REST_MS = 2000;

type Contents = {
  readonly get: (key: string) => string | undefined;
  readonly entries: () => Iterable<readonly [key: string, value: string]>;
  readonly close: () => void;
};

export type MapSourceOptions = {
  readonly logger: Logger;
  readonly rebuilds: boolean;
  /** Texts up to this size are kept in memory. */
  readonly memoryLimit: number;
};

const NOTHING: Contents = { get: () => undefined, entries: () => [], close: () => undefined };

/** The contents that answer now, and what is known of the text they came from. */
export class MapSource {
  readonly #table: string;
  readonly #id: MapId;
  readonly #logger: Logger;
  readonly #rebuilds: boolean;
  readonly #memoryLimit: number;
  #contents: Contents = NOTHING;
  #edits: Edits | undefined;
  #version = '';
  #editsVersion = '';
  /** Version of a text that was found faulty, or that could not be read. */
  #refused = '';
  #checkedMs = 0;
  #isBuilding = false;

  constructor(table: string, id: MapId, options: MapSourceOptions) {
    this.#table = table;
    this.#id = id;
    this.#logger = options.logger;
    this.#rebuilds = options.rebuilds;
    this.#memoryLimit = options.memoryLimit;
  }

  get(key: string): string | undefined {
    const folded = storedKey(key, this.#id.format);
    const edit = this.#edits?.get(folded);
    if (edit !== undefined) return edit ?? undefined;
    return this.#contents.get(folded);
  }

  entries(): Iterable<readonly [key: string, value: string]> {
    const edits = this.#edits;
    if (!edits) return this.#contents.entries();
    const all = new Map(this.#contents.entries());
    for (const [key, value] of edits) {
      if (value === null) all.delete(key);
      else all.set(key, value);
    }
    return sorted(all);
  }

  /** Load for the first time; the reason when there is nothing to answer from. */
  open(nowMs: number): string | undefined {
    this.#checkedMs = nowMs;
    const { path } = this.#id;
    const stat = statSync(path, { throwIfNoEntry: false });
    const version = stat ? versionOf(stat) : NO_TEXT;
    this.#readEdits(version);
    if (!stat) {
      this.#version = version;
      if (this.#edits) return undefined;
      return `open ${path}: ${foreignRemedy(path) ?? 'No such file or directory'}`;
    }
    if (this.#wantsIndex(stat)) {
      if (!ownsDirectory(this.#id)) return this.#defer(version);
      if (this.#adopt(version) || this.#adoptOlder(version)) return undefined;
      if (this.#build(version) && this.#adopt(version)) return undefined;
      this.#logger.warning(`${path}: the table is kept in memory`);
    }
    const isForced = existsSync(indexPath(this.#id, version));
    const fault = this.#readText(version, isForced);
    if (fault !== HAS_ERRORS) return fault;
    if (!this.#adoptOlder(version)) return this.#readText(version, true);
    this.#keep(version, fault);
    return undefined;
  }

  /**
   * Not the owner of the directory: as root, which may give up its rights before the first lookup.
   * The index is made now, while the text can be read, and opened then; or the text is read then.
   */
  #defer(version: string): string | undefined {
    if (process.geteuid?.() !== 0) return this.#readText(version, true);
    if (!existsSync(indexPath(this.#id, version)) && !this.#build(version)) {
      return this.#readText(version, true);
    }
    const settle = (): Contents => {
      if (!this.#adopt(version)) {
        const fault = this.#readText(version, true);
        if (fault !== undefined) this.#logger.warning(`${this.#table}: ${fault}`);
      }
      return this.#contents;
    };
    this.#use(
      {
        get: (key) => settle().get(key),
        entries: () => settle().entries(),
        close: () => undefined,
      },
      version,
    );
    return undefined;
  }

  /** Look for changes, at most once a second. */
  refresh(nowMs: number): void {
    if (nowMs - this.#checkedMs < RECHECK_MS) return;
    this.#checkedMs = nowMs;
    const stat = statSync(this.#id.path, { throwIfNoEntry: false });
    const version = stat ? versionOf(stat) : this.#version;
    this.#readEdits(this.#version);
    if (!stat || version === this.#version) return;
    const isForced = existsSync(indexPath(this.#id, version));
    if (isForced) this.#change(version, stat, true);
    else if (version === this.#refused) return;
    else if (!this.#rebuilds) {
      this.#refused = version;
      this.#logger.warning(
        `index of ${this.#table} is older than source file ${this.#id.path}; run "postmap ${this.#table}"`,
      );
    } else if (nowMs - stat.mtimeMs >= REST_MS) this.#change(version, stat, false);
  }

  #change(version: string, stat: Stats, isForced: boolean): void {
    if (!this.#wantsIndex(stat) || !ownsDirectory(this.#id)) {
      const fault = this.#readText(version, isForced);
      if (fault !== undefined) this.#keep(version, fault);
    } else if (isForced) {
      if (!this.#adopt(version)) this.#keep(version, 'its index cannot be opened');
    } else if (!this.#isBuilding) this.#buildBeside(version);
  }

  #keep(version: string, reason: string): void {
    this.#refused = version;
    this.#logger.warning(`${this.#table}: ${reason}; keeping the old contents`);
  }

  #use(contents: Contents, version: string): void {
    this.#contents.close();
    this.#contents = contents;
    this.#version = version;
    this.#readEdits(version, true);
  }

  #readEdits(version: string, isAnyhow = false): void {
    const stat = statSync(editsPath(this.#id), { throwIfNoEntry: false });
    const state = stat ? versionOf(stat) : '';
    if (state === this.#editsVersion && !isAnyhow) return;
    this.#editsVersion = state;
    this.#edits = stat ? readEdits(this.#id, version) : undefined;
  }

  /**
   * Not for a text that others may not read: what it says is written nowhere else. Nor for one that
   * is read in another way than servers do.
   */
  #wantsIndex({ size, mode, uid }: Stats): boolean {
    const { isExact, hasFileValues, isBytes } = this.#id.format;
    if (isExact || hasFileValues || isBytes) return false;
    if (size <= this.#memoryLimit && this.#rebuilds) return false;
    try {
      makeMapsDirectory(this.#id);
      return (mode & 0o004) !== 0 || uid === ownerOf(this.#id).uid;
    } catch (error) {
      if (size > this.#memoryLimit) {
        const reason = error instanceof Error ? error.message : String(error);
        this.#logger.warning(`${this.#id.path}: no index (${reason}); the table is kept in memory`);
      }
      return false;
    }
  }

  #adopt(version: string): boolean {
    if (!ownsDirectory(this.#id)) return false;
    const index = openIndex(this.#id, version);
    if (index) this.#use(index, version);
    return index !== undefined;
  }

  /** The last index that was good answers until the present text has been looked at. */
  #adoptOlder(version: string): boolean {
    const older = indexVersions(this.#id).find((each) => each !== version);
    if (older === undefined || !this.#adopt(older)) return false;
    this.#checkedMs = Number.NEGATIVE_INFINITY;
    return true;
  }

  #build(version: string): boolean {
    const built = buildNow(this.#request(version, false));
    if (built.ok) this.#report(built.value.faults);
    else this.#logger.warning(`${this.#id.path}: ${built.error.reason}`);
    return built.ok;
  }

  #buildBeside(version: string): void {
    this.#isBuilding = true;
    buildLater(this.#request(version, true), (built) => {
      this.#isBuilding = false;
      if (!built.ok) {
        if (!built.error.isBusy) this.#keep(version, built.error.reason);
        return;
      }
      this.#report(built.value.faults);
      if (built.value.isRefused) this.#keep(version, HAS_ERRORS);
      else if (!this.#adopt(version)) this.#keep(version, 'its index cannot be opened');
    });
  }

  #request(version: string, isStrict: boolean) {
    return { id: this.#id, version, isStrict, duplicates: 'warn', mode: 0o600 } as const;
  }

  /** Keep the text in memory. With errors in it, it replaces nothing unless `isForced`. */
  #readText(version: string, isForced: boolean): string | undefined {
    try {
      const descriptor = openSync(this.#id.path, 'r');
      try {
        const { entries, faults } = parseText(
          fileChunks(descriptor, this.#id.format.isBytes),
          this.#id.format,
        );
        this.#report(faults);
        if (!isForced && faults.some(({ kind }) => kind === 'syntax')) return HAS_ERRORS;
        this.#use(inMemory(entries), version);
        return undefined;
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #report(faults: readonly TextFault[]): void {
    for (const { line, reason } of faults) {
      this.#logger.warning(`${this.#id.path}, line ${line}: ${reason}`);
    }
  }
}

const HAS_ERRORS =
  'the changed text has errors (correct the lines named above; postmap uses it without them)';

const inMemory = (entries: ReadonlyMap<string, string>): Contents => ({
  get: (key) => entries.get(key),
  entries: () => sorted(entries),
  close: () => undefined,
});

function sorted(entries: ReadonlyMap<string, string>): [string, string][] {
  return [...entries].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
