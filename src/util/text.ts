/**
 * Texts as main.cf writes them: lists separated by commas and white space.
 */

/**
 * Split a list value. Text within `{` and `}` is one element, braces kept, whatever it contains;
 * an unbalanced brace reaches to the end.
 *
 * @see postconf(5) "lists", Postfix `CHARS_COMMA_SP` and `CHARS_BRACE`
 */
export const splitList = (text: string): string[] =>
  splitOutsideBraces(text, (char) => /[\s,]/.test(char));

/** The parts between separators; one between balanced braces does not count. */
export function splitOutsideBraces(text: string, isSeparator: (char: string) => boolean): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = -1;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (depth === 0 && isSeparator(char)) {
      if (start >= 0) parts.push(text.slice(start, at));
      start = -1;
      continue;
    }
    if (start < 0) start = at;
    if (char === '{') depth += 1;
    else if (char === '}' && depth > 0) depth -= 1;
  }
  if (start >= 0) parts.push(text.slice(start));
  return parts;
}
