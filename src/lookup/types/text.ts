/**
 * The text of postmap(1) and postalias(1) tables: `key value` and `key: value` lines.
 *
 * A line that does not parse is left out and reported; the others count. The first of two equal
 * keys wins. Keys are folded, values kept. Quotes stay part of a postmap key.
 *
 * @see postmap(1) "INPUT FILE FORMAT", aliases(5)
 */
import { err, ok, type Result } from '../../util/result.ts';
import { foldKey } from '../fold.ts';
import { fileValue } from './file-value.ts';
import { sourceLines } from './source-lines.ts';

export type TextFault = {
  readonly line: number;
  /** `syntax`: the line is left out. Else the text is as good as before. */
  readonly kind: 'syntax' | 'duplicate' | 'advice';
  readonly reason: string;
};

export type TextFormat = {
  /** aliases(5) lines. */
  readonly isAliases?: boolean;
  /** Keys keep their case (postmap -f). */
  readonly isExact?: boolean;
  /** Values name files; what they hold, in base64, is the value (postmap -F). */
  readonly hasFileValues?: boolean;
  /** A character is a byte, and only ASCII letters fold (postmap -u). */
  readonly isBytes?: boolean;
};

export type Sink = {
  /** False: the key is there already. */
  readonly add: (key: string, value: string) => boolean;
  readonly fault: (fault: TextFault) => void;
};

export type TextTable = {
  readonly entries: ReadonlyMap<string, string>;
  readonly faults: readonly TextFault[];
};

/** Lines of a postmap source. */
export const parseMapText = (source: string): TextTable => parseText([source], {});

/** Lines of an aliases file. */
export const parseAliasText = (source: string): TextTable =>
  parseText([source], { isAliases: true });

export function parseText(chunks: Iterable<string>, format: TextFormat): TextTable {
  const entries = new Map<string, string>();
  const faults: TextFault[] = [];
  readEntries(chunks, format, {
    add: (key, value) => {
      if (entries.has(key)) return false;
      entries.set(key, value);
      return true;
    },
    fault: (fault) => void faults.push(fault),
  });
  return { entries, faults };
}

/** Give every entry to the sink, in the order of the text. */
export function readEntries(chunks: Iterable<string>, format: TextFormat, sink: Sink): void {
  const onFault = (line: number, reason: string): void =>
    sink.fault({ line, kind: reason.startsWith('text after') ? 'advice' : 'syntax', reason });
  for (const { text, line } of sourceLines(chunks, onFault)) {
    if (text.includes('\ufffd')) {
      onFault(line, `non-UTF-8 input "${text}" -- ignoring this line`);
      continue;
    }
    const parts = format.isAliases ? splitAliasLine(text) : splitMapLine(text);
    if (!parts.ok) {
      onFault(line, parts.error);
      continue;
    }
    const { key } = parts.value;
    const value = format.hasFileValues ? fileValue(parts.value.value) : ok(parts.value.value);
    if (!value.ok) {
      onFault(line, `${value.error}: skipping this entry`);
      continue;
    }
    if (!format.isAliases && key.endsWith(':')) {
      const reason = 'record is in "key: value" format; is this an alias file?';
      sink.fault({ line, kind: 'advice', reason });
    }
    if (!sink.add(storedKey(key, format), value.value)) {
      sink.fault({ line, kind: 'duplicate', reason: `duplicate entry: "${key}"` });
    }
  }
}

/** The form in which a key is stored, and looked for. */
export function storedKey(key: string, { isExact, isBytes }: TextFormat): string {
  if (isExact) return key;
  return isBytes ? key.replaceAll(/[A-Z]/g, (char) => char.toLowerCase()) : foldKey(key);
}

type Entry = { readonly key: string; readonly value: string };

/** One `key value` line. */
export function splitMapLine(text: string): Result<Entry, string> {
  const end = /["\\]/.test(text) ? quotedEnd(text) : plainEnd(text);
  if (end < 0) return err(`unbalanced '"' in '${text}' -- ignoring this line`);
  const value = trim(text.slice(end));
  if (value === '') return err('expected format: key whitespace value');
  return ok({ key: text.slice(0, end), value });
}

function plainEnd(text: string): number {
  const end = text.search(/[ \t\r\v\f]/);
  return end < 0 ? text.length : end;
}

/** The first white space outside quotes; -1 when a quote is not closed. */
function quotedEnd(text: string): number {
  let inQuote = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === '\\') at += 1;
    else if (char === '"') inQuote = !inQuote;
    else if (!inQuote && /[ \t\r\v\f]/.test(char)) return at;
  }
  return inQuote ? -1 : text.length;
}

/** ASCII white space only. */
const trim = (text: string): string => text.replace(/^[ \t\r\v\f]+|[ \t\r\v\f]+$/g, '');

const NO_PAIR = err('need name:value pair');

/** One `key: value` line; the key may be quoted and carry comments in parentheses. */
export function splitAliasLine(text: string): Result<Entry, string> {
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
    else if (char === ':') return aliasParts(trim(key), trim(text.slice(at + 1)));
    else if (char === ',') return NO_PAIR;
    else if (char === '@' || char === '%') return err('name must be local and have no domain');
    else key += char;
  }
  return NO_PAIR;
}

const aliasParts = (key: string, value: string): Result<Entry, string> =>
  key === '' || value === '' ? NO_PAIR : ok({ key, value });
