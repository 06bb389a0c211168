/**
 * An error that one message causes stays with that message: it is logged with its place in the code,
 * and the message waits as long as any does. One that cannot even be put off is set aside for the
 * operator.
 */
import type { QmgrParts } from './active.ts';

/** Never rejects but for a store that breaks its own contract. */
export async function contain(id: string, error: unknown, parts: QmgrParts): Promise<void> {
  const { store, logger } = parts;
  const shown = error instanceof Error ? (error.stack ?? error.message) : String(error);
  logger.error(
    `${id}: internal error, message is put off: ${shown.replaceAll(/\s*\n\s*/g, ' | ')}`,
  );
  const read = await store.read(id);
  if (!read.ok && read.error.kind === 'absent') return;
  if (read.ok && isWhole(read.value)) {
    const { attempts } = read.value;
    const dueMs = parts.nowMs() + parts.config().maximal_backoff_time * 1000;
    const put = await store.settle([
      { kind: 'replace', entry: { ...read.value, dueMs, attempts: attempts + 1 } },
    ]);
    if (!put.ok) logger.warning(`${id}: cannot be put off: ${put.error.reason}`);
    return;
  }
  logger.warning(`${id}: damaged queue entry, set aside`);
  await store.quarantine(id);
}

/** What every step relies on; a record of another version may lack it. */
function isWhole(entry: object): boolean {
  const has = (name: string, type: string): boolean => typeof Reflect.get(entry, name) === type;
  return (
    Array.isArray(Reflect.get(entry, 'recipients')) &&
    has('content', 'object') &&
    has('origin', 'object') &&
    has('sender', 'string') &&
    has('attempts', 'number')
  );
}
