/** A worker that loses its lease, for several test files. */
import { LeapClock } from "@holdfast/testkit";
import type { Attempt, IdempotencyEvent } from "../src/index.ts";
import { gate, longLeaseMs, uniqueName } from "./fixture.ts";
import type { Bench } from "./fixture.ts";

/** An attempt whose lease has run out because its process could not reach Redis, so that another may take over. */
export async function overtaken(on: Bench): Promise<{
  name: string;
  late: ReturnType<typeof gate<string>>;
  lateRun: Promise<unknown>;
  lateAttempt: () => Attempt;
  events: IdempotencyEvent[];
  heal: () => Promise<void>;
}> {
  const name = uniqueName();
  const events: IdempotencyEvent[] = [];
  const { proxy, redis } = await on.proxied();
  const clock = new LeapClock();
  const options = { leaseMs: longLeaseMs, clock, onEvent: (event: IdempotencyEvent) => events.push(event) };
  const first = on.idempotency(options, redis, name);
  const late = gate<string>();
  let attempt: Attempt | undefined;
  const lateRun = first.run("k", (given) => {
    attempt = given;
    return late.handler();
  });
  lateRun.catch(() => undefined);
  await Promise.race([late.entered, lateRun]);
  proxy.blackhole();
  clock.leap(longLeaseMs);
  await on.lapse();
  return {
    name,
    late,
    lateRun,
    lateAttempt: () => attempt as Attempt,
    events,
    heal: () => proxy.heal({ held: "drop" }),
  };
}
