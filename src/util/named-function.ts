/**
 * Functions of main.cf values: `${domain_to_ascii{text}}`, `${domain_to_utf8{text}}`.
 *
 * @see postconf(5) "named functions", UTS #46
 */
import { domainToASCII, domainToUnicode } from 'node:url';
import { err, ok, type Result } from './result.ts';

type NamedFunction = (text: string) => Result<string, string>;

const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text);

const FUNCTIONS: ReadonlyMap<string, NamedFunction> = new Map([
  ['domain_to_ascii', (text) => (isAscii(text) ? ok(text) : convert('domain_to_ascii', text))],
  ['domain_to_utf8', (text) => (isAscii(text) ? convert('domain_to_utf8', text) : ok(text))],
]);

export const namedFunction = (name: string): NamedFunction | undefined => FUNCTIONS.get(name);

function convert(name: string, text: string): Result<string, string> {
  const result = name === 'domain_to_ascii' ? domainToASCII(text) : domainToUnicode(text);
  return result === '' ? err(`bad domain argument in: '${name}{${text}}'`) : ok(result);
}
