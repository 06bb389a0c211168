/** A virtual(5) table of any size with shuffled keys, the same each time. */

export const virtualKey = (index: number): string => `user${index}@dom${index % 1000}.example.org`;

export const virtualValue = (index: number): string =>
  `mailbox${index}@store${index % 7}.example.net`;

/** Pieces of text, whole lines each. */
export function* buildVirtualTable(lines: number): Generator<string, void, void> {
  const order = new Uint32Array(lines);
  for (let index = 0; index < lines; index += 1) order[index] = index;
  let state = 12_345;
  for (let index = lines - 1; index > 0; index -= 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (index + 1));
    const [a = 0, b = 0] = [order[index], order[other]];
    order[index] = b;
    order[other] = a;
  }
  let piece = '';
  for (const index of order) {
    piece += `${virtualKey(index)}\t${virtualValue(index)}\n`;
    if (piece.length < 1 << 20) continue;
    yield piece;
    piece = '';
  }
  yield piece;
}
