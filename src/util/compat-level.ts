/**
 * Compatibility levels: `major`, `major.minor` or `major.minor.patch`; `2` equals `2.0`.
 *
 * @see postconf(5) compatibility_level
 */
const LIMITS = [2 ** 43, 1023, 1023] as const;

/** The three numbers of a level, or undefined when it is none. */
export function parseLevel(text: string): readonly [number, number, number] | undefined {
  if (!/^\s*\+?\d+(\.\d+){0,2}$/.test(text)) return undefined;
  const [major = 0, minor = 0, patch = 0] = text.trim().split('.').map(Number);
  return [major, minor, patch].every((value, at) => value <= (LIMITS[at] ?? 0))
    ? [major, minor, patch]
    : undefined;
}

/** Below zero when a is the older level: `3.6` is older than `3.11`. What is no level counts as 0. */
export function compareLevels(a: string, b: string): number {
  const [x, y] = [parseLevel(a), parseLevel(b)];
  for (let at = 0; at < 3; at += 1) {
    const difference = (x?.[at] ?? 0) - (y?.[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
