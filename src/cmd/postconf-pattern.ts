/** `service[/type[/field]]` on the command line of postconf(1); `*` stands for any. */

export type ServicePattern = readonly string[];

/** The parts, missing ones as `*`; undefined when there are too many, too few or a partial `*`. */
export function parsePattern(text: string, min: number, max: number): ServicePattern | undefined {
  if (text.startsWith('/')) return undefined;
  const parts = text.split('/').filter((part) => part !== '');
  if (parts.length < min || parts.length > max) return undefined;
  if (parts.some((part) => part !== '*' && part.includes('*'))) return undefined;
  return [...parts, ...Array.from({ length: max - parts.length }, () => '*')];
}

/** Whether name and type of an entry, its first two words, are meant. */
export function matches(pattern: ServicePattern, words: readonly string[]): boolean {
  return [0, 1].every((at) => pattern[at] === '*' || pattern[at] === words[at]);
}
