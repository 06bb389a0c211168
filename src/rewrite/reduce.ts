/**
 * Which address a recipient means: domains of ours are taken off from the right, and what remains is
 * read again, quotes removed, so that `user%elsewhere@here` and `"user@elsewhere"@here` are judged by
 * where they lead.
 *
 * @see Postfix trivial-rewrite(8), resolve_dequoted_address, empty_address_recipient
 */
import { isIP } from 'node:net';
import type { Config } from '../conf/params.ts';
import { isValidDomain } from '../mail/address.ts';
import {
  internalize,
  isOperator,
  operator,
  quoteAddress,
  scanTokens,
  type Token,
} from '../mail/tok822.ts';
import type { Classes } from './classes.ts';
import { findLast, rewriteTokens, withoutDot } from './rewrite.ts';

export type Reduced =
  /** `isLocal`: the domain is ours. */
  | { readonly kind: 'address'; readonly address: string; readonly isLocal: boolean }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'retry'; readonly reason: string };

/** Routing operators of one address that are followed. */
const MAX_ROUNDS = 1000;

/** `given` is in internal form. */
export async function reduceAddress(
  config: Config,
  classes: Pick<Classes, 'isLocal'>,
  given: string,
): Promise<Reduced> {
  let tokens: readonly Token[] = scanTokens(quoteAddress(given));
  let saved: readonly Token[] | undefined;
  const limit = Math.min(given.length + 100, MAX_ROUNDS);
  for (let round = 0; round <= limit; round += 1) {
    tokens = trimmed(tokens, config);
    const at = findLast(tokens, '@');
    if (at >= 0) {
      const domain = tokens.slice(at + 1);
      if (domain.length > 0) {
        const match = classes.isLocal(internalize(domain));
        const isLocal = match instanceof Promise ? await match : match;
        if (isLocal.kind === 'error') return { kind: 'retry', reason: isLocal.reason };
        if (isLocal.kind === 'no') return finish(config, classes, tokens, false);
      }
      saved = tokens.slice(at);
      tokens = tokens.slice(0, at);
    }
    const next = unwrapped(tokens, config);
    if (next) tokens = next;
    else if (isNull(tokens)) tokens = scanTokens(config.empty_address_recipient);
    else if (!saved) tokens = [...tokens, operator('@'), ...scanTokens(config.myhostname)];
    else return finish(config, classes, [...tokens, ...saved], true);
  }
  return { kind: 'invalid', reason: 'too many routing operators' };
}

/** Without one trailing dot, and without a trailing `@`. */
function trimmed(tokens: readonly Token[], config: Config): readonly Token[] {
  const dotless = findLast(tokens, '@') < 0 ? tokens : withoutDot(tokens);
  const isOpen = config.resolve_null_domain && isOperator(dotless.at(-1), '@');
  return isOpen ? dotless.slice(0, -1) : dotless;
}

/** The address that a local part of ours names, or undefined when it names a user. */
function unwrapped(tokens: readonly Token[], config: Config): readonly Token[] | undefined {
  const hasRoute =
    findLast(tokens, '@') >= 0 ||
    (config.swap_bangpath && findLast(tokens, '!') >= 0) ||
    (config.allow_percent_hack && findLast(tokens, '%') >= 0);
  if (hasRoute) return rewriteTokens(tokens, config);
  const [only, ...more] = tokens;
  if (!config.resolve_dequoted_address || more.length > 0 || only?.kind !== 'quoted') {
    return undefined;
  }
  const local = dequoted(only.text, config);
  const inner = local === undefined ? [] : scanTokens(local);
  return inner.length === 0 ? undefined : rewriteTokens(inner, config);
}

/** What a quoted local part says when its quotes are gone, if there is a route in it. */
function dequoted(text: string, config: Config): string | undefined {
  if (text.includes('@')) return quoteAddress(text);
  const percent = config.allow_percent_hack ? text.lastIndexOf('%') : -1;
  if (percent >= 0) return quoteAddress(`${text.slice(0, percent)}@${text.slice(percent + 1)}`);
  return config.swap_bangpath && text.includes('!') ? text : undefined;
}

const isNull = (tokens: readonly Token[]): boolean => {
  const [only, ...more] = tokens;
  return !only || (more.length === 0 && only.kind === 'quoted' && only.text === '');
};

async function finish(
  config: Config,
  classes: Pick<Classes, 'isLocal'>,
  tokens: readonly Token[],
  isLocal: boolean,
): Promise<Reduced> {
  const address = internalize(tokens);
  const at = address.lastIndexOf('@');
  const domain = address.slice(at + 1);
  if (domain.startsWith('[')) {
    const bad = { kind: 'invalid', reason: 'bad address literal' } as const;
    return isMailLiteral(domain) ? { kind: 'address', address, isLocal } : bad;
  }
  if (isValidDomain(domain)) return { kind: 'address', address, isLocal };
  if (!config.resolve_numeric_domain || isIP(domain) === 0) {
    return { kind: 'invalid', reason: isIP(domain) === 0 ? 'bad domain' : 'numeric domain' };
  }
  const literal = `[${domain}]`;
  const match = classes.isLocal(literal);
  const own = match instanceof Promise ? await match : match;
  if (own.kind === 'error') return { kind: 'retry', reason: own.reason };
  return {
    kind: 'address',
    address: address.slice(0, at + 1) + literal,
    isLocal: isLocal || own.kind === 'yes',
  };
}

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]`. */
function isMailLiteral(domain: string): boolean {
  const [, prefix, inner = ''] = /^\[(ipv6:)?([^\]]*)\]$/i.exec(domain) ?? [];
  return isIP(inner) === (prefix === undefined ? 4 : 6);
}
