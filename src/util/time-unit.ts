/** Time values of main.cf: a number and a unit. @see postconf(5) */
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 } as const;

export type TimeUnit = keyof typeof SECONDS;

const isUnit = (text: string): text is TimeUnit => Object.hasOwn(SECONDS, text);

/** `N`, `Ns`, `Nm`, `Nh`, `Nd`, `Nw` in seconds; undefined when it is none of these. */
export function parseTime(text: string, defaultUnit: TimeUnit): number | undefined {
  const match = /^(\d+)([a-zA-Z]?)$/.exec(text.trim());
  const unit = match?.[2] ? match[2].toLowerCase() : defaultUnit;
  if (!match || !isUnit(unit)) return undefined;
  const seconds = Number(match[1]) * SECONDS[unit];
  return Number.isSafeInteger(seconds) ? seconds : undefined;
}
