/**
 * Tokens of a structured header field such as Content-Type: words, quoted strings, specials;
 * comments and white space are skipped.
 *
 * @see RFC 2045 section 5.1, Postfix header_token(3)
 */
export type HeaderToken = {
  readonly kind: 'token' | 'quoted' | 'special';
  readonly text: string;
};

/**
 * The next item of a value: its first `count` tokens, up to `terminator` (with '': as soon as they
 * are found). Undefined at the end of the value.
 */
export function nextHeaderTokens(
  value: string,
  from: number,
  specials: string,
  terminator: string,
  count: number,
): { readonly tokens: readonly HeaderToken[]; readonly next: number } | undefined {
  const tokens: HeaderToken[] = [];
  let at = from;
  let isTerminated = false;
  while (at < value.length && !isTerminated && (terminator !== '' || tokens.length < count)) {
    const char = value[at] ?? '';
    if (/[ \t\r\n]/.test(char)) at += 1;
    else if (char === terminator) {
      at += 1;
      isTerminated = true;
    } else if (char === '(') at = afterComment(value, at);
    else {
      const read = readToken(value, at, specials);
      if (tokens.length < count) tokens.push(read.token);
      at = read.next;
    }
  }
  if (tokens.length === 0 && at >= value.length && !isTerminated) return undefined;
  return { tokens, next: at };
}

const isSpecial = (char: string, specials: string): boolean =>
  specials.includes(char) || /[\x00-\x1f\x7f]/.test(char);

function readToken(
  value: string,
  at: number,
  specials: string,
): { readonly token: HeaderToken; readonly next: number } {
  const char = value[at] ?? '';
  if (char === '"') return readQuoted(value, at + 1);
  if (isSpecial(char, specials)) return { token: { kind: 'special', text: char }, next: at + 1 };
  let end = at + 1;
  while (end < value.length) {
    const next = value[end] ?? '';
    if (next === ' ' || isSpecial(next, specials)) break;
    end += 1;
  }
  return { token: { kind: 'token', text: value.slice(at, end) }, next: end };
}

/** A line break within quotes, and the blanks before it, are folding. */
function readQuoted(
  value: string,
  from: number,
): { readonly token: HeaderToken; readonly next: number } {
  let text = '';
  let at = from;
  for (; at < value.length; at += 1) {
    const char = value[at] ?? '';
    if (char === '"') break;
    if (char === '\n') text = text.replace(/[ \t\r\n]+$/, '');
    else if (char === '\\') text += value[++at] ?? '';
    else text += char;
  }
  return { token: { kind: 'quoted', text }, next: at + 1 };
}

function afterComment(value: string, from: number): number {
  let depth = 0;
  for (let at = from; at < value.length; at += 1) {
    const char = value[at];
    if (char === '\\') at += 1;
    else if (char === '(') depth += 1;
    else if (char === ')' && --depth === 0) return at + 1;
  }
  return value.length;
}
