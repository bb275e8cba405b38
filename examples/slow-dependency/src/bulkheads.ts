/**
 * The same permits as bulkheads, one for each dependency, with a breaker that knows a slow one from a broken one and a limit that follows
 * the dependency.
 */
import { Bulkhead } from "@holdfast/bulkhead";
import type { Outbound, OutboundOptions, Request } from "./outbound.ts";

const LIMITS = { concurrencyMin: 2, concurrencyMax: 64 };

/** A bulkhead for each dependency. */
export class Bulkheads implements Outbound {
  openings = 0;
  advice: string | null = null;
  #missing = 0;
  readonly #payments: Bulkhead;
  readonly #profiles: Bulkhead;

  constructor({ permits, deadlineMs, openMs }: OutboundOptions) {
    this.#payments = new Bulkhead("payments", {
      concurrencyMax: permits.payments,
      adaptive: LIMITS,
      queue: "lifo",
      timeoutMs: deadlineMs,
      breaker: { openMs },
      onEvent: (event) => {
        if (event.type === "breaker" && event.state === "open") this.openings += 1;
        if (event.type === "call") this.#look();
      },
    });
    this.#profiles = new Bulkhead("profiles", {
      concurrencyMax: permits.profiles,
      adaptive: LIMITS,
      timeoutMs: deadlineMs,
      breaker: { openMs },
    });
  }

  payments(request: Request): Promise<void> {
    return this.#payments.run(({ signal }) => request(signal));
  }

  profiles(request: Request): Promise<void> {
    return this.#profiles.run(({ signal }) => request(signal));
  }

  /** Keeps what the snapshot advised when the most permits were missing. */
  #look(): void {
    const { advice, limit } = this.#payments.snapshot();
    if (advice === null || advice.neededPermits - limit <= this.#missing) return;
    this.#missing = advice.neededPermits - limit;
    this.advice = advice.message;
  }
}
