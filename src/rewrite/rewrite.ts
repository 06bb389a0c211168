/**
 * The canonical form of an address: what trivial-rewrite(8) does before anything is looked up.
 *
 * In order: a source route goes; without `@`, `domain!user` becomes `user@domain`, else the last `%`
 * becomes `@`, else `@$myorigin` is appended; `.$mydomain` is appended to a domain without a dot; one
 * trailing dot goes. Operators within a local part that needs quotes are no operators here.
 *
 * @see Postfix ADDRESS_REWRITING_README "Rewrite addresses to standard form"
 */
import type { Config } from '../conf/params.ts';
import { internalAddress } from '../mail/address.ts';
import {
  externalize,
  isOperator,
  operator,
  quoteAddress,
  scanTokens,
  type Token,
} from '../mail/tok822.ts';

/**
 * The context: `myorigin` and `mydomain` complete an address. For the headers of strangers both are
 * remote_header_rewrite_domain.
 */
export type RewriteSettings = Pick<
  Config,
  | 'append_at_myorigin'
  | 'append_dot_mydomain'
  | 'swap_bangpath'
  | 'allow_percent_hack'
  | 'myorigin'
  | 'mydomain'
>;

/** Nothing in it is rewritten, whatever the settings say: a dot-string, `@`, a name with a dot. */
const PLAIN = /^[\w+=-]+(?:\.[\w+=-]+)*@[a-z\d-]+(?:\.[a-z\d-]+)+$/i;

/** Internal form to internal form. The null address stays null. */
export function rewriteAddress(address: string, settings: RewriteSettings): string {
  if (address === '' || PLAIN.test(address)) return address;
  return internalAddress(rewriteExternal(quoteAddress(address), settings));
}

/** The same for an address in external form. */
export function rewriteExternal(address: string, settings: RewriteSettings): string {
  if (address === '' || PLAIN.test(address)) return address;
  const tokens = scanTokens(address);
  return tokens.length === 0 ? '' : externalize(rewriteTokens(tokens, settings));
}

const NULL_ADDRESS: readonly Token[] = [{ kind: 'quoted', text: '' }];

/** `tokens` are not empty. */
export function rewriteTokens(
  tokens: readonly Token[],
  settings: RewriteSettings,
): readonly Token[] {
  const [first] = tokens;
  if (tokens.length === 1 && first?.kind === 'quoted' && first.text === '') return tokens;
  if (tokens.length === 1 && isOperator(first, '@')) return NULL_ADDRESS;
  const bare = withoutRoute(tokens);
  const full = findLast(bare, '@') < 0 ? withDomain(bare, settings) : bare;
  return withoutDot(withDot(full, settings));
}

function withoutRoute(tokens: readonly Token[]): readonly Token[] {
  if (!isOperator(tokens[0], '@')) return tokens;
  const colon = tokens.findIndex((token) => isOperator(token, ':'));
  return colon >= 0 && colon < tokens.length - 1 ? tokens.slice(colon + 1) : tokens;
}

/** An address without `@`. */
function withDomain(tokens: readonly Token[], settings: RewriteSettings): readonly Token[] {
  const bang = settings.swap_bangpath ? tokens.findIndex((token) => isOperator(token, '!')) : -1;
  if (bang >= 0) {
    const local = tokens.slice(bang + 1).map((token) => ({ ...token, isBound: true as const }));
    return [...local, operator('@'), ...tokens.slice(0, bang)];
  }
  const percent = settings.allow_percent_hack ? findLast(tokens, '%') : -1;
  if (percent >= 0) {
    return [...tokens.slice(0, percent), operator('@'), ...tokens.slice(percent + 1)];
  }
  if (!settings.append_at_myorigin || settings.myorigin === '') return tokens;
  return [...tokens, operator('@'), ...scanTokens(settings.myorigin)];
}

/** A domain without a dot is completed; what ends in `@` is left as it is. */
function withDot(tokens: readonly Token[], settings: RewriteSettings): readonly Token[] {
  if (!settings.append_dot_mydomain || settings.mydomain === '') return tokens;
  const at = findLast(tokens, '@');
  if (at < 0 || at === tokens.length - 1) return tokens;
  const domain = tokens.slice(at + 1);
  const isComplete = domain.some((token) => token.kind === 'literal' || isOperator(token, '.'));
  return isComplete ? tokens : [...tokens, operator('.'), ...scanTokens(settings.mydomain)];
}

/** One dot at the end goes, but not of `..` and `@.`. */
export function withoutDot(tokens: readonly Token[]): readonly Token[] {
  const before = tokens.at(-2);
  if (!isOperator(tokens.at(-1), '.') || !before) return tokens;
  return isOperator(before, '.') || isOperator(before, '@') ? tokens : tokens.slice(0, -1);
}

export const findLast = (tokens: readonly Token[], mark: string): number =>
  tokens.findLastIndex((token) => isOperator(token, mark));

/** A sender: `mailer-daemon@$myorigin` is the null sender. */
export function rewriteSender(address: string, settings: RewriteSettings): string {
  const rewritten = rewriteAddress(address, settings);
  if (!/^mailer-daemon@/i.test(rewritten)) return rewritten;
  const daemon = rewriteAddress('MAILER-DAEMON', settings);
  return rewritten.toLowerCase() === daemon.toLowerCase() ? '' : rewritten;
}
