/**
 * The usual repair: the same pool with an opossum breaker around each dependency's calls. The breaker's timeout covers the wait for the pool
 * as well, so that nobody waits for ever.
 */
import CircuitBreaker from "opossum";
import type { Outbound, OutboundOptions, Request } from "./outbound.ts";
import { Semaphore } from "./pool.ts";

/** opossum's default. */
const FAILURE_PERCENT = 50;
const CALLS_MIN = 20;

/** A breaker for each dependency around one pool. */
export class BreakerAroundPool implements Outbound {
  readonly advice = null;
  openings = 0;
  readonly #payments: CircuitBreaker<[Request], void>;
  readonly #profiles: CircuitBreaker<[Request], void>;

  constructor({ permits, deadlineMs, openMs }: OutboundOptions) {
    const semaphore = new Semaphore(permits.payments + permits.profiles);
    const call = (request: Request): Promise<void> => semaphore.run(() => request(AbortSignal.timeout(deadlineMs)));
    const settings = {
      timeout: deadlineMs,
      resetTimeout: openMs,
      errorThresholdPercentage: FAILURE_PERCENT,
      volumeThreshold: CALLS_MIN,
    };
    this.#payments = new CircuitBreaker(call, settings);
    this.#profiles = new CircuitBreaker(call, settings);
    this.#payments.on("open", () => {
      this.openings += 1;
    });
  }

  payments(request: Request): Promise<void> {
    return this.#payments.fire(request);
  }

  profiles(request: Request): Promise<void> {
    return this.#profiles.fire(request);
  }
}
