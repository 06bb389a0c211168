/**
 * main.cf: `name = value` lines.
 *
 * A line that starts with white space continues the one before it; comments and blank lines do not
 * end a continuation. A later assignment wins, with a warning when it differs.
 *
 * @see postconf(5)
 */
import { type LogicalLine, logicalLines } from '../util/logical-lines.ts';
import { splitNameValue } from './name-value.ts';

export type ConfigFault = {
  readonly file: string;
  readonly line: number;
  /** `FILE, line N: what is wrong; remedy`. */
  readonly text: string;
};

export type Assignment = { readonly value: string; readonly line: number };

export type MainCf = {
  readonly assignments: ReadonlyMap<string, Assignment>;
  readonly faults: readonly ConfigFault[];
  readonly warnings: readonly ConfigFault[];
};

export function parseMainCf(file: string, source: string): MainCf {
  const assignments = new Map<string, Assignment>();
  const faults: ConfigFault[] = [];
  const warnings: ConfigFault[] = [];
  const at = (line: number, text: string): ConfigFault => ({
    file,
    line,
    text: `${file}, line ${line}: ${text}`,
  });
  const onStray = ({ text, line }: LogicalLine): void => {
    const shown = text.length > 30 ? `${text.slice(0, 30)}...` : text;
    warnings.push(at(line, `logical line must not start with whitespace: "${shown}"`));
  };
  for (const { text, line } of logicalLines(source, onStray)) {
    if (text.includes('\0')) warnings.push(at(line, 'text after null byte may be ignored'));
    const split = splitNameValue(text);
    if (!split.ok) {
      faults.push(at(line, `${split.error}: "${text}"; write name = value`));
      continue;
    }
    const { name, value } = split.value;
    const before = assignments.get(name);
    if (before && before.value !== value)
      warnings.push(at(line, `overriding earlier entry: ${name}=${before.value}`));
    assignments.set(name, { value, line });
  }
  return { assignments, faults, warnings };
}
