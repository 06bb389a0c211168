/**
 * anvil: how many connections a client has and how often it does something, as pure counters.
 *
 * A rate is the number of events in the current window; windows do not slide (as in anvil(8)).
 * Clients without connections and without events in the window are forgotten.
 */
import type { AnvilEvent } from '../ipc/protocol.ts';
import { parseIp } from '../util/ip-prefix.ts';

export type AnvilCounts = { readonly concurrency: number; readonly rate: number };

type Rates = Partial<Record<AnvilEvent, number>>;
type Entry = { concurrency: number; windowMs: number; rates: Rates };

const MAX_CLIENTS = 100_000;

/** Counters for all services. `unitMs` is anvil_rate_time_unit. */
export class AnvilCounters {
  readonly #entries = new Map<string, Entry>();
  readonly #unitMs: number;

  constructor(unitMs: number) {
    this.#unitMs = unitMs;
  }

  /** Count one event and say where the client stands now. */
  event(service: string, client: string, event: AnvilEvent, nowMs: number): AnvilCounts {
    const entry = this.#entry(`${service} ${client}`, nowMs);
    if (event === 'connect') entry.concurrency += 1;
    if (event === 'disconnect') {
      entry.concurrency = Math.max(0, entry.concurrency - 1);
      return { concurrency: entry.concurrency, rate: 0 };
    }
    const rate = (entry.rates[event] ?? 0) + 1;
    entry.rates[event] = rate;
    return { concurrency: entry.concurrency, rate };
  }

  /** A process went away without saying goodbye: its connections are gone. */
  forget(service: string, client: string, connections: number): void {
    const entry = this.#entries.get(`${service} ${client}`);
    if (entry) entry.concurrency = Math.max(0, entry.concurrency - connections);
  }

  get size(): number {
    return this.#entries.size;
  }

  #entry(key: string, nowMs: number): Entry {
    const known = this.#entries.get(key);
    if (known) {
      if (nowMs - known.windowMs >= this.#unitMs) {
        known.windowMs = nowMs;
        known.rates = {};
      }
      return known;
    }
    if (this.#entries.size >= MAX_CLIENTS) this.#sweep(nowMs);
    const made: Entry = { concurrency: 0, windowMs: nowMs, rates: {} };
    this.#entries.set(key, made);
    return made;
  }

  #sweep(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      if (entry.concurrency === 0 && nowMs - entry.windowMs >= this.#unitMs) {
        this.#entries.delete(key);
      }
    }
    // A flood from more clients than fit: the oldest idle ones go.
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size < MAX_CLIENTS) break;
      if (entry.concurrency === 0) this.#entries.delete(key);
    }
  }
}

/** The network block that counts as one client. */
export function clientBlock(address: string, ipv4Bits: number, ipv6Bits: number): string {
  const ip = parseIp(address);
  if (!ip) return address;
  const bits = ip.length === 4 ? ipv4Bits : ipv6Bits;
  if (bits >= ip.length * 8) return address;
  const masked = ip.map((byte, i) => byte & (0xff << Math.min(8, Math.max(0, 8 - bits + 8 * i))));
  return `${Buffer.from(masked).toString('hex')}/${bits}`;
}
