/**
 * The text of postmap(1) and postalias(1) tables: `key value` and `key: value` lines.
 *
 * A line that does not parse is left out and reported; the others count. The first of two equal
 * keys wins. Keys are folded to lower case, values kept. Quotes stay part of the key.
 *
 * @see postmap(1) "TABLE FILE FORMAT", aliases(5)
 */
import { logicalLines } from '../../util/logical-lines.ts';

export type TextFault = {
  readonly line: number;
  /** `duplicate`: a warning, the text is as good as before. */
  readonly kind: 'syntax' | 'duplicate';
  readonly reason: string;
};

export type TextTable = {
  readonly entries: ReadonlyMap<string, string>;
  readonly faults: readonly TextFault[];
};

/** Lines of a postmap source. */
export function parseMapText(source: string): TextTable {
  return collect(source, splitMapLine);
}

/** Lines of an aliases file. */
export function parseAliasText(source: string): TextTable {
  return collect(source, splitAliasLine);
}

type Split = { readonly key: string; readonly value: string } | { readonly reason: string };

function collect(source: string, split: (text: string) => Split): TextTable {
  const entries = new Map<string, string>();
  const faults: TextFault[] = [];
  if (/^[ \t]+[^\s#]/.test(firstLine(source))) {
    faults.push({
      line: 1,
      kind: 'syntax',
      reason: 'logical line must not start with whitespace',
    });
  }
  for (const { text, line } of logicalLines(source)) {
    const parts = split(text);
    if ('reason' in parts) {
      faults.push({ line, kind: 'syntax', reason: parts.reason });
      continue;
    }
    const key = parts.key.toLowerCase();
    if (entries.has(key)) {
      faults.push({ line, kind: 'duplicate', reason: `duplicate entry: "${parts.key}"` });
    } else entries.set(key, parts.value);
  }
  return { entries, faults };
}

const firstLine = (source: string): string =>
  source.split(/\r?\n/, 1000).find((line) => !/^\s*(#|$)/.test(line)) ?? '';

function splitMapLine(text: string): Split {
  const end = keyEnd(text);
  if (end < 0) return { reason: "unbalanced '\"' in key" };
  const key = text.slice(0, end);
  const value = text.slice(end).trim();
  if (value === '') return { reason: `expected format: key whitespace value` };
  return { key, value };
}

/** The first white space outside quotes; -1 when a quote is not closed. */
function keyEnd(text: string): number {
  let inQuote = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === '\\') at += 1;
    else if (char === '"') inQuote = !inQuote;
    else if (!inQuote && /\s/.test(char)) return at;
  }
  return inQuote ? -1 : text.length;
}

/** `key: value`; the key may be quoted and carry comments in parentheses. */
function splitAliasLine(text: string): Split {
  let key = '';
  let depth = 0;
  let inQuote = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === '\\' && at + 1 < text.length) {
      at += 1;
      if (depth === 0) key += text[at] ?? '';
    } else if (char === '"' && depth === 0) inQuote = !inQuote;
    else if (inQuote) key += char;
    else if (char === '(') depth += 1;
    else if (char === ')' && depth > 0) depth -= 1;
    else if (depth > 0) continue;
    else if (char === ':') return aliasParts(key.trim(), text.slice(at + 1).trim());
    else key += char;
  }
  return { reason: 'need name:value pair' };
}

function aliasParts(key: string, value: string): Split {
  if (key === '' || value === '') return { reason: 'need name:value pair' };
  return { key, value };
}
