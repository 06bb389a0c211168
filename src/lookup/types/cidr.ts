/**
 * cidr: tables: find a client address in an ordered list of network patterns.
 *
 * Format and order follow cidr_table(5): the first match wins, `!pattern` negates within its own
 * address family, `if` and `endif` nest, an address without /length means all of its bits. A key
 * that is not an IP address is absent, not an error.
 *
 * A rule that does not parse is left out and the others stay in force, as in Postfix. Beware that
 * this also holds for a bad `if`: the rules inside it then apply to every address.
 *
 * @see https://www.postfix.org/cidr_table.5.html
 */
import { hasHostBits, type IpBytes, parseIp, samePrefix } from '../../util/ip-prefix.ts';
import type { LogicalLine } from '../../util/logical-lines.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { ABSENT, type Lookup, type Table } from '../table.ts';

/** A line that was left out, or an `if` that was never closed. */
export type CidrFault = LogicalLine & { readonly code: FaultCode };

type FaultCode =
  | 'bad-address'
  | 'bad-length'
  | 'host-bits'
  | 'no-result'
  | 'trailing-text'
  | 'endif-without-if'
  | 'if-without-endif';

export interface CidrTable extends Table {
  lookup(key: string): Lookup;
}

type Pattern = { readonly net: IpBytes; readonly bits: number };

/** Without a value, a rule opens an `if` block that ends just before rule number `next`. */
type Rule = Pattern & { readonly negated: boolean; readonly value?: string; next: number };

const KEYWORD = /^(if|endif)(?![a-z\d])/i;
const RULE = /^(?<not>[!\s]*)(?<pattern>\S*)\s*(?<value>.*?)\s*$/;

/**
 * Build a table from its source. Costs one pass now and one linear scan per lookup.
 *
 * @param name  path or inline text as in main.cf; for messages only
 * @param lines logical lines of the source, in file order
 * @returns the table, and the faults in line order for the caller to log or to fail on
 */
export function cidrTable(
  name: string,
  lines: Iterable<LogicalLine>,
): { table: CidrTable; faults: readonly CidrFault[] } {
  const rules: Rule[] = [];
  const open: { rule: Rule; source: LogicalLine }[] = [];
  const faults: CidrFault[] = [];

  for (const source of lines) {
    const report = (code: FaultCode): void => void faults.push({ ...source, code });
    const keyword = KEYWORD.exec(source.text)?.[0].toLowerCase() ?? '';
    const {
      not = '',
      pattern = '',
      value = '',
    } = RULE.exec(source.text.slice(keyword.length))?.groups ?? {};

    if (keyword === 'endif') {
      const opener = pattern === '' ? open.pop() : undefined;
      if (opener) opener.rule.next = rules.length;
      else report(pattern === '' ? 'endif-without-if' : 'trailing-text');
      continue;
    }

    const parsed = parsePattern(pattern);
    const negated = not.replaceAll(/\s/g, '').length % 2 === 1;
    if (!parsed.ok) report(parsed.error);
    else if (keyword === 'if' && value !== '') report('trailing-text');
    else if (keyword === 'if') {
      const rule: Rule = { ...parsed.value, negated, next: Number.POSITIVE_INFINITY };
      open.push({ rule, source });
      rules.push(rule);
    } else if (value === '') report('no-result');
    else rules.push({ ...parsed.value, negated, value, next: rules.length + 1 });
  }

  for (const { source } of open) faults.push({ ...source, code: 'if-without-endif' });
  faults.sort((a, b) => a.line - b.line);
  const lookup = (key: string): Lookup => search(rules, key);
  return { table: { type: 'cidr', name, keys: 'pattern', lookup }, faults };
}

function search(rules: readonly Rule[], key: string): Lookup {
  const address = parseIp(key);
  if (!address) return ABSENT;
  for (let at = 0, rule = rules[at]; rule; rule = rules[at]) {
    const sameFamily = rule.net.length === address.length;
    const holds = sameFamily && samePrefix(rule.net, address, rule.bits) !== rule.negated;
    if (holds && rule.value !== undefined) return { kind: 'found', value: rule.value };
    at = holds ? at + 1 : rule.next;
  }
  return ABSENT;
}

/** `net/length` or `net`; also `[net/length]` and `[net]/length`, as match lists write them. */
function parsePattern(text: string): Result<Pattern, FaultCode> {
  const [address = '', length, ...more] = text.replace(/^\[([^\]]*)\](?=\/|$)/, '$1').split('/');
  const net = parseIp(address);
  if (!net || more.length > 0) return err('bad-address');
  const width = net.length * 8;
  const bits = length === undefined ? width : /^\d+$/.test(length) ? Number(length) : Number.NaN;
  if (!(bits <= width)) return err('bad-length');
  return hasHostBits(net, bits) ? err('host-bits') : ok({ net, bits });
}
