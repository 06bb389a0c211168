/**
 * What an error of the file system means for a recipient, in Postfix's words.
 *
 * Unlike Postfix: only a quota or size limit is permanent. A missing right or a wrong path is the
 * administrator's mistake: the mail waits (DESIGN.md: an unknown I/O error is temporary).
 *
 * @see Postfix mbox_open(3), mbox_dsn
 */
import type { EnhancedStatus } from '../mail/reply.ts';

export type SystemError = Error & { readonly code: string; readonly errno?: number };

export const isSystemError = (error: unknown): error is SystemError =>
  error instanceof Error && typeof Reflect.get(error, 'code') === 'string';

const EDQUOT = -122;

const TEXTS: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory',
  EEXIST: 'File exists',
  ELOOP: 'Too many levels of symbolic links',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  EFBIG: 'File too large',
  EMFILE: 'Too many open files',
  ENFILE: 'Too many open files in system',
  EIO: 'Input/output error',
  ENAMETOOLONG: 'File name too long',
  EBUSY: 'Device or resource busy',
  ENXIO: 'No such device or address',
};

/** The text of strerror(3). */
export function errorText({ code, errno }: SystemError): string {
  if (errno === EDQUOT) return 'Disk quota exceeded';
  return TEXTS[code] ?? code;
}

/** `fallback` is for errors that say nothing special. */
export function statusOf({ code, errno }: SystemError, fallback: EnhancedStatus): EnhancedStatus {
  if (code === 'EFBIG' || errno === EDQUOT) return '5.2.2';
  return code === 'ENOSPC' ? '4.3.0' : fallback;
}
