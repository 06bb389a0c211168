/**
 * Addresses and address lists as RFC 822 tokens: read from text, written back.
 *
 * Tolerant like Postfix's tok822(3): nothing is refused and nothing is thrown away. Bare local parts,
 * missing commas, comments anywhere, groups and source routes are read as what they most likely
 * mean, so that a header can be rewritten address by address and the rest stays. White space within
 * quotes and brackets becomes blanks.
 *
 * @see RFC 822 section 3.3, RFC 5322 section 3.4
 */
import { isDotString, splitRoute } from './address.ts';

export type TokenKind = 'atom' | 'quoted' | 'comment' | 'literal' | 'operator' | 'group';

export type Token = {
  readonly kind: TokenKind;
  /** Of `quoted` and `literal` without the marks; of a comment as written; one operator. */
  readonly text: string;
  /** Part of an address that was found in a list: words in it are not set apart when written. */
  readonly isBound?: true;
};

export type AddressNode = { readonly kind: 'address'; readonly tokens: readonly Token[] };

export type Node = Token | AddressNode;

/** Most addresses that are read from a list of aliases. */
const MAX_ADDRESSES = 10_240;
/** Comments and phrases of one element that are kept beside its address (CERT CA-2003-07). */
const MAX_PHRASE = 250;

const OPERATORS: ReadonlySet<string> = new Set('|%!()<>@,;:\\".[]');
const BLANK = /[ \t\r\n]/;
const NEEDS_QUOTES = /[\x00-\x20\x7f|%!()<>@,;:\\".[\]]/;

export const operator = (text: string): Token => ({ kind: 'operator', text });

export const isOperator = (node: Node | undefined, text: string): boolean =>
  node?.kind === 'operator' && node.text === text;

type Scan = { readonly tokens: Token[]; readonly isClosed: boolean };

/** The tokens of an address in external form; at most `limit`, when given. */
export const scanTokens = (text: string, limit = Number.POSITIVE_INFINITY): Token[] =>
  scan(text, limit).tokens;

function scan(text: string, limit: number): Scan {
  const tokens: Token[] = [];
  let isClosed = true;
  let at = 0;
  while (at < text.length && tokens.length < limit) {
    const char = text[at] ?? '';
    if (BLANK.test(char)) {
      at += 1;
      continue;
    }
    if (char === '(') {
      const end = commentEnd(text, at);
      isClosed = isClosed && end.isClosed;
      tokens.push({ kind: 'comment', text: text.slice(at, end.at) });
      at = end.at;
      continue;
    }
    if (char === '[' || char === '"') {
      const close = char === '[' ? ']' : '"';
      const read = collect(text, at + 1, (next) => next === close);
      isClosed = isClosed && read.next < text.length;
      tokens.push({ kind: char === '[' ? 'literal' : 'quoted', text: read.text });
      at = read.next + 1;
      continue;
    }
    if (char !== '\\' && OPERATORS.has(char)) {
      tokens.push(operator(char));
      at += 1;
      continue;
    }
    const read = collect(text, at, (next) => BLANK.test(next) || OPERATORS.has(next));
    tokens.push({ kind: NEEDS_QUOTES.test(read.text) ? 'quoted' : 'atom', text: read.text });
    at = read.next;
  }
  return { tokens, isClosed };
}

/** Text up to a character that `ends` it, backslashes taken off. */
function collect(
  text: string,
  from: number,
  ends: (char: string) => boolean,
): { readonly text: string; readonly next: number } {
  let found = '';
  let at = from;
  for (; at < text.length; at += 1) {
    let char = text[at] ?? '';
    if (char === '\\') {
      at += 1;
      if (at >= text.length) break;
      char = text[at] ?? '';
    } else if (ends(char)) break;
    found += BLANK.test(char) ? ' ' : char;
  }
  return { text: found, next: at };
}

function commentEnd(text: string, from: number): { readonly at: number; isClosed: boolean } {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    const char = text[at];
    if (char === '\\') at += 1;
    else if (char === '(') depth += 1;
    else if (char === ')' && --depth === 0) return { at: at + 1, isClosed: true };
  }
  return { at: text.length, isClosed: false };
}

/** A list of addresses: phrases, comments and commas as tokens, each address as one node. */
export const parseTokens = (text: string, limit = Number.POSITIVE_INFINITY): Node[] =>
  group(scanTokens(text, limit));

/**
 * Gather the tokens of each address, from right to left: what is within `<>`, what is between
 * commas, or a single word. Comments move out of the way, to the right; a comma that is missing
 * between two addresses is put in.
 */
function group(tokens: readonly Token[]): Node[] {
  /** What lies right of `pending`, in reverse order. */
  const done: Node[] = [];
  /** The tokens between here and `done`, in reverse order: an address in the making. */
  let pending: Token[] = [];
  const close = (addsComma: boolean): void => {
    if (pending.length === 0) return;
    done.push({
      kind: 'address',
      tokens: pending.reverse().map((token) => ({ ...token, isBound: true as const })),
    });
    if (addsComma) done.push(operator(','));
    pending = [];
  };
  let mayBeWord = true;
  let mayBeGroup = false;
  let at = tokens.length - 1;
  /** Pass tokens to `done` as they are until one of `marks`. */
  const skipTo = (marks: string): void => {
    for (let token = tokens[at]; token; token = tokens[--at]) {
      if (token.kind === 'operator' && marks.includes(token.text)) return;
      done.push(token);
    }
  };
  for (; at >= 0; at -= 1) {
    const token = tokens[at];
    if (!token) break;
    const mark = token.kind === 'operator' ? token.text : '';
    if (token.kind === 'comment') done.push(token);
    else if (mark === ';') {
      close(true);
      done.push(token);
      mayBeGroup = true;
      mayBeWord = true;
    } else if (mark === ':' && mayBeGroup) {
      close(false);
      done.push({ kind: 'group', text: ':' });
      at -= 1;
      skipTo(',');
      at += 1;
    } else if (mark === '>') {
      close(true);
      done.push(token);
      for (at -= 1; at >= 0 && !isOperator(tokens[at], '<'); at -= 1) {
        const inner = tokens[at];
        if (inner?.kind === 'comment') done.push(inner);
        else if (inner) pending.push(inner);
      }
      close(false);
      skipTo('>;,:');
      at += 1;
      mayBeWord = true;
    } else if (mark === ',') {
      close(false);
      done.push(token);
      mayBeWord = true;
    } else if (mark === '') {
      if (!mayBeWord) close(true);
      mayBeWord = false;
      pending.push(token);
    } else {
      mayBeWord = true;
      pending.push(token);
    }
  }
  close(false);
  return done.reverse();
}

/** Internal form: quotes taken off. */
export function internalize(tokens: readonly Token[]): string {
  let text = '';
  for (const [at, token] of tokens.entries()) {
    text += token.kind === 'literal' ? `[${token.text}]` : token.text;
    if (wantsBlank(token, tokens[at + 1])) text += ' ';
  }
  return text;
}

/** External form of an address given as tokens: its local part quoted where it must be. */
export const externalize = (tokens: readonly Token[]): string => quoteAddress(internalize(tokens));

/**
 * External form of a list. Behind each comma a line ends (LF), for the caller to fold. Phrases and
 * comments of more than 250 characters beside one address are dropped.
 */
export function externalizeList(nodes: readonly Node[]): string {
  const elements: Node[][] = [[]];
  for (const node of nodes) {
    if (isOperator(node, ',')) elements.push([]);
    else elements.at(-1)?.push(node);
  }
  return elements.map(externalElement).join(',\n');
}

function externalElement(nodes: readonly Node[]): string {
  let text = '';
  let address: string | undefined;
  for (const [at, node] of nodes.entries()) {
    if (node.kind === 'address') {
      address = externalize(node.tokens);
      text += address;
    } else {
      if (isOperator(node, '<') && isOperator(nodes[at + 1], '>')) address = '';
      text += externalToken(node);
    }
    if (wantsBlank(node, nodes[at + 1])) text += ' ';
  }
  const isLong = address !== undefined && text.length - address.length > MAX_PHRASE;
  return isLong ? `<${address}>` : text;
}

/** Tokens one by one, as Postfix hands an address of a header to its rewriting. */
export function externalizeTokens(tokens: readonly Token[]): string {
  let text = '';
  for (const [at, token] of tokens.entries()) {
    text += externalToken(token);
    if (wantsBlank(token, tokens[at + 1])) text += ' ';
  }
  return text;
}

function externalToken({ kind, text }: Token): string {
  if (kind === 'quoted') return `"${text.replaceAll(/["\\\r\n]/g, '\\$&')}"`;
  if (kind === 'literal') return `[${text.replaceAll(/[\\\r\n]/g, '\\$&')}]`;
  return text;
}

function wantsBlank(node: Node, next: Node | undefined): boolean {
  if (!next || ('isBound' in node && node.isBound)) return false;
  if (node.kind === 'group' || isOperator(next, '<')) return true;
  if (isOperator(node, ',')) return true;
  return isWord(node) && isWord(next);
}

const isWord = ({ kind }: Node): boolean => kind !== 'operator' && kind !== 'group';

/** Internal to external form; a source route (`@a,@b:`) in front stays as it is. */
export function quoteAddress(internal: string): string {
  const { route, address } = splitRoute(internal);
  const at = address.lastIndexOf('@');
  const local = at < 0 ? address : address.slice(0, at);
  if (isDotString(local)) return internal;
  const quoted = `"${local.replaceAll(/["\\\r]/g, '\\$&')}"`;
  return route + quoted + (at < 0 ? '' : address.slice(at));
}

/** The addresses of a list; undefined when a quote, comment, bracket or angle is not closed. */
export function parseAddressList(text: string): readonly string[] | undefined {
  if (/^[^\s()<>"\\,;:[\]]+$/.test(text)) return [text];
  const { tokens, isClosed } = scan(text, Number.POSITIVE_INFINITY);
  const count = (mark: string): number => tokens.filter((token) => isOperator(token, mark)).length;
  if (!isClosed || count('<') !== count('>')) return undefined;
  return addressesIn(group(tokens)).slice(0, MAX_ADDRESSES);
}

/** Internal form of each address, source routes taken off. */
export const addressesIn = (nodes: readonly Node[]): string[] =>
  nodes.flatMap((node) => {
    if (node.kind !== 'address') return [];
    const { address } = splitRoute(internalize(node.tokens));
    return address === '' ? [] : [address];
  });
