/**
 * The back end `passwd:FILE`. The file is looked at before each lookup and read again when its
 * time, size or inode changed, so that an edit counts from the next login on.
 */
import { readFileSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { Logger } from '../log/maillog.ts';
import type { Backend } from './passdb.ts';
import { type PasswdFile, parsePasswd } from './passwd-file.ts';

const MAX_FILE_BYTES = 256 * 1024 * 1024;
const MAX_FAULTS_LOGGED = 20;

export function openPasswdBackend(file: string, origin: string, logger: Logger): Backend {
  let seen = '';
  let content: PasswdFile | undefined;
  let complaint = '';

  const refresh = (): string | undefined => {
    try {
      const { mtimeNs, size, ino } = statSync(file, { bigint: true });
      const version = `${mtimeNs} ${size} ${ino}`;
      if (content !== undefined && version === seen) return undefined;
      if (size > MAX_FILE_BYTES) return `${file}: larger than ${MAX_FILE_BYTES} bytes`;
      content = parsePasswd(readFileSync(file, 'utf8'), origin);
      seen = version;
      reportFaults(file, content, logger);
      return undefined;
    } catch (error) {
      content = undefined;
      return `cannot read ${file}: ${explainFileError(error)}`;
    }
  };

  return {
    name: `passwd:${file}`,
    find: async (username) => {
      const reason = refresh();
      if (reason !== undefined && reason !== complaint) logger.warning(reason);
      complaint = reason ?? '';
      if (reason !== undefined) return { kind: 'unavailable', reason };
      const record = content?.users.get(username);
      return record ? { kind: 'known', record } : { kind: 'unknown' };
    },
  };
}

function reportFaults(file: string, { faults }: PasswdFile, logger: Logger): void {
  for (const { line, text } of faults.slice(0, MAX_FAULTS_LOGGED)) {
    logger.warning(`${file}:${line}: ${text}; line ignored`);
  }
  const more = faults.length - MAX_FAULTS_LOGGED;
  if (more > 0) logger.warning(`${file}: ${more} more lines ignored`);
}

/** The fault and its remedy in words. */
function explainFileError(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'no such file; make it with "postern passwd add USER"';
  if (code === 'EACCES') {
    const { username, gid } = userInfo();
    return `permission denied for ${username}; give the file to its group (chgrp ${gid}; chmod 640)`;
  }
  return error instanceof Error ? error.message : String(error);
}
