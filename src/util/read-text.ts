/** Files that may be missing. */
import { readFileSync } from 'node:fs';

/** The text; empty when the file cannot be read, which those who need it report. */
export function readOrNothing(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return '';
    throw error;
  }
}
