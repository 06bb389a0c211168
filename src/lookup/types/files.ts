/**
 * Tables that are read whole when they are opened: texthash, cidr, regexp, pcre from their files,
 * inline and static from main.cf. Lines that are left out are logged with their number.
 */
import { readFileSync } from 'node:fs';
import type { Logger } from '../../log/maillog.ts';
import type { LogicalLine } from '../../util/logical-lines.ts';
import { err, ok, type Result } from '../../util/result.ts';
import type { Table } from '../table.ts';
import { type CidrFault, cidrTable } from './cidr.ts';
import { fileValue } from './file-value.ts';
import { inlineEntries, inlineLines, stripBraces } from './inline.ts';
import { memoryTable, staticTable } from './memory.ts';
import { patternTable } from './pattern.ts';
import { sourceLines } from './source-lines.ts';
import { parseText, type TextFormat } from './text.ts';

type Fault = { readonly reason: string };

export type FileContext = { readonly logger: Logger; readonly format?: TextFormat };

export function textTable(name: string, context: FileContext): Result<Table, Fault> {
  const source = read(name);
  if (!source.ok) return source;
  const { entries, faults } = parseText([source.value], context.format ?? {});
  for (const { line, reason } of faults) {
    context.logger.warning(`${name}, line ${line}: ${reason}`);
  }
  return ok(memoryTable('texthash', name, entries, context.format));
}

export function inlineTable(name: string, { format }: FileContext): Result<Table, Fault> {
  const entries = inlineEntries(name, format);
  return entries.ok ? ok(memoryTable('inline', name, entries.value, format)) : entries;
}

export function staticValue(name: string, { format }: FileContext): Result<Table, Fault> {
  const inner = name.startsWith('{') ? stripBraces(name) : name;
  if (inner === undefined)
    return err({ reason: `bad static:name syntax: missing '}' in "${name}"` });
  const value = format?.hasFileValues ? fileValue(inner) : ok(inner);
  return value.ok ? ok(staticTable(name, value.value)) : err({ reason: value.error });
}

export function cidrFile(name: string, context: FileContext): Result<Table, Fault> {
  const warn = ruleWarning('cidr', name, context);
  const lines = ruleLines('cidr', name, warn);
  if (!lines.ok) return lines;
  const { table, faults } = cidrTable(name, lines.value);
  for (const { line, code, text } of faults) {
    warn(line, CIDR_REASONS[code](text), code !== 'if-without-endif');
  }
  return ok(table);
}

const CIDR_REASONS: Readonly<Record<CidrFault['code'], (text: string) => string>> = {
  'bad-address': (text) => `bad address pattern: "${text.split(/\s/, 1)[0]}"`,
  'bad-length': (text) => `bad mask length in "${text.split(/\s/, 1)[0]}"`,
  'host-bits': (text) => `non-null host address bits in "${text.split(/\s/, 1)[0]}"`,
  'no-result': () => 'no lookup result',
  'trailing-text': (text) => `garbage after ${/^endif/i.test(text) ? 'ENDIF' : 'IF'}`,
  'endif-without-if': () => 'ENDIF without IF',
  'if-without-endif': () => 'IF has no matching ENDIF',
};

export function patternFile(
  type: 'regexp' | 'pcre',
  name: string,
  context: FileContext,
): Result<Table, Fault> {
  const warn = ruleWarning(type, name, context);
  const lines = ruleLines(type, name, warn);
  if (!lines.ok) return lines;
  const { table, faults } = patternTable(type, name, lines.value);
  for (const { line, reason, isLeftOut } of faults) warn(line, reason, isLeftOut);
  return ok(table);
}

type Warn = (line: number, reason: string, isLeftOut: boolean) => void;

function ruleWarning(type: string, name: string, { logger }: FileContext): Warn {
  return (line, reason, isLeftOut) => {
    const end = isLeftOut ? ': skipping this rule' : '';
    logger.warning(`${type} map ${name}, line ${line}: ${reason}${end}`);
  };
}

/** Rule tables take `{ {rule}, {rule} }` instead of a file name. */
function ruleLines(type: string, name: string, warn: Warn): Result<Iterable<LogicalLine>, Fault> {
  if (name.startsWith('{')) return inlineLines(type, name);
  const source = read(name);
  if (!source.ok) return source;
  return ok(sourceLines([source.value], (line, reason) => warn(line, reason, false)));
}

function read(path: string): Result<string, Fault> {
  if (!path.startsWith('/')) return err({ reason: `open ${path}: not an absolute path` });
  try {
    return ok(readFileSync(path, 'utf8'));
  } catch (error) {
    const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isAbsent) return err({ reason: `open ${path}: No such file or directory` });
    return err({ reason: `open ${path}: ${error instanceof Error ? error.message : error}` });
  }
}
