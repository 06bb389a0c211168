/**
 * Expansion of `$name` in main.cf values.
 *
 * `$name`, `${name}`, `$(name)`; `$$` is a dollar; `${n?v}` and `${n?{v}}` when n is not empty,
 * `${n:v}` when it is, `${n?{a}:{b}}`; the first item may be `{x} op {y}` with == != < <= > >=, or
 * the `<level` family for compatibility levels. An undefined name is empty. Depth is limited, so
 * expansion ends whatever the values refer to.
 *
 * @see postconf(5), Postfix mac_expand(3)
 */
export type Lookup = (name: string) => string | undefined;

export type Expanded = { readonly text: string; readonly faults: readonly string[] };

const MAX_DEPTH = 100;
/** Text beyond this is cut: doubling references could grow without end. */
const MAX_LENGTH = 1_000_000;

export function expand(text: string, lookup: Lookup): Expanded {
  const faults: string[] = [];
  return { text: expandText(text, { lookup, faults, budget: { left: MAX_LENGTH } }, 0), faults };
}

type Context = {
  readonly lookup: Lookup;
  readonly faults: string[];
  readonly budget: { left: number };
};

function expandText(text: string, context: Context, depth: number): string {
  if (!text.includes('$')) return text;
  if (depth > MAX_DEPTH) {
    if (context.faults.length < 10) context.faults.push(`macro call nesting exceeds ${MAX_DEPTH}`);
    return '';
  }
  let out = '';
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0 || dollar === text.length - 1) {
      out += text.slice(at);
      break;
    }
    out += text.slice(at, dollar);
    const next = text[dollar + 1] ?? '';
    if (next === '$') {
      out += '$';
      at = dollar + 2;
    } else if (next === '{' || next === '(') {
      const end = closing(text, dollar + 1, next);
      if (end < 0) {
        context.faults.push(`truncated macro reference: ${text.slice(dollar)}`);
        break;
      }
      out += reference(text.slice(dollar + 2, end), context, depth);
      at = end + 1;
    } else {
      const name = /^\w+/.exec(text.slice(dollar + 1))?.[0] ?? '';
      if (name === '') {
        context.faults.push(`bad macro reference: ${text.slice(dollar)}`);
        out += '$';
      } else out += namedValue(name, context, depth);
      at = dollar + 1 + name.length;
    }
    context.budget.left -= 1;
    if (context.budget.left < 0 || out.length > MAX_LENGTH) return out.slice(0, MAX_LENGTH);
  }
  return out;
}

function namedValue(name: string, context: Context, depth: number): string {
  return expandText(context.lookup(name) ?? '', context, depth + 1);
}

/** What stands between the outer braces: a name or comparison, and perhaps what to choose. */
function reference(body: string, context: Context, depth: number): string {
  const comparison = compare(body, context, depth);
  if (comparison) return choose(comparison.holds ? 'true' : '', comparison.rest, context, depth);
  const match = /^\s*(\w+)\s*(?:([?:])([\s\S]*))?$/.exec(body);
  if (!match) {
    context.faults.push(`bad macro name or expression: ${body}`);
    return '';
  }
  const [, name = '', operator, rest = ''] = match;
  const value = namedValue(name, context, depth);
  return operator === undefined ? value : choose(value, `${operator}${rest}`, context, depth);
}

/** `?{a}:{b}`, `?a`, `:b`, or nothing. */
function choose(value: string, rest: string, context: Context, depth: number): string {
  const text = rest.trimStart();
  if (text === '') return value;
  const operator = text[0];
  const first = group(text.slice(1));
  if (!first) {
    const plain = text.slice(1);
    return (operator === '?') === (value !== '') ? expandText(plain, context, depth + 1) : '';
  }
  const after = first.rest.trimStart();
  const second = operator === '?' && after.startsWith(':') ? group(after.slice(1)) : undefined;
  const otherwise = second?.inner ?? (after.startsWith(':') ? after.slice(1) : '');
  if (operator === '?')
    return expandText(value !== '' ? first.inner : otherwise, context, depth + 1);
  return value === '' ? expandText(first.inner, context, depth + 1) : '';
}

function compare(body: string, context: Context, depth: number) {
  const left = group(body);
  if (!left) return undefined;
  const operator = /^\s*(==|!=|<=|>=|<|>)(level\b)?/.exec(left.rest);
  if (!operator) return undefined;
  const right = group(left.rest.slice(operator[0].length));
  if (!right) return undefined;
  const a = expandText(left.inner, context, depth + 1);
  const b = expandText(right.inner, context, depth + 1);
  const order = operator[2] ? compareLevels(a, b) : compareValues(a, b);
  const holds = {
    '==': order === 0,
    '!=': order !== 0,
    '<': order < 0,
    '<=': order <= 0,
    '>': order > 0,
    '>=': order >= 0,
  }[operator[1] ?? '=='];
  return { holds: holds ?? false, rest: right.rest };
}

/** As numbers when both are all digits, else bytewise. */
function compareValues(a: string, b: string): number {
  if (/^\d+$/.test(a) && /^\d+$/.test(b)) return Number(a) - Number(b);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `3.6` is below `3.11`; `2` equals `2.0`. */
export function compareLevels(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => text.trim().split('.').map(Number));
  for (let i = 0; i < 3; i += 1) {
    const difference = (x?.[i] ?? 0) - (y?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The content of a leading `{...}` with balanced braces, and what follows it. */
function group(text: string): { readonly inner: string; readonly rest: string } | undefined {
  const start = text.length - text.trimStart().length;
  if (text[start] !== '{') return undefined;
  const end = closing(text, start, '{');
  if (end < 0) return undefined;
  return { inner: text.slice(start + 1, end).trim(), rest: text.slice(end + 1) };
}

function closing(text: string, start: number, open: string): number {
  const close = open === '{' ? '}' : ')';
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === open) depth += 1;
    else if (text[at] === close) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return -1;
}
