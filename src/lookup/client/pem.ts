/** PEM files that the settings of a table name. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok, type Result } from '../../util/result.ts';

/** Certificates of authorities from a file, or from every file of a directory. */
export function readAuthorities(
  file: string | undefined,
  directory: string | undefined,
): Result<string[], string> {
  if (file === undefined && directory === undefined) return ok([]);
  try {
    const files =
      file === undefined && directory !== undefined
        ? readdirSync(directory).map((name) => join(directory, name))
        : [file ?? ''];
    const texts = files
      .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? true)
      .map((path) => readFileSync(path, 'utf8'))
      .filter((text) => text.includes('-----BEGIN CERTIFICATE-----'));
    if (texts.length > 0) return ok(texts);
    return err(`no certificate in ${file ?? directory}; name a PEM file`);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

export function readPem(path: string): Result<string, string> {
  try {
    return ok(readFileSync(path, 'utf8'));
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}
