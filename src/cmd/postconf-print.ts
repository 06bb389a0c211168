/** How postconf(1) writes: one setting a line, blanks made one, folded on request, or as JSON. */

const LINE_LIMIT = 80;
const INDENT = '    ';

/** Words with one blank between them; folded before column 80 when asked to. */
export function printLine(text: string, isFolded: boolean): string {
  let out = '';
  let length = 0;
  for (const word of text.split(/[ \t\r\n]+/)) {
    if (word === '') continue;
    if (length > 0) {
      const fits = !isFolded || length + word.length < LINE_LIMIT;
      out += fits ? ' ' : `\n${INDENT}`;
      length = fits ? length + 1 : INDENT.length;
    }
    out += word;
    length += word.length;
  }
  return `${out}\n`;
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\\', '\\\\'],
  ['"', '\\"'],
]);

/** `{"name": "value"}` on a line of its own. */
export function printJson(name: string, value: string): string {
  const quote = (text: string): string =>
    text.replace(
      /[\x00-\x1f\x7f\\"]/g,
      (char) =>
        ESCAPES.get(char) ?? `\\u${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`,
    );
  return `{"${quote(name)}": "${quote(value)}"}\n`;
}

const COLUMNS = [0, 11, 17, 25, 33, 41, 49, 57];

export type Expand = (text: string) => string;

/** An argument with what it needs to stay one word: `-o name=value`, `{ two words }`. */
type Item = { readonly text: string; readonly isOption: boolean; readonly width: number };

/**
 * Items after the command; `expandOption` is given the value of each `-o`. Unlike Postfix, which
 * forgets the braces of the first argument, whatever needs braces gets them: edited lines must read
 * the same.
 */
function itemsOf(args: readonly string[], expandOption: Expand): Item[] {
  const items: Item[] = [];
  const braced = (text: string): string =>
    text === '' || /^\{|[ \t\r\n]/.test(text) ? `{${text}}` : text;
  let isOptions = true;
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? '';
    if (!word.startsWith('-') || word === '--') {
      items.push({ text: braced(word), isOption: false, width: word.length });
      isOptions = false;
    } else if (isOptions && word[1] === 'o' && args[at + 1] !== undefined) {
      at += 1;
      const value = expandOption(args[at] ?? '');
      const text = `${word} ${braced(value)}`;
      items.push({ text, isOption: true, width: text.length + 2 });
    } else {
      const text = isOptions ? word : braced(word);
      items.push({ text, isOption: false, width: word.length });
    }
  }
  return items;
}

function withItems(head: string, items: readonly Item[], isFolded: boolean): string {
  let out = head;
  let length = head.length - (head.lastIndexOf('\n') + 1);
  let mustBreak = false;
  for (const { text, isOption, width } of items) {
    if (isOption) mustBreak = true;
    const used = mustBreak ? LINE_LIMIT : length;
    if (used > INDENT.length) {
      const fits = !isFolded || used + 1 + width < LINE_LIMIT;
      out += fits ? ' ' : `\n${INDENT}`;
      length = fits ? length + 1 : INDENT.length;
    }
    out += text;
    length += text.length;
    mustBreak = isOption;
  }
  return `${out}\n`;
}

/** A master.cf line: columns where Postfix puts them. */
export function printEntry(
  words: readonly string[],
  isFolded: boolean,
  expandOption: Expand = (text) => text,
): string {
  let head = '';
  for (const [at, goal] of COLUMNS.entries()) {
    if (at > 0) head = `${head} `.padEnd(goal);
    head += words[at] ?? '';
  }
  return withItems(head, itemsOf(words.slice(8), expandOption), isFolded);
}

/** The command column with its arguments, behind a label. */
export function printCommand(
  label: string,
  words: readonly string[],
  isFolded: boolean,
  expandOption: Expand,
): string {
  const command = words[7] ?? '';
  const isLong = label !== '' && label.length + command.length > LINE_LIMIT;
  const head = `${label}${isLong ? `\n${INDENT}` : ''}${command}`;
  return withItems(head, itemsOf(words.slice(8), expandOption), isFolded);
}

/** An entry, or its command, with one blank between words. */
export function plainWords(words: readonly string[], from: number, expandOption: Expand): string {
  const items = itemsOf(words.slice(8), expandOption).map(({ text }) => text);
  return [...words.slice(from, 8), ...items].join(' ');
}
