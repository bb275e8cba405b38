/**
 * What time it is on the server, without asking each time: the last server time received plus the monotonic time since (K1).
 *
 * The answer was older than its arrival, so the estimate is never ahead of the true time unless the server's clock went back; a bound
 * made from it is then never too generous. It is read again every few seconds, after a reconnect, and from every reply that carries it.
 */
import type { Clock } from "./clock.ts";

interface Reading {
  readonly serverUs: number;
  readonly receivedAtMs: number;
}

/** A reading older than this is refreshed beside the next call. */
const refreshAfterMs = 5_000;
/** A reading older than this is not used: a server clock that was set back meanwhile would make bounds too generous. */
const uselessAfterMs = 30_000;

/** The estimate of one client, per node where there are several. */
export class ServerClock {
  readonly #clock: Clock;
  readonly #readings = new Map<string, Reading>();
  readonly #fetches = new Map<string, Promise<number>>();
  readonly #readTimeUs: (slotKey: string) => Promise<number>;

  /** @param readTimeUs asks the server that serves a key for its time in microseconds */
  constructor(clock: Clock, readTimeUs: (slotKey: string) => Promise<number>) {
    this.#clock = clock;
    this.#readTimeUs = readTimeUs;
  }

  /** Server time in microseconds by what is known, or undefined when too little is; starts a refresh when it is time. */
  estimateUs(node: string, slotKey: string): number | undefined {
    const reading = this.#readings.get(node);
    if (reading === undefined) return undefined;
    const ageMs = this.#clock.monotonicMs() - reading.receivedAtMs;
    if (ageMs > uselessAfterMs) return undefined;
    if (ageMs > refreshAfterMs) {
      // A failed refresh shows in the next call, which then has to ask itself.
      this.fetchUs(node, slotKey).catch(() => undefined);
    }
    return Math.floor(reading.serverUs + ageMs * 1_000);
  }

  /** Asks the server; concurrent callers share one request. Resolves to server time in microseconds at the arrival of the answer. */
  fetchUs(node: string, slotKey: string): Promise<number> {
    let fetch = this.#fetches.get(node);
    if (fetch === undefined) {
      fetch = this.#readTimeUs(slotKey)
        .then((serverUs) => {
          this.observe(node, serverUs);
          return serverUs;
        })
        .finally(() => this.#fetches.delete(node));
      this.#fetches.set(node, fetch);
    }
    return fetch;
  }

  /** Takes over a server time, in microseconds, that has just arrived. */
  observe(node: string, serverUs: number): void {
    this.#readings.set(node, { serverUs, receivedAtMs: this.#clock.monotonicMs() });
  }

  /** Forgets everything, since another server may answer from now on. */
  forget(): void {
    this.#readings.clear();
  }
}
