/**
 * Address lists as RFC 822 headers and alias tables write them.
 *
 * Tolerant like Postfix's tok822(3): bare local parts, missing commas after `>`, comments anywhere,
 * groups, source routes. Results are in internal form.
 *
 * @see RFC 5322 section 3.4
 */

/** Most addresses that are read from one list. */
const MAX_ADDRESSES = 10_240;

type Token =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'special'; readonly text: string }
  | { readonly kind: 'blank' };

/** The addresses of a list; undefined when a quote, comment, bracket or angle is not closed. */
export function parseAddressList(text: string): readonly string[] | undefined {
  const simple = /^[^\s()<>"\\,;:[\]]+$/;
  if (simple.test(text)) return [text];
  const tokens = tokenize(text);
  if (!tokens) return undefined;
  const addresses: string[] = [];
  let start = 0;
  let isInAngles = false;
  for (let at = 0; at <= tokens.length && addresses.length < MAX_ADDRESSES; at += 1) {
    const token = tokens[at];
    const mark = token?.kind === 'special' ? token.text : '';
    if (mark === '<' || mark === '>') isInAngles = mark === '<';
    const isBreak = !token || (!isInAngles && (mark === ',' || mark === ';'));
    if (isBreak) {
      addresses.push(...mailbox(tokens.slice(start, at)));
      start = at + 1;
    } else if (mark === ':' && isGroupName(tokens, start, at)) {
      start = at + 1;
    }
  }
  return addresses;
}

/** A colon ends a group name unless it is within angles or ends a source route. */
function isGroupName(tokens: readonly Token[], start: number, at: number): boolean {
  return tokens
    .slice(start, at)
    .every((token) => token.kind !== 'special' || !/^[<@]$/.test(token.text));
}

/** The address in one element of a list: what is within angles, else all of it. */
function mailbox(tokens: readonly Token[]): string[] {
  const open = tokens.findLastIndex((token) => token.kind === 'special' && token.text === '<');
  if (open >= 0) {
    const inner = tokens.slice(open + 1);
    const close = inner.findIndex((token) => token.kind === 'special' && token.text === '>');
    const address = join(close < 0 ? inner : inner.slice(0, close));
    return address === '' ? [] : [address];
  }
  return words(tokens)
    .map(join)
    .filter((address) => address !== '');
}

/** Elements without angles: blanks beside `@` and `.` bind, others separate addresses. */
function words(tokens: readonly Token[]): Token[][] {
  const lists: Token[][] = [[]];
  let isBlank = false;
  let binds = true;
  for (const token of tokens) {
    if (token.kind === 'blank') {
      isBlank = true;
      continue;
    }
    const isOperator = token.kind === 'special' && /^[@.%!:]$/.test(token.text);
    if (isBlank && !binds && !isOperator) lists.push([]);
    lists.at(-1)?.push(token);
    isBlank = false;
    binds = isOperator;
  }
  return lists;
}

function join(tokens: readonly Token[]): string {
  const visible = tokens.flatMap((token) => (token.kind === 'blank' ? [] : [token]));
  const colon = visible.findIndex((token) => token.kind === 'special' && token.text === ':');
  const isRouted = visible[0]?.kind === 'special' && visible[0].text === '@' && colon > 0;
  const kept = isRouted ? visible.slice(colon + 1) : visible;
  return kept.map(({ text }) => text).join('');
}

const SPECIALS = '<>,;:@.%!';
const ATOM = /(?:\\[\s\S]|[^\s()<>"[,;:@.%!\\])+/y;

function tokenize(text: string): Token[] | undefined {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at] ?? '';
    if (/\s/.test(char)) {
      tokens.push({ kind: 'blank' });
      at += 1;
    } else if (char === '(') {
      const end = commentEnd(text, at);
      if (end < 0) return undefined;
      tokens.push({ kind: 'blank' });
      at = end;
    } else if (char === '"' || char === '[') {
      const end = closing(text, at, char === '"' ? '"' : ']');
      if (end < 0) return undefined;
      const inner = text.slice(at + 1, end).replaceAll(/\\([\s\S])/g, '$1');
      const isQuoted = char === '"';
      tokens.push({ kind: 'text', text: isQuoted ? inner : `[${inner}]` });
      at = end + 1;
    } else if (SPECIALS.includes(char)) {
      tokens.push({ kind: 'special', text: char });
      at += 1;
    } else {
      ATOM.lastIndex = at;
      const word = ATOM.exec(text)?.[0] ?? char;
      const plain = word.replaceAll(/\\([\s\S])/g, '$1');
      tokens.push({ kind: 'text', text: plain });
      at += word.length;
    }
  }
  const isOpen = (token: Token, mark: string) => token.kind === 'special' && token.text === mark;
  const opened = tokens.filter((token) => isOpen(token, '<')).length;
  return opened === tokens.filter((token) => isOpen(token, '>')).length ? tokens : undefined;
}

function closing(text: string, from: number, mark: string): number {
  for (let at = from + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === mark) return at;
  }
  return -1;
}

function commentEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    const char = text[at];
    if (char === '\\') at += 1;
    else if (char === '(') depth += 1;
    else if (char === ')') {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}
