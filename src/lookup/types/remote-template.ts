/**
 * The %-templates of SQL, LDAP and memcache tables: queries, search bases and result formats.
 *
 *   %s %S   key (in a result format, %s is the result)     %u %U   local part, or all of it
 *   %d %D   domain                                         %1 %9   labels of the key's domain, last first
 *   %%      a percent sign
 *
 * A key that lacks a part which the query or the result format names is not looked up at all; a
 * result that lacks one is left out.
 *
 * @see mysql_table(5), Postfix db_common(3)
 */
import { err, ok, type Result } from '../../util/result.ts';

export type Piece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'part'; readonly letter: string };

export type Template = { readonly source: string; readonly pieces: readonly Piece[] };

/** What a key must have to be looked up, and a result to be used. */
export type Needs = {
  readonly keyUser: boolean;
  readonly keyDomain: boolean;
  readonly valueUser: boolean;
  readonly valueDomain: boolean;
  readonly labels: number;
};

/** Make a value safe where it goes; `at` is the index of its piece. */
export type Quote = (value: string, at: number) => string;

export function parseTemplate(source: string): Result<Template, string> {
  const pieces: Piece[] = [];
  let text = '';
  for (let at = 0; at < source.length; at += 1) {
    const char = source[at] ?? '';
    if (char !== '%') {
      text += char;
      continue;
    }
    at += 1;
    const letter = source[at] ?? '';
    if (letter === '%') text += '%';
    else if (/^[sudSUD1-9]$/.test(letter)) {
      pieces.push({ kind: 'text', text }, { kind: 'part', letter });
      text = '';
    } else return err(`invalid template: ${source}; %${letter} means nothing, write %% for %`);
  }
  pieces.push({ kind: 'text', text });
  return ok({ source, pieces });
}

const lettersOf = (templates: readonly Template[]): string[] =>
  templates.flatMap(({ pieces }) => pieces.flatMap((p) => (p.kind === 'part' ? [p.letter] : [])));

/** Whether the text depends on the key. */
export const isDynamic = (template: Template): boolean => lettersOf([template]).length > 0;

export function needsOf(queries: readonly Template[], result: readonly Template[] = []): Needs {
  const asked = lettersOf(queries).map((letter) => letter.toUpperCase());
  const results = lettersOf(result);
  const key = [...asked, ...results.filter((letter) => /[A-Z1-9]/.test(letter))];
  const labels = Math.max(0, ...key.map(Number).filter((label) => label > 0));
  return {
    keyUser: key.includes('U'),
    keyDomain: key.includes('D') || labels > 0,
    valueUser: results.includes('u'),
    valueDomain: results.includes('d'),
    labels,
  };
}

type Parts = { readonly whole: string; readonly user: string; readonly domain: string | undefined };

function partsOf(whole: string): Parts {
  const at = whole.lastIndexOf('@');
  if (at < 0) return { whole, user: whole, domain: undefined };
  return { whole, user: whole.slice(0, at), domain: whole.slice(at + 1) };
}

const labelsOf = (domain: string | undefined): string[] =>
  (domain ?? '').split('.').filter((label) => label !== '');

/** Whether a key has the parts that the templates of its table name. */
export function isComplete(needs: Needs, key: string): boolean {
  if (key === '') return false;
  const { user, domain } = partsOf(key);
  if (needs.keyDomain && !domain) return false;
  if (needs.keyUser && domain !== undefined && user === '') return false;
  return labelsOf(domain).length >= needs.labels;
}

/** The key must be complete. */
export function expandKey(template: Template, key: string, quote: Quote): string {
  const parts = partsOf(key);
  return fill(template, (letter) => partOf(letter.toUpperCase(), parts), quote);
}

/** Undefined: the result lacks a part that the format names. The key must be complete. */
export function expandResult(
  template: Template,
  needs: Needs,
  value: string,
  key: string,
): string | undefined {
  const of = partsOf(value);
  if (value === '' || (needs.valueDomain && !of.domain)) return undefined;
  if (needs.valueUser && of.domain !== undefined && of.user === '') return undefined;
  const from = partsOf(key);
  return fill(
    template,
    (letter) => partOf(letter.toUpperCase(), /[sud]/.test(letter) ? of : from),
    (text) => text,
  );
}

function partOf(letter: string, { whole, user, domain }: Parts): string {
  if (letter === 'S') return whole;
  if (letter === 'U') return user;
  if (letter === 'D') return domain ?? '';
  return labelsOf(domain).at(-Number(letter)) ?? '';
}

function fill(template: Template, part: (letter: string) => string, quote: Quote): string {
  return template.pieces
    .map((piece, at) => (piece.kind === 'text' ? piece.text : quote(part(piece.letter), at)))
    .join('');
}
