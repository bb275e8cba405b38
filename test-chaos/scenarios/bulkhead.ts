/**
 * Bulkheads: all pods call one dependency through a distributed bulkhead, and each of them another one through a bulkhead of its own, which
 * is too small for it. The dependency counts for itself who is in there.
 */
import { Bulkhead, DistributedBulkhead } from "@holdfast/bulkhead";
import { pollUntil } from "@holdfast/testkit";
import { checkBulkhead, limit, localLimit } from "../checkers/bulkhead.ts";
import { pace } from "./pace.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

const leaseMs = 600;
const returnedWithinMs = 60_000;

function open(place: Pick<Workplace, "redis" | "prefix">): DistributedBulkhead {
  return new DistributedBulkhead(place.redis, "dependency", {
    prefix: place.prefix,
    concurrencyMax: limit,
    commandTimeoutMs: 400,
    leaseMs,
    pollMs: 50,
    queueMax: 20,
    timeoutMs: 1_000,
  });
}

async function shared(place: Workplace): Promise<void> {
  const { random } = place;
  const bulkhead = open(place);
  const lanes = Array.from({ length: 4 }, async () => {
    while (!place.quiet.aborted) {
      await place.call({ call: "run", resource: "dependency", operation: random.id() }, () =>
        bulkhead.run(async ({ token }) => {
          const visit = random.id();
          place.note("in", "dependency", { visit, token });
          await pace(random.int(3, 40), place.stopping);
          place.note("out", "dependency", { visit, token });
        }),
      );
      await pace(random.int(5, 80), place.quiet);
    }
  });
  await Promise.all(lanes);
  await bulkhead.drain({ graceMs: 1_000 });
}

/** A dependency that is well, slower than the calls' patience now and then, and overrun: its breaker has no reason to open. */
async function local(place: Workplace): Promise<void> {
  const { random } = place;
  let inside = 0;
  const bulkhead = new Bulkhead(`own-${place.pod}`, {
    concurrencyMax: localLimit,
    queueMax: 2,
    timeoutMs: 200,
    breaker: { failurePercent: 40, callsMin: 10, windowMs: 2_000, conclusiveAfterMs: 10_000 },
  });
  const lanes = Array.from({ length: 9 }, async () => {
    while (!place.quiet.aborted) {
      // Most callers lose interest, which says nothing about the dependency.
      const signal = random.chance(0.6) ? AbortSignal.timeout(random.int(2, 30)) : new AbortController().signal;
      await place.call({ call: "run-local", resource: place.pod, operation: random.id() }, () =>
        bulkhead.run({ signal }, async () => {
          inside += 1;
          place.note("inside", place.pod, { inside });
          // Deaf to its signal, as most dependencies are: one in ten outlasts the patience of its caller.
          await pace(random.chance(0.1) ? 280 : random.int(5, 25), place.stopping);
          inside -= 1;
        }),
      );
      await pace(random.int(10, 60), place.quiet);
    }
  });
  await Promise.all(lanes);
  const { outcomes, leaked } = bulkhead.snapshot();
  place.note("outcomes", place.pod, { ...outcomes, leaked });
  await bulkhead.drain({ graceMs: 1_000 });
}

async function work(place: Workplace): Promise<void> {
  await Promise.all([shared(place), local(place)]);
}

/** What a process finds that comes when all others have ended. */
export interface BulkheadFindings {
  /** Calls that ran beside each other, of as many as the limit allows. */
  readonly besideEachOther: number;
  readonly tookMs: number;
}

async function inspect(bench: Bench): Promise<BulkheadFindings> {
  await using bulkhead = open(bench);
  const startedMs = performance.now();
  const done = new AbortController();
  let [inside, most] = [0, 0];
  const calls = Array.from({ length: limit }, async () => {
    while (!done.signal.aborted) {
      await bulkhead
        .run(async () => {
          inside += 1;
          most = Math.max(most, inside);
          await pace(500, done.signal);
          inside -= 1;
        })
        .catch(() => undefined);
      await pace(5, done.signal);
    }
  });
  await pollUntil("all permits are there", () => most >= limit, { timeoutMs: returnedWithinMs }).catch(() => undefined);
  const tookMs = performance.now() - startedMs;
  done.abort();
  await Promise.all(calls);
  return { besideEachOther: most, tookMs };
}

/** The scenario of `@holdfast/bulkhead`. */
export const scenario: Scenario = { name: "bulkhead", work, inspect, check: checkBulkhead };
