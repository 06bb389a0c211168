/**
 * The name of a client: its PTR name, confirmed by a forward look-up, or `unknown`.
 *
 * Answers are kept per process, good and bad ones, so that a client that comes back costs no
 * query; look-ups that failed are kept shortly. A look-up that takes longer than its deadline
 * counts as failed: nobody waits for a greeting because of a stranger's name server.
 *
 * @see postconf(5) reject_unknown_client_hostname
 */
export type ClientName = {
  /** Confirmed name or `unknown`. */
  readonly name: string;
  /** PTR name, not confirmed, or `unknown`. */
  readonly reverseName: string;
  /** A look-up failed for the moment: a refusal because of the name must be temporary. */
  readonly retry: boolean;
};

export type ClientNames = {
  readonly lookup: (address: string) => ClientName | Promise<ClientName>;
};

export const UNKNOWN_NAME: ClientName = { name: 'unknown', reverseName: 'unknown', retry: false };

const GOOD_MS = 3_600_000;
const BAD_MS = 300_000;
const RETRY_MS = 30_000;
const DEADLINE_MS = 5_000;
const MAX_ENTRIES = 10_000;

/** `ask` does the two look-ups; `isEnabled` is smtpd_peername_lookup. */
export function clientNames(
  ask: (address: string) => Promise<ClientName>,
  isEnabled: boolean,
  nowMs: () => number,
): ClientNames {
  const cache = new Map<string, { readonly untilMs: number; readonly value: ClientName }>();
  const waiting = new Map<string, Promise<ClientName>>();

  const remember = (address: string, value: ClientName): ClientName => {
    if (cache.size >= MAX_ENTRIES) cache.clear();
    const life = value.retry ? RETRY_MS : value.name === 'unknown' ? BAD_MS : GOOD_MS;
    cache.set(address, { untilMs: nowMs() + life, value });
    return value;
  };

  const lookup = (address: string): ClientName | Promise<ClientName> => {
    if (!isEnabled) return UNKNOWN_NAME;
    const known = cache.get(address);
    if (known && known.untilMs > nowMs()) return known.value;
    const pending = waiting.get(address);
    if (pending) return pending;
    const started = inTime(ask(address)).then((value) => {
      waiting.delete(address);
      return remember(address, value);
    });
    waiting.set(address, started);
    return started;
  };
  return { lookup };
}

function inTime(answer: Promise<ClientName>): Promise<ClientName> {
  const late: ClientName = { ...UNKNOWN_NAME, retry: true };
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(late), DEADLINE_MS);
    const settle = (value: ClientName): void => {
      clearTimeout(timer);
      resolve(value);
    };
    answer.then(settle, () => settle(late));
  });
}
