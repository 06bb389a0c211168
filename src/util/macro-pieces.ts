/**
 * A value as literal text and `$` references, without looking at what the references say.
 *
 * @see Postfix mac_parse(3)
 */
export type MacroPiece = {
  readonly isLiteral: boolean;
  /** Literal text with `$$` made `$`; of a reference what follows the dollar, without braces. */
  readonly text: string;
};

export type MacroPieces = {
  readonly pieces: readonly MacroPiece[];
  /** Why the text was not read to its end. */
  readonly fault?: string;
};

export function macroPieces(value: string): MacroPieces {
  const pieces: MacroPiece[] = [];
  let literal = '';
  let at = 0;
  while (at < value.length) {
    const dollar = value.indexOf('$', at);
    if (dollar < 0) {
      literal += value.slice(at);
      break;
    }
    literal += value.slice(at, dollar);
    if (value[dollar + 1] === '$') {
      literal += '$';
      at = dollar + 2;
      continue;
    }
    if (literal !== '') pieces.push({ isLiteral: true, text: literal });
    literal = '';
    const next = value[dollar + 1] ?? '';
    const isBraced = next === '{' || next === '(';
    const start = dollar + (isBraced ? 2 : 1);
    const end = isBraced ? closing(value, start, next) : start + wordLength(value, start);
    if (end < 0) return { pieces, fault: `truncated macro reference: "${value}"` };
    if (end === start) return { pieces, fault: `empty macro name: "${value}"` };
    pieces.push({ isLiteral: false, text: value.slice(start, end) });
    at = isBraced ? end + 1 : end;
  }
  if (literal !== '') pieces.push({ isLiteral: true, text: literal });
  return { pieces };
}

function wordLength(value: string, from: number): number {
  let at = from;
  while (at < value.length && /\w/.test(value[at] ?? '')) at += 1;
  return at - from;
}

/** Where the brace that was opened before `start` is closed, or -1. */
function closing(value: string, start: number, open: string): number {
  const close = open === '{' ? '}' : ')';
  let level = 1;
  for (let at = start; at < value.length; at += 1) {
    if (value[at] === open) level += 1;
    else if (value[at] === close) level -= 1;
    if (level === 0) return at;
  }
  return -1;
}
