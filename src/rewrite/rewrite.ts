/**
 * The canonical form of an address: what trivial-rewrite(8) does before anything is looked up.
 *
 * In order: `domain!user` becomes `user@domain`, else the last `%` becomes `@`, else `@$myorigin` is
 * appended; `.$mydomain` is appended to a domain without a dot; one trailing dot goes. Addresses
 * are in internal form: operators within a local part that needs quotes are no operators here.
 *
 * @see Postfix ADDRESS_REWRITING_README "Rewrite addresses to standard form"
 */
import type { Config } from '../conf/params.ts';
import { isDotString } from '../mail/address.ts';

export type RewriteSettings = Pick<
  Config,
  | 'append_at_myorigin'
  | 'append_dot_mydomain'
  | 'swap_bangpath'
  | 'allow_percent_hack'
  | 'myorigin'
  | 'mydomain'
>;

/** The null address stays null. */
export function rewriteAddress(address: string, settings: RewriteSettings): string {
  if (address === '' || address === '@') return '';
  const at = address.lastIndexOf('@');
  const full = at < 0 ? withDomain(address, settings) : address;
  return finishDomain(full, settings);
}

/** An address without `@`. */
function withDomain(address: string, settings: RewriteSettings): string {
  const isPlain = isDotString(address);
  if (isPlain && settings.swap_bangpath) {
    const bang = address.indexOf('!');
    if (bang >= 0) return `${address.slice(bang + 1)}@${address.slice(0, bang)}`;
  }
  if (isPlain && settings.allow_percent_hack) {
    const percent = address.lastIndexOf('%');
    if (percent >= 0) return `${address.slice(0, percent)}@${address.slice(percent + 1)}`;
  }
  if (!settings.append_at_myorigin || settings.myorigin === '') return address;
  return `${address}@${settings.myorigin}`;
}

function finishDomain(address: string, settings: RewriteSettings): string {
  const at = address.lastIndexOf('@');
  if (at < 0 || at === address.length - 1) return address;
  const domain = address.slice(at + 1);
  const appends = settings.append_dot_mydomain && settings.mydomain !== '';
  if (appends && !domain.includes('.') && !domain.startsWith('[')) {
    return `${address}.${settings.mydomain}`;
  }
  const isTrailingDot = domain.endsWith('.') && !domain.endsWith('..') && domain !== '.';
  return isTrailingDot ? address.slice(0, -1) : address;
}

/** A sender: `mailer-daemon@$myorigin` is the null sender. */
export function rewriteSender(address: string, settings: RewriteSettings): string {
  const rewritten = rewriteAddress(address, settings);
  const daemon = `mailer-daemon@${settings.myorigin}`.toLowerCase();
  return rewritten.toLowerCase() === daemon ? '' : rewritten;
}

/** Whether routing operators remain in a local part, quoted or not. */
export function hasRoute(local: string, settings: RewriteSettings): boolean {
  if (local.includes('@')) return true;
  if (settings.swap_bangpath && local.includes('!')) return true;
  return settings.allow_percent_hack && local.includes('%');
}
