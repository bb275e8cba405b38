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
  readonly epoch: number;
}

interface Fetch {
  readonly answer: Promise<number>;
  readonly startedAtMs: number;
  readonly epoch: number;
}

/** A reading older than this is refreshed beside the next call. */
const refreshAfterMs = 5_000;
/** A reading older than this is not used: a server clock that was set back meanwhile would make bounds too generous. */
const uselessAfterMs = 30_000;
/** A question that has waited for longer is asked again: some clients never answer after a lost connection. */
const askAgainAfterMs = 1_000;

/** Where the time comes from. */
export interface ServerTimeSource {
  /** Changes with each loss of a connection: another server may answer from then on. */
  readonly epoch: number;
  /** Asks the server that serves a key for its time in microseconds. */
  readTimeUs(slotKey: string): Promise<number>;
}

/** The estimate of one client, per node where there are several. */
export class ServerClock {
  readonly #clock: Clock;
  readonly #source: ServerTimeSource;
  readonly #readings = new Map<string, Reading>();
  readonly #fetches = new Map<string, Fetch>();

  constructor(clock: Clock, source: ServerTimeSource) {
    this.#clock = clock;
    this.#source = source;
  }

  /** Server time in microseconds by what is known, or undefined when too little is; starts a refresh when it is time. */
  estimateUs(node: string, slotKey: string): number | undefined {
    const reading = this.#readings.get(node);
    if (reading === undefined || reading.epoch !== this.#source.epoch) return undefined;
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
    const startedAtMs = this.#clock.monotonicMs();
    const { epoch } = this.#source;
    const known = this.#fetches.get(node);
    if (known?.epoch === epoch && startedAtMs - known.startedAtMs < askAgainAfterMs) return known.answer;
    const answer = this.#source.readTimeUs(slotKey).then((serverUs) => {
      this.observe(node, serverUs);
      return serverUs;
    });
    const fetch = { answer, startedAtMs, epoch };
    this.#fetches.set(node, fetch);
    const settled = (): void => {
      if (this.#fetches.get(node) === fetch) this.#fetches.delete(node);
    };
    answer.then(settled, settled);
    return answer;
  }

  /**
   * Takes over a server time, in microseconds, that has just arrived. An answer is older than its arrival by an unknown delay, so of the
   * recent readings the one that says the latest time is the best.
   * @param stepped true when the server's clock may have gone back: then this reading counts, whatever the others say
   */
  observe(node: string, serverUs: number, stepped = false): void {
    const receivedAtMs = this.#clock.monotonicMs();
    const { epoch } = this.#source;
    const known = this.#readings.get(node);
    if (!stepped && known?.epoch === epoch) {
      const ageMs = receivedAtMs - known.receivedAtMs;
      if (ageMs <= refreshAfterMs && known.serverUs + ageMs * 1_000 >= serverUs) return;
    }
    this.#readings.set(node, { serverUs, receivedAtMs, epoch });
  }
}
