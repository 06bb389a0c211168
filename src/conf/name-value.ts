/**
 * `name = value`, the shape of a main.cf line, of `-o` in master.cf and on the command line.
 *
 * @see Postfix split_nameval(3)
 */
import { err, ok, type Result } from '../util/result.ts';

export type NameValue = { readonly name: string; readonly value: string };

const SPACE = ' \t\n\v\f\r';
const isSpace = (char: string): boolean => SPACE.includes(char);

/** Blanks around the name and the value are dropped; a name is anything without blanks and `=`. */
export function splitNameValue(text: string): Result<NameValue, string> {
  const start = skip(text, 0, isSpace);
  if (start === text.length || text[start] === '=') return err('missing attribute name');
  const end = skip(text, start, (char) => !isSpace(char) && char !== '=');
  const equals = skip(text, end, isSpace);
  if (text[equals] !== '=') return err("missing '=' after attribute name");
  const from = skip(text, equals + 1, isSpace);
  return ok({ name: text.slice(start, end), value: trimEnd(text.slice(from)) });
}

function skip(text: string, from: number, isSkipped: (char: string) => boolean): number {
  let at = from;
  while (at < text.length && isSkipped(text[at] ?? '')) at += 1;
  return at;
}

function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1] ?? '')) end -= 1;
  return text.slice(0, end);
}
