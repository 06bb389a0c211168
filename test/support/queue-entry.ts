/** Queue entries for tests. */
import type { QueueEntry } from '../../src/mail/stages.ts';

/** A plausible entry with one pending recipient; `changes` win. */
export function queueEntry(id: string, changes: Partial<QueueEntry> = {}): QueueEntry {
  return {
    id,
    arrivedMs: 1_700_000_000_000,
    sender: 'sender@example.org',
    envid: '',
    ret: '',
    smtputf8: false,
    recipients: [
      {
        address: 'user@example.com',
        original: 'user@example.com',
        orcpt: '',
        notify: [],
        state: 'pending',
      },
    ],
    content: { wireBytes: 0, sizeBytes: 0, has8bit: false, hasDotLines: false },
    origin: {
      client: { name: 'client.example.org', address: '192.0.2.1', port: 4711 },
      helo: 'client.example.org',
      protocol: 'ESMTP',
    },
    dueMs: 1_700_000_000_000,
    onHold: false,
    attempts: 0,
    warned: false,
    ...changes,
  };
}
