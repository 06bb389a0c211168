/**
 * Case folding of lookup keys: the same function when a table is filled and when it is asked.
 *
 * ASCII is lowered; other letters go to upper and back, one by one, so that `STRASSE` finds
 * `straße` and a final sigma any sigma, as the Unicode case folding that Postfix uses.
 *
 * @see Postfix casefold(3)
 */
export function foldKey(key: string): string {
  if (!/[^\0-\x7f]/.test(key)) return key.toLowerCase();
  let folded = '';
  // The dotless i has no fold; its capital is that of i.
  for (const char of key) folded += char === 'ı' ? char : char.toUpperCase().toLowerCase();
  return folded;
}
