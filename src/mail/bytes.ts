/**
 * Header content is latin1 text here, a character for a byte; tables and addresses are Unicode. Bytes
 * that are UTF-8 are shown to tables as what they mean, other 8-bit bytes one by one.
 */
import { isUtf8 } from 'node:buffer';

const EIGHT_BIT = /[\x80-\xff]/;
const ABOVE_ASCII = /[^\x00-\x7f]/;
const ABOVE_LATIN1 = /[^\x00-\xff]/;

/** Whether content has 8-bit bytes that are no UTF-8: its characters are bytes and mean nothing else. */
export const isRaw = (latin1: string): boolean =>
  EIGHT_BIT.test(latin1) && !isUtf8(Buffer.from(latin1, 'latin1'));

/** From content to text. */
export function readBytes(latin1: string): string {
  if (!EIGHT_BIT.test(latin1)) return latin1;
  const bytes = Buffer.from(latin1, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : latin1;
}

/**
 * From text to content. `source`: the content that the text was made of; when that was no UTF-8, its
 * bytes stay what they were.
 */
export function writeBytes(text: string, source = ''): string {
  if (!ABOVE_ASCII.test(text)) return text;
  return isRaw(source) && !ABOVE_LATIN1.test(text)
    ? text
    : Buffer.from(text, 'utf8').toString('latin1');
}
