/**
 * A body on its way in: chunks in memory up to `SMALL_BODY_BYTES`, from there on a file.
 *
 * What is prepended (trace, missing headers) is kept apart and put in front when the record is
 * made; for a file it stays in the record, so that nothing is written twice.
 */
import type { QueueEntry } from '../../mail/stages.ts';
import { err, ok, type Result } from '../../util/result.ts';
import type { Draft, StoreFault } from '../store.ts';
import { type BodyWriter, writeBodyFile } from './body-file.ts';
import { encodeFileBody, encodeWholeBody } from './records.ts';

export const SMALL_BODY_BYTES = 128 * 1024;

/** A body ready to be committed. */
export type BodyToStore = { readonly record: Buffer; readonly inFile: boolean };

/** Puts body and entry into the database in one transaction. */
export type CommitBody = (
  entry: QueueEntry,
  body: BodyToStore,
) => Promise<Result<void, StoreFault>>;

export function makeDraft(id: string, directory: string, commitBody: CommitBody): Draft {
  let head: Buffer[] = [];
  let headBytes = 0;
  let chunks: Buffer[] = [];
  let chunkBytes = 0;
  let file: BodyWriter | undefined;
  let state: 'open' | 'committed' | 'aborted' = 'open';

  const body = async (writer: BodyWriter): Promise<Result<BodyToStore, StoreFault>> => {
    const facts = await writer.finish();
    if (!facts.ok) return facts;
    return ok({ record: encodeFileBody(id, head, facts.value), inFile: true });
  };

  return {
    id,
    get wireBytes() {
      return headBytes + chunkBytes;
    },
    write: (chunk) => {
      if (state !== 'open' || chunk.length === 0) return true;
      chunkBytes += chunk.length;
      if (file) return file.write(chunk);
      chunks.push(chunk);
      if (chunkBytes <= SMALL_BODY_BYTES) return true;
      file = writeBodyFile(directory, id);
      const spilled = chunks;
      chunks = [];
      let answer: true | Promise<void> = true;
      for (const part of spilled) answer = file.write(part);
      return answer;
    },
    prepend: (chunk) => {
      head.unshift(chunk);
      headBytes += chunk.length;
    },
    commit: async (entry) => {
      if (state !== 'open') return err({ kind: 'absent', reason: `draft is ${state}` });
      state = 'committed';
      if (!file) {
        const parts = head.length === 0 ? chunks : [...head, ...chunks];
        const record = encodeWholeBody(id, parts, headBytes + chunkBytes);
        chunks = [];
        head = [];
        return commitBody(entry, { record, inFile: false });
      }
      const stored = await body(file);
      if (!stored.ok) return stored;
      const committed = await commitBody(entry, stored.value);
      // A failed commit may only be removed when it is certain that no record names the file.
      if (!committed.ok && committed.error.kind !== 'broken') file.abort();
      return committed;
    },
    abort: () => {
      if (state !== 'open') return;
      state = 'aborted';
      chunks = [];
      head = [];
      file?.abort();
    },
  };
}
