/**
 * The `domain` parameter of SQL, LDAP and memcache tables: only full addresses with a local part,
 * in one of these domains, are asked for. Elements are names, `!name`, `/file` and `type:table`;
 * names match whole, never their subdomains.
 *
 * @see mysql_table(5) "domain", Postfix string_list(3)
 */
import { readFileSync } from 'node:fs';
import { logicalLines } from '../../util/logical-lines.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { splitList } from '../../util/text.ts';
import type { Table } from '../table.ts';

export type DomainAnswer =
  | { readonly kind: 'yes' }
  | { readonly kind: 'no' }
  | { readonly kind: 'error'; readonly reason: string };

/** Whether the table may be asked for a key. */
export type DomainFilter = (key: string) => DomainAnswer | Promise<DomainAnswer>;

export type OpenTable = (spec: string) => Result<Table, { readonly reason: string }>;

type Element =
  | { readonly kind: 'name'; readonly negated: boolean; readonly name: string }
  | { readonly kind: 'table'; readonly negated: boolean; readonly table: Table };

const YES: DomainAnswer = { kind: 'yes' };
const NO: DomainAnswer = { kind: 'no' };
const MAX_FILE_DEPTH = 10;

export function domainFilter(value: string, openTable: OpenTable): Result<DomainFilter, string> {
  if (value.trim() === '') return ok(() => YES);
  const elements = parse(value, openTable, 0);
  if (!elements.ok) return elements;
  return ok((key) => {
    const at = key.lastIndexOf('@');
    if (at < 1) return NO;
    const domain = key.slice(at + 1).toLowerCase();
    return match(elements.value, 0, domain);
  });
}

function parse(value: string, openTable: OpenTable, depth: number): Result<Element[], string> {
  if (depth > MAX_FILE_DEPTH) return err('domain: files nest too deep');
  const elements: Element[] = [];
  for (const word of splitList(value)) {
    const bangs = /^!*/.exec(word)?.[0].length ?? 0;
    const negated = bangs % 2 === 1;
    const text = word.slice(bangs);
    if (text.startsWith('/')) {
      const inner = readElements(text, openTable, depth);
      if (!inner.ok) return inner;
      for (const each of inner.value) elements.push({ ...each, negated: each.negated !== negated });
    } else if (/^[a-z][\w-]*:/i.test(text)) {
      const table = openTable(text);
      if (!table.ok) return err(`domain: ${table.error.reason}`);
      elements.push({ kind: 'table', negated, table: table.value });
    } else elements.push({ kind: 'name', negated, name: text.toLowerCase() });
  }
  return ok(elements);
}

function readElements(path: string, openTable: OpenTable, depth: number) {
  try {
    const lines = [...logicalLines(readFileSync(path, 'utf8'))];
    return parse(lines.map(({ text }) => text).join(' '), openTable, depth + 1);
  } catch (error) {
    return err(
      `domain: open file ${path}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function match(
  elements: readonly Element[],
  from: number,
  domain: string,
): DomainAnswer | Promise<DomainAnswer> {
  for (let at = from; at < elements.length; at += 1) {
    const element = elements[at];
    if (!element) break;
    const decided = element.negated ? NO : YES;
    if (element.kind === 'name') {
      if (element.name === domain) return decided;
      continue;
    }
    const answer = element.table.lookup(domain);
    if (answer instanceof Promise) {
      return answer.then((found) => {
        if (found.kind === 'absent') return match(elements, at + 1, domain);
        return found.kind === 'found' ? decided : { kind: 'error', reason: found.reason };
      });
    }
    if (answer.kind === 'absent') continue;
    return answer.kind === 'found' ? decided : { kind: 'error', reason: answer.reason };
  }
  return NO;
}
