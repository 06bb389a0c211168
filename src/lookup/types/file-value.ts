/**
 * Values that name files (postmap -F): stored as the base64 of what the files hold, one after the
 * other with a line end between them.
 *
 * @see postmap(1) "-F"
 */
import { readFileSync } from 'node:fs';
import { err, ok, type Result } from '../../util/result.ts';

/** The reason of a failure is for the log. */
export function fileValue(names: string): Result<string, string> {
  const paths = names.split(/[\s,]+/).filter((path) => path !== '');
  if (paths.length === 0) return err('empty pathname list');
  const parts: Buffer[] = [];
  for (const path of paths) {
    try {
      if (parts.length > 0) parts.push(Buffer.from('\n'));
      parts.push(readFileSync(path));
    } catch (error) {
      return err(`open ${path}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return ok(Buffer.concat(parts).toString('base64'));
}

/** What `fileValue` stored, as text. */
export function decodeFileValue(value: string): Result<string, string> {
  const isBase64 = value.length % 4 === 0 && /^[A-Za-z\d+/]*={0,2}$/.test(value);
  if (!isBase64) return err(`malformed BASE64 value: ${value.slice(0, 30)}`);
  return ok(Buffer.from(value, 'base64').toString('utf8'));
}
