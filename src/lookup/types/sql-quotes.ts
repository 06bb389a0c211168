/**
 * Where in a SQL text each %-expansion stands, and how a value is written there so that it stays a
 * value.
 *
 * Unlike Postfix: the escape follows the quotes around the expansion, not the server's default, so
 * that `"%s"` and `E'%s'` are as safe as `'%s'`. Outside of quotes nothing can be escaped: there a
 * value may only be digits, or word characters that lengthen a name (`aliases_%2`).
 */
import { err, ok, type Result } from '../../util/result.ts';
import type { Piece, Template } from './remote-template.ts';

export type SqlDialect = 'mysql' | 'pgsql' | 'sqlite';

/** What the session says about string constants. */
export type SqlSession = {
  /** `\` escapes in plain '...': not with NO_BACKSLASH_ESCAPES, or standard_conforming_strings. */
  readonly backslash: boolean;
  /** MySQL: "..." is a name, not a string. */
  readonly ansiQuotes: boolean;
};

export type SqlPlace =
  | { readonly kind: 'quoted'; readonly quote: string; readonly escapes: boolean }
  | { readonly kind: 'bare'; readonly inName: boolean };

/** The place of each piece by its index; `undefined` for texts. */
export function sqlPlaces(
  { pieces }: Template,
  dialect: SqlDialect,
  session: SqlSession,
): (SqlPlace | undefined)[] {
  const text = pieces.map((piece) => (piece.kind === 'text' ? piece.text : HOLE)).join('');
  const places: SqlPlace[] = [];
  for (let at = 0; at < text.length; ) {
    if (text[at] === HOLE) {
      places.push({ kind: 'bare', inName: /[\w$]/.test(text[at - 1] ?? '') });
      at += 1;
      continue;
    }
    const token = openToken(text, at, dialect, session);
    if (!token) {
      at += 1;
      continue;
    }
    const end = token.place.kind === 'quoted' ? closing(text, token) : endOf(text, token);
    for (let hole = token.from; hole < end; hole += 1) {
      if (text[hole] === HOLE) places.push(token.place);
    }
    at = end;
  }
  let next = 0;
  return pieces.map((piece: Piece) => (piece.kind === 'part' ? places[next++] : undefined));
}

/** Stands for an expansion while the text is read. It cannot come from a file. */
const HOLE = '\0';
const NOWHERE: SqlPlace = { kind: 'bare', inName: false };

type Token = { readonly place: SqlPlace; readonly from: number; readonly until?: string };

/** A quoted text, or a stretch in which nothing can be quoted: comments, $tag$...$tag$. */
function openToken(
  text: string,
  at: number,
  dialect: SqlDialect,
  session: SqlSession,
): Token | undefined {
  const char = text[at] ?? '';
  const quoted = (escapes: boolean): Token => ({
    place: { kind: 'quoted', quote: char, escapes },
    from: at + 1,
  });
  if (char === "'") {
    const prefixed = dialect === 'pgsql' && /(?:^|[^\w$])(?:e|u&)$/i.test(text.slice(0, at));
    return quoted(dialect !== 'sqlite' && (session.backslash || prefixed));
  }
  if (char === '"') return quoted(dialect === 'mysql' && session.backslash && !session.ansiQuotes);
  if (char === '`' && dialect !== 'pgsql') return quoted(false);
  if (char === '[' && dialect === 'sqlite') return { place: NOWHERE, from: at + 1, until: ']' };
  if (text.startsWith('/*', at)) return { place: NOWHERE, from: at + 2, until: '*/' };
  if (text.startsWith('--', at) || (char === '#' && dialect === 'mysql')) {
    return { place: NOWHERE, from: at + 1, until: '\n' };
  }
  const tag =
    dialect === 'pgsql' && char === '$' ? /^\$\w*\$/.exec(text.slice(at))?.[0] : undefined;
  if (tag) return { place: NOWHERE, from: at + tag.length, until: tag };
  return undefined;
}

/** The index after the closing quote. */
function closing(text: string, { place, from }: Token): number {
  if (place.kind !== 'quoted') return from;
  for (let at = from; at < text.length; at += 1) {
    if (place.escapes && text[at] === '\\') at += 1;
    else if (text[at] === place.quote) {
      if (text[at + 1] !== place.quote) return at + 1;
      at += 1;
    }
  }
  return text.length;
}

function endOf(text: string, { from, until = '' }: Token): number {
  const end = text.indexOf(until, from);
  return end < 0 ? text.length : end + until.length;
}

/** A value as it is written at a place, or why it cannot be. */
export function quoteSql(
  value: string,
  place: SqlPlace | undefined,
  dialect: SqlDialect,
): Result<string, string> {
  if (place?.kind !== 'quoted') {
    const fits = place?.inName ? /^\w+$/ : /^\d{1,18}$/;
    return fits.test(value)
      ? ok(value)
      : err(`the query expands "${value}" outside of quotes; write '%s' instead of %s`);
  }
  const doubled = value.replaceAll(place.quote, place.quote + place.quote);
  if (!place.escapes) return ok(doubled);
  if (dialect === 'pgsql') return ok(doubled.replaceAll('\\', '\\\\'));
  return ok(value.replaceAll(/[\0\n\r\\'"\x1a]/g, (char) => `\\${MYSQL_ESCAPES[char] ?? char}`));
}

const MYSQL_ESCAPES: Readonly<Record<string, string>> = {
  '\0': '0',
  '\n': 'n',
  '\r': 'r',
  '\x1a': 'Z',
};

/**
 * SQLite takes "..." for a column when there is one of that name: a key could name one. Where such
 * a text has an expansion it becomes '...'.
 */
export function plainQuotes(source: string): string {
  return source.replaceAll(/'(?:[^']|'')*'|"((?:[^"]|"")*)"/g, (whole, inner?: string) => {
    if (inner === undefined || !/%[a-zA-Z1-9]/.test(inner)) return whole;
    return `'${inner.replaceAll('""', '"').replaceAll("'", "''")}'`;
  });
}
