/**
 * main.cf: `name = value` lines.
 *
 * A line that starts with white space continues the one before it; comments and blank lines do not
 * end a continuation. A later assignment wins, with a warning.
 *
 * @see postconf(5)
 */
import { logicalLines } from '../util/logical-lines.ts';

export type ConfigFault = {
  readonly file: string;
  readonly line: number;
  /** `FILE line N: what is wrong; remedy`. */
  readonly text: string;
};

export type Assignment = { readonly value: string; readonly line: number };

export type MainCf = {
  readonly assignments: ReadonlyMap<string, Assignment>;
  readonly faults: readonly ConfigFault[];
  readonly warnings: readonly ConfigFault[];
};

const ASSIGNMENT = /^(\S+?)\s*=\s*([\s\S]*?)\s*$/;

export function parseMainCf(file: string, source: string): MainCf {
  const assignments = new Map<string, Assignment>();
  const faults: ConfigFault[] = [];
  const warnings: ConfigFault[] = [];
  const at = (line: number, text: string): ConfigFault => ({
    file,
    line,
    text: `${file} line ${line}: ${text}`,
  });
  for (const { text, line } of logicalLines(source)) {
    const [, name = '', value = ''] = ASSIGNMENT.exec(text) ?? [];
    if (!/^\w[\w.-]*$/.test(name)) {
      faults.push(
        at(line, `missing '=' after attribute name: "${text.trim()}"; write name = value`),
      );
      continue;
    }
    const before = assignments.get(name);
    if (before) {
      warnings.push(
        at(line, `overriding earlier entry: ${name}=${before.value} (line ${before.line})`),
      );
    }
    assignments.set(name, { value, line });
  }
  return { assignments, faults, warnings };
}
