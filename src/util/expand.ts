/**
 * Expansion of `$name` in main.cf values.
 *
 * `$name`, `${name}`, `$(name)`; `$$` is a dollar; `${n?v}` and `${n?{v}}` when the value of n, as
 * it is written, is not empty; `${n:v}` when it is; `${n?{a}:{b}}`; the first item may be
 * `{x} op {y}` with == != < <= > >= (numbers when both are digits, else text), or with the suffix
 * `level` for compatibility levels; `${domain_to_ascii{text}}` and its sisters. An undefined name is
 * empty. What is wrong is said in the words of Postfix, and the text then ends where the fault is.
 * Depth, steps and length are limited, so expansion ends whatever the values refer to.
 *
 * @see postconf(5), Postfix mac_parse(3) and mac_expand(3)
 */
import { compareLevels, parseLevel } from './compat-level.ts';
import { macroPieces } from './macro-pieces.ts';
import { namedFunction } from './named-function.ts';

export type Lookup = (name: string) => string | undefined;

export type Expanded = { readonly text: string; readonly faults: readonly string[] };

const MAX_DEPTH = 100;
/** References evaluated in one expansion, and length of its result: doubling could go on for ever. */
const MAX_STEPS = 100_000;
const MAX_LENGTH = 1_000_000;

type Context = {
  readonly lookup: Lookup;
  /** Names whose values are inserted as they are. */
  readonly isRaw: (name: string) => boolean;
  /** Visit every branch and insert nothing. */
  readonly isScan: boolean;
  readonly faults: string[];
  readonly budget: { steps: number; length: number };
  failed: boolean;
};

export function expand(
  text: string,
  lookup: Lookup,
  isRaw: (name: string) => boolean = () => false,
): Expanded {
  const context = newContext(lookup, isRaw, false);
  return { text: expandText(text, context, 0), faults: context.faults };
}

/** Every name that the text mentions, in all branches; nothing is looked up. */
export function references(text: string): {
  readonly names: readonly string[];
  readonly faults: readonly string[];
} {
  const names: string[] = [];
  const note = (name: string): undefined => void names.push(name);
  const context = newContext(note, () => false, true);
  expandText(text, context, 0);
  return { names, faults: context.faults };
}

const newContext = (lookup: Lookup, isRaw: Context['isRaw'], isScan: boolean): Context => ({
  lookup,
  isRaw,
  isScan,
  faults: [],
  budget: { steps: 0, length: 0 },
  failed: false,
});

function fail(context: Context, text: string): string {
  context.faults.push(text);
  context.failed = true;
  return '';
}

function expandText(text: string, context: Context, depth: number): string {
  const { pieces, fault } = macroPieces(text);
  if (depth > MAX_DEPTH) {
    for (const piece of pieces) fail(context, `unreasonable macro call nesting: "${piece.text}"`);
    return '';
  }
  let out = '';
  for (const piece of pieces) {
    if (context.failed) return out;
    context.budget.steps += 1;
    if (piece.isLiteral) {
      context.budget.length += piece.text.length;
      out += piece.text;
    } else out += reference(piece.text, context, depth);
    if (context.budget.steps > MAX_STEPS || context.budget.length > MAX_LENGTH) {
      if (!context.failed) fail(context, `unreasonable macro expansion: "${text.slice(0, 100)}"`);
      return out;
    }
  }
  if (fault !== undefined && !context.failed) fail(context, fault);
  return out;
}

/** What stands between the outer braces: a name or comparison, and perhaps what to choose. */
function reference(body: string, context: Context, depth: number): string {
  const start = blanks(body, 0);
  if (body[start] === '{') {
    const compared = compare(body.slice(start), context, depth);
    if (!compared) return '';
    const { value, rest } = compared;
    if (rest === '') return value ?? '';
    if (rest[0] !== '?' && rest[0] !== ':')
      return fail(context, `"?" or ":" expected at: "...}>>>${rest.slice(0, 20)}"`);
    return choose(value, rest, context, depth);
  }
  const name = /^\w*/.exec(body.slice(start))?.[0] ?? '';
  const end = start + name.length;
  const rest = body.slice(blanks(body, end));
  if (rest === '') return namedValue(name, context, depth);
  if (rest[0] === '{') return callFunction(name, rest, context, depth);
  if (rest[0] !== '?' && rest[0] !== ':') {
    const seen = body.slice(0, end);
    return fail(
      context,
      `attribute name syntax error at: "...${seen}>>>${body.slice(end, end + 20)}"`,
    );
  }
  return choose(context.lookup(name), rest, context, depth);
}

function namedValue(name: string, context: Context, depth: number): string {
  const value = context.lookup(name) ?? '';
  if (!context.isRaw(name)) return expandText(value, context, depth + 1);
  context.budget.length += value.length;
  return value;
}

/** `?{a}:{b}`, `?a`, `:b`. Only the branch that counts is expanded, but what follows it is read. */
function choose(value: string | undefined, text: string, context: Context, depth: number): string {
  const isSet = value !== undefined && value !== '';
  let out = '';
  let rest = text;
  if (rest[0] === '?') {
    const yes = operand(rest.slice(1), context);
    if (!yes) return '';
    if (isSet || context.isScan) out += expandText(yes.inner, context, depth + 1);
    if (context.failed || yes.rest === '') return out;
    if (yes.rest[0] !== ':') {
      fail(context, `":" expected at: "...${yes.inner}}>>>${yes.rest.slice(0, 20)}"`);
      return out;
    }
    rest = yes.rest;
  }
  const no = operand(rest.slice(1), context);
  if (!no) return out;
  if (!isSet || context.isScan) out += expandText(no.inner, context, depth + 1);
  if (!context.failed && no.rest !== '')
    fail(context, `unexpected input at: "...${no.inner}}>>>${no.rest.slice(0, 20)}"`);
  return out;
}

/** A group in braces, or everything that is left. */
function operand(text: string, context: Context): Group | undefined {
  const start = blanks(text, 0);
  return text[start] === '{' ? group(text.slice(start), context) : { inner: text, rest: '' };
}

const OPERATORS: ReadonlyMap<string, (order: number) => boolean> = new Map([
  ['==', (order) => order === 0],
  ['!=', (order) => order !== 0],
  ['<', (order) => order < 0],
  ['<=', (order) => order <= 0],
  ['>=', (order) => order >= 0],
  ['>', (order) => order > 0],
]);
const OPERATOR_NAMES = '"==" or "!="" or "<"" or "<="" or ">="" or ">"';

/** `{x} op {y}` at the start of the text: "true" or "", and what follows. */
function compare(text: string, context: Context, depth: number) {
  const left = group(text, context);
  if (!left) return undefined;
  const operator = /^[<>!=?+\-*/~&|%]*/.exec(left.rest)?.[0] ?? '';
  const holds = OPERATORS.get(operator);
  if (!holds) {
    const where = `"...${left.inner}}>>>${left.rest.slice(0, 20)}"`;
    return void fail(context, `${OPERATOR_NAMES} expected at: ${where}`);
  }
  const suffix = /^[A-Za-z0-9]*/.exec(left.rest.slice(operator.length))?.[0] ?? '';
  if (suffix !== '' && suffix !== 'level')
    return void fail(context, `bad operator suffix at: "...${operator}>>>${suffix}"`);
  const after = left.rest.slice(operator.length + suffix.length);
  const start = blanks(after, 0);
  if (after[start] !== '{') {
    const where = `"...{${left.inner}} ${operator}>>>${after.slice(0, 20)}"`;
    return void fail(context, `"{expression}" expected at: ${where}`);
  }
  const right = group(after.slice(start), context);
  if (!right) return undefined;
  const [a, b] = [left, right].map(({ inner }) => {
    const own = { ...context, failed: false };
    const value = expandText(inner, own, depth + 1);
    context.failed ||= own.failed;
    return value;
  });
  if (context.failed) return undefined;
  if (context.isScan) return { value: undefined, rest: right.rest };
  const order =
    suffix === '' ? orderOf(a ?? '', b ?? '') : orderOfLevels(a ?? '', b ?? '', context);
  return order === undefined ? undefined : { value: holds(order) ? 'true' : '', rest: right.rest };
}

/** As numbers when both are all digits, else bytewise. */
function orderOf(a: string, b: string): number {
  if (/^\d+$/.test(a) && /^\d+$/.test(b)) {
    const difference = BigInt(a) - BigInt(b);
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function orderOfLevels(a: string, b: string, context: Context): number | undefined {
  const bad = [a, b].find((text) => parseLevel(text) === undefined);
  if (bad === undefined) return compareLevels(a, b);
  return void fail(context, `malformed compatibility level syntax: "${bad}"`);
}

/** `${name{text}}`: the text is expanded, then given to the function. */
function callFunction(name: string, text: string, context: Context, depth: number): string {
  const argument = group(text, context);
  if (!argument) return '';
  const inner = argument.inner.trim();
  if (argument.rest !== '')
    return fail(context, `unexpected input at: "...${inner}}>>>${argument.rest.slice(0, 20)}"`);
  const call = namedFunction(name);
  if (!call) return fail(context, `unknown function "${name}" at"...>>>${name}{${inner}}"`);
  const value = expandText(inner, context, depth + 1);
  if (context.failed || context.isScan) return '';
  const result = call(value);
  return result.ok ? result.value : fail(context, result.error);
}

type Group = { readonly inner: string; readonly rest: string };

/** The content of a leading `{...}` with balanced braces, blanks kept, and what follows it. */
function group(text: string, context: Context): Group | undefined {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1;
    else if (text[at] === '}') depth -= 1;
    if (depth === 0) return { inner: text.slice(1, at), rest: text.slice(blanks(text, at + 1)) };
  }
  return void fail(context, `unbalanced {} in attribute expression: "${text}"`);
}

/** Where the blanks at this place end. */
function blanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text[at] ?? '')) at += 1;
  return at;
}
