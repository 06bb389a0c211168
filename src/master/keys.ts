/**
 * TLS keys for the smtpd processes: read with master's rights, handed over the IPC channel, and
 * again when the files change, so that a renewed certificate needs no restart.
 *
 * A new pair is checked before it is handed on (key matches certificate); a broken one is reported
 * and the old one stays in use. Session ticket keys are made here, so that a session resumes in any
 * process of the same service and in no other.
 */
import { randomBytes } from 'node:crypto';
import type { Config } from '../conf/params.ts';
import type { FromMaster, KeyMaterial } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import { readKeys } from '../tls/keystore.ts';

const TICKET_LIFE_MS = 12 * 3600 * 1000;

export type KeyRing = {
  /** What a process of this service needs now; undefined where no certificate is configured. */
  readonly message: () => FromMaster | undefined;
  /** Look at the files again; true when there is something new to hand out. */
  readonly refresh: (nowMs: number) => boolean;
  /** A reload: other files may be named. If they are broken the old keys stay in use. */
  readonly reconfigure: (config: Config, nowMs: number) => void;
};

export function keyRing(first: Config, logger: Logger, nowMs: number): KeyRing {
  let config = first;
  let keys: readonly KeyMaterial[] = [];
  let seen = '';
  let complaint = '';
  let ticketKeys = randomBytes(48).toString('base64');
  let ticketsMadeMs = nowMs;

  const refresh = (now: number): boolean => {
    const isOld = now - ticketsMadeMs > TICKET_LIFE_MS;
    if (isOld) {
      ticketKeys = randomBytes(48).toString('base64');
      ticketsMadeMs = now;
    }
    const read = readKeys(config);
    if (!read.ok) {
      const inUse = keys.length > 0 ? '; the keys read before stay in use' : '';
      if (read.error !== complaint) logger.warning(`${read.error}${inUse}`);
      complaint = read.error;
      return isOld && keys.length > 0;
    }
    complaint = '';
    const text = JSON.stringify(read.value);
    if (text === seen) return isOld && keys.length > 0;
    seen = text;
    keys = read.value;
    return keys.length > 0;
  };
  refresh(nowMs);

  return {
    refresh,
    reconfigure: (next, now) => {
      config = next;
      complaint = '';
      refresh(now);
    },
    message: () => (keys.length > 0 ? { kind: 'keys', keys, ticketKeys } : undefined),
  };
}
