/**
 * What an alias or .forward file names: addresses, files, commands, lists.
 *
 *   user, "user@example.com", /var/log/archive, "|command with arguments", :include:/etc/list
 *
 * @see aliases(5)
 */
import { parseAddressList } from '../mail/tok822.ts';

export type Destination =
  /** Internal form, not rewritten. */
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'command'; readonly command: string }
  | { readonly kind: 'include'; readonly path: string };

/** Destinations of one value; undefined when it is malformed. */
export function parseDestinations(text: string): readonly Destination[] | undefined {
  const destinations: Destination[] = [];
  for (const element of splitElements(text)) {
    const special = specialDestination(element);
    if (special) {
      destinations.push(special);
      continue;
    }
    const addresses = parseAddressList(element);
    if (!addresses) return undefined;
    for (const address of addresses) destinations.push({ kind: 'address', address });
  }
  return destinations;
}

/** Destinations of a file: each line is a list, `#` starts a comment line. */
export function parseDestinationFile(text: string): readonly Destination[] | undefined {
  const all: Destination[] = [];
  for (const line of text.split('\n')) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    const destinations = parseDestinations(line);
    if (!destinations) return undefined;
    all.push(...destinations);
  }
  return all;
}

function specialDestination(element: string): Destination | undefined {
  // `"/x"@example.com` is an address: only what has no @ outside quotes can be special.
  if (/@/.test(element.replaceAll(/"(?:[^"\\]|\\.)*"/g, '')) && !/^[|/:]/.test(element)) {
    return undefined;
  }
  const plain = unquote(element);
  if (plain.startsWith('|')) return { kind: 'command', command: plain.slice(1).trim() };
  if (plain.startsWith('/')) return { kind: 'file', path: plain };
  const include = /^:include:\s*(\/.*)$/i.exec(plain);
  return include?.[1] === undefined ? undefined : { kind: 'include', path: include[1] };
}

/** Split at commas outside quotes and comments. */
function splitElements(text: string): string[] {
  const elements: string[] = [];
  let start = 0;
  let inQuote = false;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '\\') at += 1;
    else if (char === '"') inQuote = !inQuote;
    else if (inQuote) continue;
    else if (char === '(') depth += 1;
    else if (char === ')') depth -= 1;
    else if (char === ',' && depth <= 0) {
      elements.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  elements.push(text.slice(start).trim());
  return elements.filter((element) => element !== '');
}

/** Without its quotes; `\x` within them is x. */
function unquote(element: string): string {
  return element.replaceAll(/"((?:[^"\\]|\\.)*)"/g, (_all, inner: string) =>
    inner.replaceAll(/\\(.)/g, '$1'),
  );
}
