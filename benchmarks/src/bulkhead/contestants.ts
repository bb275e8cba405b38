/** How each contestant is set up: ten calls at once, ten seconds for each, a breaker at one half of failures. */
import { Bulkhead } from "@holdfast/bulkhead";
import type { BulkheadOptions } from "@holdfast/bulkhead";
import {
  bulkhead,
  circuitBreaker,
  ConsecutiveBreaker,
  handleAll,
  SamplingBreaker,
  timeout,
  TimeoutStrategy,
  wrap,
} from "cockatiel";
import CircuitBreaker from "opossum";

const concurrency = 10;
const timeoutMs = 10_000;
const openMs = 5_000;
/** Room for every call that a figure offers at once. */
const queueMax = 100_000;

/** What is called; it does nothing. */
export async function nothing(): Promise<number> {
  return 1;
}

/** A breaker of cockatiel that looks at a share of the calls, as the others do. */
export function cockatielBreaker(halfOpenAfter: number): ReturnType<typeof circuitBreaker> {
  const breaker = new SamplingBreaker({ threshold: 0.5, duration: 10_000, minimumRps: 2 });
  return circuitBreaker(handleAll, { halfOpenAfter, breaker });
}

/** Bulkhead, breaker and timeout of cockatiel, in the order in which all three count what they should. */
export function cockatiel(): () => Promise<unknown> {
  const policy = wrap(
    bulkhead(concurrency, queueMax),
    cockatielBreaker(openMs),
    timeout(timeoutMs, TimeoutStrategy.Aggressive),
  );
  return () => policy.execute(nothing);
}

/** The cheapest of its parts: a breaker that counts consecutive failures, a timeout that leaves it to the function to end. */
export function cockatielCheapest(): () => Promise<unknown> {
  const policy = wrap(
    bulkhead(concurrency, queueMax),
    circuitBreaker(handleAll, { halfOpenAfter: openMs, breaker: new ConsecutiveBreaker(5) }),
    timeout(timeoutMs, TimeoutStrategy.Cooperative),
  );
  return () => policy.execute(nothing);
}

/** Only cockatiel's bulkhead. */
export function cockatielBulkhead(): () => Promise<unknown> {
  const policy = bulkhead(concurrency, queueMax);
  return () => policy.execute(nothing);
}

/** opossum with capacity and timeout; percentiles of latencies, as Holdfast has them, cost it most. */
export function opossum(options: CircuitBreaker.Options = {}): () => Promise<unknown> {
  const settings = { timeout: timeoutMs, capacity: concurrency, enableSnapshots: false, ...options };
  const breaker = new CircuitBreaker(nothing, settings);
  return () => breaker.fire();
}

/** Holdfast; a breaker is on unless told otherwise. */
export function holdfast(options: BulkheadOptions = {}): () => Promise<unknown> {
  const one = new Bulkhead("bench", { concurrencyMax: concurrency, timeoutMs, queueMax, breaker: {}, ...options });
  return () => one.run(nothing);
}
